"""What holds for every classical peer: it scores from the past, knows cold users by popularity, refuses nonsense."""

import inspect
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution

from recsys.data.event_log import EventLog
from recsys.data.preparation import LogSettings, prepare
from recsys.errors import UserError
from recsys.models.baselines.past import decayed, interactions
from recsys.models.registry import PEERS
from recsys.models.scorer import MoodScorer, Scorer
from recsys.tuning.space import parse_space
from tests.conftest import ROOT
from tests.factories import tiny_tables, with_future_changed
from tests.models.peers import PERSONAL, TUNED, dense_interactions, make_peer, mixed_log

BOTH = pytest.mark.parametrize("tuned", [False, True], ids=["defaults", "tuned"])


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 138), st.sampled_from(["target", "all"]), st.sampled_from([None, 0.01, 0.3]))
def test_interactions_event_by_event(event: int, events: str, half_life: float | None) -> None:
    log = mixed_log()
    t = int(log.time[event])
    found = interactions(log, t, events, half_life)
    np.testing.assert_allclose(found.toarray(), dense_interactions(log, t, events, half_life), rtol=1e-12)


def test_an_event_counts_half_at_its_half_life() -> None:
    log = mixed_log()
    t = log.boundaries.t_test
    before = log.count_before(t)
    ages = np.array([0.2, 0.4, 0.8]) * before
    worth = decayed(log, t, before - ages, 0.4)
    np.testing.assert_allclose(worth, [0.5**0.5, 0.5, 0.25])


@BOTH
@pytest.mark.parametrize("name", PEERS)
def test_scores_have_the_form_that_is_promised(name: str, tuned: bool) -> None:
    log, peer = mixed_log(), make_peer(name, **(TUNED[name] if tuned else {}))
    assert isinstance(peer, Scorer)
    assert not isinstance(peer, MoodScorer)
    assert not peer.gives_logits
    assert TUNED.keys() == PEERS.keys()
    t = log.boundaries.t_test
    users, contents = np.arange(len(log.users)), np.arange(log.contents.count_before(t))
    scores = peer.score(users, contents, t)
    assert scores.shape == (len(users), len(contents))
    assert scores.dtype == torch.float32
    assert bool(torch.isfinite(scores).all())
    assert len(scores.unique()) >= len(log.creators if name == "creator_popularity" else contents) / 4
    few = np.array([3, 1, 3]), contents[::-2].copy()
    torch.testing.assert_close(peer.score(*few, t), scores[few[0]][:, torch.from_numpy(few[1])])
    nobody = peer.score(users[:0], contents, t)
    assert nobody.shape == (0, len(contents))


@pytest.mark.parametrize("name", PEERS)
def test_it_is_fitted_on_the_past_of_the_time_asked(name: str) -> None:
    log, peer = mixed_log(), make_peer(name, **TUNED[name])
    times = (log.boundaries.t_val, log.boundaries.t_test, log.boundaries.t_val, int(log.time[0]))
    for t in times:
        users, contents = np.arange(len(log.users)), np.arange(log.contents.count_before(t))
        fresh = make_peer(name, **peer.settings)
        assert torch.equal(peer.score(users, contents, t), fresh.score(users, contents, t))


@settings(deadline=None, max_examples=6)
@given(seed=st.integers(0, 1000), split=st.sampled_from(["t_val", "t_test"]))
def test_the_future_changes_no_score(seed: int, split: str) -> None:
    tables = tiny_tables(seed % 5)
    boundaries = prepare(tables, LogSettings()).log.boundaries
    fixed = LogSettings(boundaries=[np.datetime64(t, "ns").astype(str) for t in (boundaries.t_val, boundaries.t_test)])
    t = getattr(boundaries, split)
    changed = with_future_changed(tables, t, np.random.default_rng(seed))
    logs = [prepare(each, fixed).log for each in (tables, changed)]
    users, contents = np.arange(logs[0].users.count_before(t)), np.arange(logs[0].contents.count_before(t))
    for name, tuned in itertools.product(PEERS, (False, True)):
        peers = [make_peer(name, log, **(TUNED[name] if tuned else {})) for log in logs]
        assert torch.equal(*(peer.score(users, contents, t) for peer in peers)), f"{name}, tuned: {tuned}"


def cold_scores(log: EventLog, t: int, contents: np.ndarray, window: float) -> list[float]:
    """Share of the users with a recent target event that have one with each content."""
    before = int((log.time < t).sum())
    recent = [e for e in range(before - round(window * before), before) if log.is_target[e]]
    active = {int(log.user[e]) for e in recent}
    return [len({int(log.user[e]) for e in recent if log.content[e] == c}) / len(active) for c in contents]


@pytest.mark.parametrize("name", PERSONAL)
def test_users_without_a_history_are_ranked_by_recent_popularity(name: str) -> None:
    log = mixed_log()
    t = log.boundaries.t_test
    contents = np.arange(log.contents.count_before(t))
    met = dense_interactions(log, t, "target", None)
    strangers = [u for u in range(len(log.users)) if u >= len(met) or not met[u].any()]
    assert strangers
    expected = cold_scores(log, t, contents, 0.4)
    assert any(expected)
    every_event = {"window": None} if name in ("bpr", "lightgcn") else {}
    scores = make_peer(name, cold_window=0.4, **every_event).score(np.arange(len(log.users)), contents, t)
    for user in range(len(log.users)):
        if user in strangers:
            np.testing.assert_allclose(scores[user], expected, rtol=1e-6)
        else:
            assert not np.allclose(scores[user], expected)


@pytest.mark.parametrize("name", [name for name in PEERS if name != "random"])
def test_before_any_event_all_scores_are_equal(name: str) -> None:
    log = mixed_log()
    t = int(log.time[0])
    contents = np.arange(log.contents.count_before(t))
    scores = make_peer(name).score(np.arange(3), contents, t)
    assert scores.shape == (3, len(contents))
    assert not scores.any()


@pytest.mark.parametrize("name", ["random", "ials", "bpr", "lightgcn", "lightgbm"])
def test_the_same_seed_gives_the_same_bits(name: str) -> None:
    log = mixed_log()
    t = log.boundaries.t_test
    contents = np.arange(log.contents.count_before(t))
    first, again, other = (make_peer(name, seed=seed).score(np.arange(8), contents, t) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


POPULAR = ["popularity", "creator_popularity"]
KNN = ["item_knn", "user_knn"]
FACTORS = ["ials", "bpr"]
LEARNED = ["lightgcn", "lightgbm"]
BAD: list[tuple[str, list[str], list[Any]]] = [
    ("half_life", [*POPULAR, *KNN, "ease", "ials"], [0, 0.001, 1.5, "week", True]),
    ("window", [*POPULAR, "bpr", "lightgcn"], [0, 30, "week", float("nan")]),
    ("history_half_life", ["content_based", *KNN, "ease"], [-1, 2]),
    ("cold_window", PERSONAL, [0, -0.1, 7, "week"]),
    ("events", PERSONAL, ["likes", None, 3]),
    ("neighbours", KNN, [0, 2.5, 10**12, "many", True]),
    ("shrinkage", KNN, [-1, float("inf"), "much"]),
    ("l2", ["lightgcn"], [-1, float("nan"), "much"]),
    *((size, ["lightgcn"], [-1, 10**10, 1.5]) for size in ("dim", "layers", "epochs", "batch_size")),
    ("pair_counts", ["lightgbm"], ["some", 1, None]),
    ("negatives", ["lightgbm"], [0, 10_000]),
    *((size, ["lightgbm"], [0, 10**10, 1.5]) for size in ("num_leaves", "num_trees", "min_child_samples")),
    *((size, ["lightgbm"], [0, 10**10, 1.5]) for size in ("snapshots", "reach", "max_rows")),
    ("l2", ["ease"], [0, -1, float("nan"), "much"]),
    ("max_contents", ["ease"], [0, 10**9, 0.5]),
    ("factors", FACTORS, [0, 10**9, 1.5]),
    ("regularization", ["ials"], [0, -1]),
    ("regularization", ["bpr"], [-1, "much"]),
    ("alpha", ["ials"], [0, 10**9]),
    ("iterations", FACTORS, [0, 10**9]),
    ("learning_rate", ["bpr", *LEARNED], [0, 100]),
    ("seed", ["random", *FACTORS, *LEARNED], [-1, 0.5, 2**40]),
    *((part, ["content_based"], [-0.5, float("inf"), "much"]) for part in ("category", "creator", "tags", "text")),
]


@pytest.mark.parametrize("name", PEERS)
def test_settings_that_mean_nothing_are_one_sentence(name: str) -> None:
    bad = {setting: values for setting, names, values in BAD if name in names}
    assert set(inspect.signature(PEERS[name]).parameters) == {"log", *bad}
    for setting, values in bad.items():
        for value in values:
            with pytest.raises(UserError, match=rf"^model\.{setting} is ") as error:
                make_peer(name, **{setting: value})
            assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", [name for name in PEERS if name != "random"])
def test_every_peer_has_a_search_over_settings_that_it_takes(name: str) -> None:
    plain = yaml.safe_load((Path(ROOT) / "sweeps" / f"{name}.yaml").read_text())
    parameters = parse_space(plain["space"], {}, {}).parameters
    assert {parameter.key for parameter in parameters} <= {f"model.{s}" for s in make_peer(name).settings}
    for parameter in parameters:
        of = parameter.distribution
        values = of.choices if isinstance(of, CategoricalDistribution) else (of.low, of.high)  # type: ignore[attr-defined]
        for value in values:
            make_peer(name, **{parameter.key.removeprefix("model."): value})


def test_a_missing_library_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "implicit", None)
    with pytest.raises(UserError, match=r"model=bpr needs the library implicit.*pip install 'recsys\[peers\]'"):
        make_peer("bpr").fit(mixed_log().boundaries.t_val)
