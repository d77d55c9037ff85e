"""The static loader: training pairs once an epoch, never messages of their own batch, nothing from t_val on."""

import logging
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import HeteroData

from recsys.data.event_log import EventLog
from recsys.data.features import fit_encoders
from recsys.data.interaction_index import InteractionIndex
from recsys.data.preparation import LogSettings, prepare
from recsys.errors import UserError
from recsys.graph.temporal_graph import TemporalGraph
from recsys.loading.batch import LinkBatch
from recsys.loading.negatives import Hard, InBatch, NegativeSampler, Popularity, Uniform
from recsys.loading.static_loader import StaticLoader
from recsys.sources.base import Tables
from tests.factories import tiny_log, tiny_tables, with_future_changed
from tests.loading.helpers import bits, hand_log, random_log

SAMPLERS: dict[str, NegativeSampler] = {
    "uniform": Uniform(count=3),
    "popularity": Popularity(count=3),
    "in_batch": InBatch(count=3),
    "hard": Hard(pool=6, count=3),
}
Edge = tuple[int, int, int, tuple[float, ...]]  # user, content, time, attributes


def make_loader(
    log: EventLog, negatives: NegativeSampler = SAMPLERS["uniform"], *, seed: int = 0, **settings_: Any
) -> StaticLoader:
    graph, index = TemporalGraph(log, fit_encoders(log)), InteractionIndex(log)
    return StaticLoader(log=log, graph=graph, index=index, negatives=negatives, seed=seed, **settings_)


def pairs_of(batch: LinkBatch) -> list[tuple[int, int]]:
    return list(zip(batch.user.tolist(), batch.content[:, 0].tolist(), strict=True))


def event_edges(graph: HeteroData) -> dict[tuple[str, str, str], list[Edge]]:
    """Edges of every event type and direction, in order."""
    found: dict[tuple[str, str, str], list[Edge]] = {}
    for edge_type in graph.edge_types:
        if "time" in graph[edge_type]:
            ends = graph[edge_type].edge_index if edge_type[0] == "user" else graph[edge_type].edge_index.flip(0)
            attributes = map(tuple, graph[edge_type].edge_attr.tolist())
            times = graph[edge_type].time.tolist()
            found[edge_type] = list(zip(*ends.tolist(), times, attributes, strict=True))
    return found


@pytest.mark.parametrize("name", SAMPLERS)
@given(seed=st.integers(0, 12), parts=st.sampled_from([1, 2, 5]))
@settings(deadline=None, max_examples=5)
def test_an_epoch_predicts_every_pair_of_an_older_content_once_and_never_from_itself(
    name: str, seed: int, parts: int
) -> None:
    log = random_log(seed)
    t = log.boundaries.t_val
    whole = TemporalGraph(log, fit_encoders(log)).snapshot(t)
    label: dict[tuple[int, int], float] = {}
    met: dict[tuple[int, int], int] = {}
    for e in np.flatnonzero(log.time < t):
        pair = int(log.user[e]), int(log.content[e])
        met.setdefault(pair, int(log.time[e]))
        if log.is_target[e]:
            label[pair] = max(label.get(pair, 0.0), float(log.label[e]))

    born = log.contents.exists_from.tolist()

    def can_be_asked_for(user: int, content: int) -> bool:
        time = met[user, content]
        left = [other for other, since in enumerate(born) if since < time and (user, other) not in met]
        return born[content] < time and bool(left)

    label = {pair: value for pair, value in label.items() if can_be_asked_for(*pair)}
    loader = make_loader(log, SAMPLERS[name], parts=parts)
    batches = list(loader.batches(epoch=1))
    assert len(loader) == len(batches) == parts
    assert sorted(pair for batch in batches for pair in pairs_of(batch)) == sorted(label)
    for batch in batches:
        seeds = pairs_of(batch)
        assert dict(zip(seeds, batch.label.tolist(), strict=True)) == {pair: label[pair] for pair in seeds}
        assert batch.time.tolist() == [met[pair] for pair in seeds], "what came later knows the pair"
        assert batch.graph.time == t
        for (user, positive), negatives in zip(seeds, batch.content[:, 1:].tolist(), strict=True):
            assert not any((user, content) in met for content in negatives)
            assert max(born[content] for content in negatives) < met[user, positive], "no path leads to what is unborn"

        for edge_type, edges in event_edges(whole).items():
            expected = [edge for edge in edges if edge[:2] not in seeds]
            assert event_edges(batch.graph)[edge_type] == expected, "order and attributes stay with the edges"
        for node_type in whole.node_types:
            assert torch.equal(batch.graph[node_type].x, whole[node_type].x)
        for edge_type in set(whole.edge_types) - event_edges(whole).keys():
            assert torch.equal(batch.graph[edge_type].edge_index, whole[edge_type].edge_index)


def test_messages_and_moods_worked_by_hand() -> None:
    # At 50 the pairs are (0, 2), (1, 3), (0, 3), (1, 2), of which (0, 2) was met twice. Content 3 is sad. The contents
    # of (0, 2) and (1, 3) did not exist before: these pairs are messages only.
    events = [(0, 2, 10), (1, 3, 20), (0, 3, 30), (0, 2, 35), (1, 2, 40), (1, 2, 60)]
    log = hand_log(events, 50, moods_of={3: ["sad"], 0: ["old"]}, weight=[1, 2, 4, 3, 1, 4])
    loader = make_loader(log, parts=4)
    found = {}
    for batch in loader.batches(0):
        ((user, content),) = pairs_of(batch)
        to_content = batch.graph["user", "like", "content"]
        to_user = batch.graph["content", "rev_like", "user"]
        assert to_user.num_edges == to_content.num_edges
        found[user, content] = sorted(to_content.time.tolist())
        assert set(batch.content[0, 1:].tolist()) <= {0, 1}
        assert batch.label.tolist() == [{(0, 3): 1.0, (1, 2): 0.25}[user, content]]
        # User 1 acts on content 2 only, which has no mood; user 0 on content 3, which has one.
        assert batch.mood.tolist() == ([1] if content == 3 else [])
        assert batch.mood_seed.tolist() == ([0] if content == 3 else [])
    assert found == {(0, 3): [10, 20, 35, 40], (1, 2): [10, 20, 30, 35]}


def test_context_events_of_a_seed_are_no_messages_either() -> None:
    # Only the like at 30 is a target; the same user met content 2 before, at 20.
    events = [(0, 2, 10), (1, 2, 20), (1, 2, 30), (0, 2, 40)]
    log = hand_log(events, 35, is_target=[False, False, True, True])
    (batch,) = make_loader(log).batches(0)
    assert pairs_of(batch) == [(1, 2)]
    assert batch.time.tolist() == [20]
    assert batch.graph["user", "like", "content"].time.tolist() == [10]
    assert batch.graph["content", "rev_like", "user"].time.tolist() == [10]


def test_the_snapshot_that_others_share_stays_whole() -> None:
    log = tiny_log()
    graph = TemporalGraph(log, fit_encoders(log))
    before = event_edges(graph.snapshot(log.boundaries.t_val))
    loader = StaticLoader(
        log=log, graph=graph, index=InteractionIndex(log), negatives=SAMPLERS["uniform"], seed=0, parts=2
    )
    first, second = loader.batches(0)
    assert event_edges(first.graph) != event_edges(second.graph)
    assert event_edges(graph.snapshot(log.boundaries.t_val)) == before


@pytest.mark.parametrize("name", SAMPLERS)
@given(seed=st.integers(0, 10_000))
@settings(deadline=None, max_examples=5)
def test_no_bit_of_a_batch_depends_on_what_happens_from_validation_on(name: str, seed: int) -> None:
    tables = tiny_tables(seed % 7)
    boundaries = prepare(tables, LogSettings()).log.boundaries
    cuts = LogSettings(boundaries=[boundaries.t_val, boundaries.t_test])

    def epoch_bits(source: Tables) -> list[bytes]:
        loader = make_loader(prepare(source, cuts).log, SAMPLERS[name], parts=3)
        return [bits(batch) for batch in loader.batches(epoch=0)]

    changed = with_future_changed(tables, boundaries.t_val, np.random.default_rng(seed))
    assert epoch_bits(tables) == epoch_bits(changed)


def test_parts_are_drawn_anew_by_seed_and_epoch() -> None:
    log = tiny_log(num_users=20, num_contents=30, num_events=200)

    def parts(seed: int, epoch: int) -> set[tuple[tuple[int, int], ...]]:
        return {tuple(pairs_of(batch)) for batch in make_loader(log, seed=seed, parts=4).batches(epoch)}

    first = parts(seed=1, epoch=2)
    assert len(first) == 4
    assert first == parts(seed=1, epoch=2)
    assert not first & parts(seed=2, epoch=2)
    assert not first & parts(seed=1, epoch=3)


def test_a_batch_depends_on_its_epoch_and_place_alone_and_workers_give_the_same() -> None:
    loader = make_loader(tiny_log(), parts=3)
    expected = {epoch: [bits(batch) for batch in loader.batches(epoch)] for epoch in (0, 1)}
    for epoch in (1, 0):
        for place in reversed(range(len(loader))):
            assert bits(loader.batch(epoch, place)) == expected[epoch][place]
    state = torch.get_rng_state()
    assert [bits(batch) for batch in make_loader(tiny_log(), parts=3, num_workers=2).batches(1)] == expected[1]
    assert (torch.get_rng_state() == state).all()


def test_more_parts_than_pairs() -> None:
    log = hand_log([(0, 2, 10), (1, 3, 20), (0, 3, 30), (1, 2, 40), (0, 2, 50)], 50)
    loader = make_loader(log, parts=100)
    assert len(loader) == 2
    assert sorted(pair for batch in loader.batches(0) for pair in pairs_of(batch)) == [(0, 3), (1, 2)]


def test_pairs_that_cannot_be_asked_for_at_their_own_time_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    # With (0, 0), (0, 1) and (2, 2) a content appears; at 20 there is no other one than that of (1, 0).
    log = hand_log([(0, 0, 10), (1, 0, 20), (0, 1, 30), (2, 0, 40), (2, 2, 45), (0, 1, 50)], 50)
    with caplog.at_level(logging.INFO, logger="recsys.loading.static_loader"):
        loader = make_loader(log)
    assert sorted(pair for batch in loader.batches(0) for pair in pairs_of(batch)) == [(2, 0)]
    assert "3 of contents that did not exist before the pair, 1 with no content left" in caplog.text
    with pytest.raises(UserError, match="No training pair of 'by hand' can be asked for at its own time"):
        make_loader(hand_log([(0, 2, 10), (1, 3, 20), (0, 2, 50)], 50))


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"parts": 0}, "loader.parts is 0"),
        ({"parts": 1.5}, "loader.parts is 1.5"),
        ({"num_workers": -1}, "loader.num_workers is -1"),
    ],
)
def test_arguments_out_of_range(settings_: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_loader(tiny_log(), **settings_)
