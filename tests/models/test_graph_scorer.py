from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.data.features import fit_encoders
from recsys.data.preparation import LogSettings, prepare
from recsys.errors import UserError
from recsys.graph.schema import CONTENT, USER
from recsys.graph.temporal_graph import TemporalGraph
from recsys.models.graph_scorer import GraphScorer
from recsys.models.registry import NETWORKS
from recsys.models.scorer import MoodScorer
from tests.factories import tiny_tables, with_future_changed
from tests.models.helpers import PARTS, make_network, pick_zeros, same_bits, signals, small_graph, small_log

EVERY = pytest.mark.parametrize("name", sorted(NETWORKS))
T = small_log().boundaries.t_val


def make_scorer(name: str = "gat_sage", graph: TemporalGraph | None = None, **settings: Any) -> GraphScorer:
    """A scorer whose network has learned to make use of all its parts."""
    graph = graph or small_graph()
    network = make_network(name, graph, **settings)
    pick_zeros(network)
    return GraphScorer(network, graph)


@EVERY
@PARTS
def test_scores_are_the_networks_logits(name: str, parts: dict[str, Any]) -> None:
    """Calibrated: scaled and shifted, which changes no order."""
    scorer = make_scorer(name, **parts)
    scorer.network.calibration.copy_(torch.tensor([2.0, -0.5]))
    users, contents = np.array([4, 0, 2]), np.array([7, 1, 1, 3])

    scores = scorer.score(users, contents, T)

    network = scorer.network.eval()
    vectors = network.encode(small_graph().snapshot(T))
    said = signals(scorer.network, torch.from_numpy(users), torch.from_numpy(np.tile(contents, (3, 1))))
    expected = network.pair_logits(vectors[USER][users][:, None], vectors[CONTENT][contents], said)
    torch.testing.assert_close(scores, 2 * expected.detach() - 0.5, atol=1e-5, rtol=1e-5)
    assert scores.dtype == torch.float32
    moods = scorer.score_moods(np.array([1, 0]), contents, T)
    expected = network.mood_logits(torch.tensor([[1], [0]]), vectors[CONTENT][contents])
    torch.testing.assert_close(moods, 2 * expected.detach() - 0.5, atol=1e-5, rtol=1e-5)


def test_is_a_mood_scorer_of_logits() -> None:
    assert isinstance(make_scorer(), MoodScorer)
    assert make_scorer().gives_logits


@EVERY
def test_newcomers_change_nobody_elses_score(name: str) -> None:
    t = int(small_log().users.exists_from[-2])
    known = small_log().users.count_before(t)
    assert known + 2 <= len(small_log().users)
    contents = np.arange(small_log().contents.count_before(t))
    scorer = make_scorer(name)
    with_newcomers = scorer.score(np.array([known + 1, 0, known, 1]), contents, t)
    assert with_newcomers.isfinite().all()
    scorer.reset()
    # The same number of rows, since a matrix product may add up in another order for another shape.
    without = scorer.score(np.array([2, 0, 2, 1]), contents, t)
    assert same_bits(with_newcomers[[1, 3]], without[[1, 3]])
    alone = scorer.network.eval().encode(small_graph().newcomers(np.array([known + 1]), t))[USER]
    content = scorer.network.encode(small_graph().snapshot(t))[CONTENT]
    said = small_graph().pair_paths.of_block(np.array([known + 1]), contents, t)
    assert not said.any()
    expected = scorer.network.pair_logits(alone[:, None], content, torch.from_numpy(said))[0].detach()
    torch.testing.assert_close(with_newcomers[0], expected, atol=1e-5, rtol=1e-5)


@EVERY
@PARTS
def test_nobodys_score_depends_on_who_else_is_asked_for(
    name: str, parts: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the bit, for the same number of users; also if what paths say has to be made for few users at a time."""
    scorer = make_scorer(name, **parts)
    known, contents = small_log().users.count_before(T), np.arange(small_log().contents.count_before(T))
    users = np.arange(known)
    together = scorer.score(users, contents, T)
    for user in users:
        alone = scorer.score(np.full(known, user), contents, T)
        assert all(same_bits(row, together[user]) for row in alone)
    assert same_bits(scorer.score(users[::-1].copy(), contents, T).flip(0), together)
    monkeypatch.setattr("recsys.models.graph_scorer.block_size", lambda *_: 2)
    assert same_bits(scorer.score(users, contents, T), together)


def test_a_user_who_is_asked_for_again_walks_once(monkeypatch: pytest.MonkeyPatch) -> None:
    scorer, paths = make_scorer(), small_graph().pair_paths
    walked: list[list[int]] = []

    def of_block(users: np.ndarray, contents: np.ndarray, t: int) -> np.ndarray:
        walked.append(users.tolist())
        return type(paths).of_block(paths, users, contents, t)

    monkeypatch.setattr(paths, "of_block", of_block)
    contents = np.arange(5)
    expected = scorer.score(np.array([3, 1, 2, 0]), contents, T)
    again = scorer.score(np.array([3, 1, 3, 3]), contents, T)
    assert same_bits(again[:2], expected[:2])
    torch.testing.assert_close(again[2:], expected[[0, 0]], atol=1e-5, rtol=1e-5)
    assert walked == [[0, 1, 2, 3], [1, 3]]


def test_encodes_once_a_time_until_reset() -> None:
    scorer = make_scorer()
    users, contents = np.arange(3), np.arange(5)
    first = scorer.score(users, contents, T)
    with torch.no_grad():
        for parameter in scorer.network.embeddings.parameters():
            parameter.add_(0.1)
    assert same_bits(scorer.score(users, contents, T), first)
    assert not same_bits(scorer.score(users, contents, T - 1), first)
    assert not same_bits(scorer.score(users, contents, T), first)
    first = scorer.score(users, contents, T)
    with torch.no_grad():
        for parameter in scorer.network.embeddings.parameters():
            parameter.add_(0.1)
    scorer.reset()
    assert not same_bits(scorer.score(users, contents, T), first)


@pytest.mark.parametrize("training", [True, False])
def test_leaves_the_network_in_its_mode(training: bool) -> None:
    scorer = make_scorer()
    scorer.network.train(training)
    statistics = scorer.network.embeddings[CONTENT].norm.running_mean.clone()
    scorer.score(np.arange(2), np.arange(2), T)
    assert scorer.network.training == training
    assert torch.equal(scorer.network.embeddings[CONTENT].norm.running_mean, statistics)


def test_asking_for_moods_of_data_without_any_is_an_error() -> None:
    graph = small_graph()
    network = NETWORKS["gat_sage"](replace(graph.schema, num_moods=0))
    with pytest.raises(UserError, match="no moods"):
        GraphScorer(network, graph).score_moods(np.array([0]), np.arange(2), T)


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 1000), st.sampled_from(sorted(NETWORKS)), st.booleans())
def test_the_future_changes_no_score_by_a_bit(seed: int, name: str, at_test: bool) -> None:
    """With popularity gates and paths, which the networks have by default."""
    tables = tiny_tables(seed % 5, num_users=10, num_contents=14, num_events=90)
    log = prepare(tables, LogSettings()).log
    t = log.boundaries.t_test if at_test else log.boundaries.t_val
    boundaries = [np.datetime64(b, "ns").astype(str) for b in (log.boundaries.t_val, log.boundaries.t_test)]
    changed = with_future_changed(tables, t, np.random.default_rng(seed))
    fixed = LogSettings(boundaries=boundaries)
    logs = [prepare(each, fixed).log for each in (tables, changed)]
    assert logs[0].boundaries.t_val == logs[1].boundaries.t_val == log.boundaries.t_val
    users, contents = np.arange(log.users.count_before(t)), np.arange(log.contents.count_before(t))
    scorers = [make_scorer(name, TemporalGraph(each, fit_encoders(each))) for each in logs]
    assert all(scorer.network.gates is not None and scorer.network.pair is not None for scorer in scorers)
    assert same_bits(*[scorer.score(users, contents, t) for scorer in scorers])
    assert same_bits(*[scorer.score_moods(np.arange(len(log.moods)), contents, t) for scorer in scorers])
