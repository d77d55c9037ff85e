"""Snapshots: nothing at or after the time can be felt, newcomers stand apart, and thin logs still make graphs."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.profile import get_data_size

from recsys.data.event_log import EventLog
from recsys.data.features import fit_encoders
from recsys.data.preparation import LogSettings, prepare
from recsys.graph.schema import GraphSchema
from recsys.graph.settings import GraphSettings, SimilaritySettings
from recsys.graph.similarity import profiles, similar_pairs
from recsys.graph.temporal_graph import TemporalGraph
from recsys.sources.base import Tables
from tests.factories import tiny_log, tiny_tables, with_future_changed
from tests.graph.logs import log_of, with_other_future

SWITCHED_OFF = ({"creators": False}, {"tags": False}, {"time_features": False})


def graph_of(log: EventLog, cache_bytes: int = 2**30, **settings_: Any) -> TemporalGraph:
    return TemporalGraph(
        log, fit_encoders(log), GraphSettings(windows=(0.1, 0.5, 1.0), **settings_), cache_bytes=cache_bytes
    )


def tensors(data: HeteroData) -> Iterator[tuple[str, Tensor]]:
    for store in data.stores:
        for key, value in store.items():
            if isinstance(value, Tensor):
                yield f"{store._key}.{key}", value


def assert_same_bits(one: HeteroData, other: HeteroData) -> None:
    ours, theirs = dict(tensors(one)), dict(tensors(other))
    assert list(ours) == list(theirs)
    for name, value in ours.items():
        assert value.dtype == theirs[name].dtype, name
        assert value.shape == theirs[name].shape, name
        assert value.numpy().tobytes() == theirs[name].numpy().tobytes(), name
    assert one.time == other.time


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10_000),
    where=st.one_of(st.sampled_from(["t_val", "t_test", "event"]), st.floats(-0.01, 1.0)),
    switched=st.sampled_from([{}, *SWITCHED_OFF]),
)
def test_no_bit_of_a_snapshot_depends_on_what_happens_at_or_after_its_time(
    seed: int, where: str | float, switched: dict[str, bool]
) -> None:
    rng = np.random.default_rng(seed)
    log = tiny_log(seed % 5)
    encoders = fit_encoders(log)
    if isinstance(where, float):
        t = int(log.time[0] + where * (log.time[-1] - log.time[0]))
    else:
        t = int(log.time[rng.integers(len(log))]) if where == "event" else getattr(log.boundaries, where)
    other = with_other_future(log, t, rng)
    assert_same_bits(
        TemporalGraph(log, encoders, GraphSettings(**switched)).snapshot(t),
        TemporalGraph(other, encoders, GraphSettings(**switched)).snapshot(t),
    )


@settings(deadline=None, max_examples=12)
@given(seed=st.integers(0, 10_000), where=st.one_of(st.just(0.0), st.floats(0.0, 1.0)))
def test_no_bit_depends_on_the_future_of_the_tables_behind_the_log(seed: int, where: float) -> None:
    rng = np.random.default_rng(seed)
    tables = tiny_tables(seed % 5)
    boundaries = prepare(tables, LogSettings()).log.boundaries
    t = int(boundaries.t_val + where * (boundaries.end - boundaries.t_val))
    cuts = LogSettings(boundaries=[boundaries.t_val, boundaries.t_test])

    def snapshot(source: Tables) -> HeteroData:
        log = prepare(source, cuts).log
        return graph_of(log).snapshot(t)

    assert_same_bits(snapshot(tables), snapshot(with_future_changed(tables, t, rng)))


def test_an_event_just_before_the_time_is_felt() -> None:
    log = tiny_log(0)
    graph, t = graph_of(log), int(log.time[40])
    assert dict(tensors(graph.snapshot(t)))["('user', 'view', 'content').time"].max() < t
    before, after = (
        sum(len(s[e].time) for e in s.edge_types if "time" in s[e]) for s in map(graph.snapshot, (t, t + 1))
    )
    assert after - before == 2 * int((log.time == t).sum())


def test_a_snapshot_holds_what_the_schema_says() -> None:
    log = tiny_log(1)
    graph = graph_of(log)
    schema = GraphSchema.from_json(graph.schema.to_json())
    assert schema == graph.schema
    for t in (int(log.time[0]), log.boundaries.t_val, int(log.time[-1]) + 1):
        data = graph.snapshot(t)
        assert data.time == t
        assert set(data.node_types) == set(schema.numbers)
        assert set(data.edge_types) == set(schema.edge_types)
        for node_type, nodes in (
            ("user", log.users),
            ("content", log.contents),
            ("creator", log.creators),
            ("tag", log.tags),
        ):
            count, store = nodes.count_before(t), data[node_type]
            assert store.x.shape == (count, schema.numbers[node_type])
            assert store.x.dtype == torch.float32
            assert store.x_cat.shape == (count, len(schema.categories[node_type]))
            assert store.x_cat.dtype == torch.int64
            assert (store.x_cat < torch.tensor(schema.categories[node_type])).all()
            assert store.n_id.tolist() == list(range(count))
            assert len(graph.number_names[node_type]) == schema.numbers[node_type]
        for edge_type in schema.edge_types:
            store = data[edge_type]
            source, target = store.edge_index
            assert (source < data[edge_type[0]].num_nodes).all()
            assert (target < data[edge_type[2]].num_nodes).all()
            assert (target.diff() >= 0).all()
            if edge_type[1].removeprefix("rev_") in schema.event_types:
                assert store.edge_attr.shape == (len(source), 3)
                assert ((store.edge_attr >= 0) & (store.edge_attr <= 1)).all()
                assert (store.time < t).all()


def test_similar_users_have_events_and_similar_contents_need_none() -> None:
    log = log_of(
        [(u, c, "view", None, 10 * i) for i, (u, c) in enumerate([(0, 0), (1, 0), (0, 1), (2, 1), (5, 0), (5, 1)])],
        t_val=40,
        t_test=50,
        user_created={3: 35, 4: 36},
        content_created={2: 25, 3: 26},
    )
    t = 60
    graph = graph_of(log, similarity=SimilaritySettings(k=3, threshold=0.2))
    data = graph.snapshot(t)
    edge_index, cosine = similar_pairs(
        profiles(data["content"].x, data["content"].x_cat, graph.schema.categories["content"]), 3, 0.2
    )
    assert torch.equal(data["content", "similar", "content"].edge_index, edge_index)
    assert torch.equal(data["content", "similar", "content"].edge_attr[:, 0], cosine)
    assert {(2, 3), (3, 2)} <= set(zip(*edge_index.tolist(), strict=True))
    active = np.array([0, 1, 2, 5])
    linked = data["user", "similar", "user"].edge_index
    x, x_cat = data["user"].x[active], data["user"].x_cat[active]
    expected, _ = similar_pairs(profiles(x, x_cat, graph.schema.categories["user"]), 3, 0.2)
    assert linked.shape[1] > 0
    assert linked.tolist() == active[expected.numpy()].tolist()


def test_newcomers_are_appended_without_edges_and_leave_the_cached_snapshot_alone() -> None:
    log = tiny_log(2)
    graph, t = graph_of(log), int(log.time[len(log) // 4])
    existing = log.users.count_before(t)
    newcomers = np.arange(len(log.users) - 1, existing - 1, -1)
    assert len(newcomers) > 1
    plain = graph.snapshot(t)
    kept = {name: value.clone() for name, value in tensors(plain)}
    data = graph.snapshot(t, newcomers)
    assert data["user"].n_id.tolist() == [*range(existing), *newcomers.tolist()]
    for key in ("x", "x_cat"):
        assert torch.equal(data["user"][key][:existing], plain["user"][key])
    alone = graph.newcomers(newcomers, t)
    for key in ("x", "x_cat", "n_id"):
        assert torch.equal(alone["user"][key], data["user"][key][existing:])
    assert [alone[name].num_nodes for name in ("content", "creator", "tag")] == [0, 0, 0]
    assert all(alone[edge_type].edge_index.shape == (2, 0) for edge_type in graph.schema.edge_types)
    for edge_type in graph.schema.edge_types:
        assert torch.equal(data[edge_type].edge_index, plain[edge_type].edge_index)
        assert set(alone[edge_type].keys()) == set(plain[edge_type].keys())
    again = dict(tensors(graph.snapshot(t)))
    assert all(torch.equal(again[name], value) for name, value in kept.items())


def test_users_that_exist_are_no_newcomers() -> None:
    log = tiny_log(0)
    graph, t = graph_of(log), log.boundaries.t_val
    with pytest.raises(ValueError, match="no newcomers"):
        graph.snapshot(t, np.array([0]))
    with pytest.raises(ValueError, match="no newcomers"):
        graph.newcomers(np.array([0]), t)


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 1000))
def test_newcomers_features_do_not_depend_on_their_own_future(seed: int) -> None:
    log = tiny_log(seed % 5)
    t = int(log.time[len(log) // 4])
    encoders, newcomers = fit_encoders(log), np.arange(log.users.count_before(t), len(log.users))
    other = with_other_future(log, t, np.random.default_rng(seed), same_users=True)
    assert_same_bits(
        TemporalGraph(log, encoders).snapshot(t, newcomers), TemporalGraph(other, encoders).snapshot(t, newcomers)
    )
    assert_same_bits(
        TemporalGraph(log, encoders).newcomers(newcomers, t), TemporalGraph(other, encoders).newcomers(newcomers, t)
    )


def test_before_the_first_event_there_is_nothing() -> None:
    log = log_of([(0, 0, "view", None, 10), (1, 0, "like", None, 20)], t_val=30, t_test=40)
    graph = graph_of(log)
    for t in (0, 10):
        data = graph.snapshot(t)
        assert data["user"].num_nodes == data["content"].num_nodes == 0
        assert all(data[edge_type].edge_index.shape == (2, 0) for edge_type in graph.schema.edge_types)
        newcomers = graph.snapshot(t, np.array([1, 0]))["user"]
        assert newcomers.n_id.tolist() == [1, 0]
        assert (newcomers.x[:, :-1] == 0).all()


def test_registered_users_and_contents_exist_before_the_first_event() -> None:
    log = log_of(
        [(0, 0, "view", None, 10), (0, 1, "view", None, 20)],
        t_val=15,
        t_test=18,
        user_created={0: 2},
        content_created={0: 3},
    )
    data = graph_of(log).snapshot(5)
    assert (data["user"].num_nodes, data["content"].num_nodes) == (1, 1)
    assert torch.isfinite(data["user"].x).all()
    assert data["user", "similar", "user"].num_edges == 0


def test_a_log_of_one_type_without_creators_and_tags() -> None:
    log = log_of([(0, 0, "view", None, 10), (1, 0, "view", None, 20), (1, 1, "view", None, 30)], t_val=25, t_test=30)
    graph = graph_of(log)
    assert set(graph.schema.numbers) == {"user", "content"}
    assert graph.schema.event_types == ("view",)
    assert graph.schema.num_moods == 0
    assert graph.snapshot(30)["user", "view", "content"].edge_index.tolist() == [[0, 1], [0, 0]]


def test_creators_and_tags_that_come_after_validation_began_stay_out() -> None:
    log = log_of(
        [(0, 0, "view", None, 10), (0, 1, "view", None, 30)],
        t_val=20,
        t_test=40,
        creator_of=[-1, 0],
        content_tags=[(1, 0)],
    )
    graph = graph_of(log)
    assert set(graph.snapshot(50).node_types) == {"user", "content"} == set(graph.schema.numbers)
    assert not any("rev_" in relation and relation != "rev_view" for _, relation, _ in graph.schema.edge_types)


def test_similarity_can_be_switched_off() -> None:
    graph = graph_of(tiny_log(0), similarity=SimilaritySettings(users=False, contents=False))
    assert not any(relation == "similar" for _, relation, _ in graph.schema.edge_types)
    assert not any(relation == "similar" for _, relation, _ in graph.snapshot(graph.log.boundaries.t_val).edge_types)


def relations(graph: TemporalGraph) -> set[str]:
    return {relation.removeprefix("rev_") for _, relation, _ in graph.schema.edge_types}


@pytest.mark.parametrize(("switch", "node_type"), [("creators", "creator"), ("tags", "tag")])
def test_creators_and_tags_can_be_switched_off_and_nothing_else_changes(switch: str, node_type: str) -> None:
    log = tiny_log(0)
    whole, without = graph_of(log), graph_of(log, **{switch: False})
    gone = {"creators": "created_by", "tags": "has_tag"}[switch]
    assert whole.schema.numbers.keys() - without.schema.numbers.keys() == {node_type}
    assert relations(whole) - relations(without) == {gone}
    assert without.schema.num_moods == whole.schema.num_moods > 0
    for t in (int(log.time[0]), log.boundaries.t_val):
        expected = {name: value for name, value in tensors(whole.snapshot(t)) if node_type not in name}
        found = dict(tensors(without.snapshot(t)))
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_without_time_features_only_attributes_remain() -> None:
    log = tiny_log(1)
    encoders = fit_encoders(log)
    whole, without = graph_of(log), graph_of(log, time_features=False)
    assert without.number_names == {
        "user": tuple(f"attribute:{name}" for name in encoders.user.number_names),
        "content": tuple(f"attribute:{name}" for name in encoders.content.number_names),
        "creator": (),
        "tag": (),
    }
    assert without.schema.numbers == {node_type: len(names) for node_type, names in without.number_names.items()}
    assert without.schema.numbers["user"] > 0 < without.schema.numbers["content"]
    early, late = int(log.time[len(log) // 4]), int(log.time[-1]) + 1
    newcomers = np.arange(log.users.count_before(early), len(log.users))
    assert len(newcomers) > 1
    latest = without.snapshot(late)
    for data in (without.snapshot(early, newcomers), without.newcomers(newcomers, early)):
        for node_type, store in zip(data.node_types, data.node_stores, strict=True):
            assert store.x.shape == (store.num_nodes, without.schema.numbers[node_type])
            assert torch.equal(store.x, latest[node_type].x[store.n_id]), "a static feature changed with the time"
            assert torch.equal(store.x_cat, latest[node_type].x_cat[store.n_id])
    for edge_type in whole.schema.edge_types:
        if edge_type[1] != "similar":
            assert torch.equal(latest[edge_type].edge_index, whole.snapshot(late)[edge_type].edge_index)


def test_without_time_features_nodes_are_similar_by_attributes_and_never_if_they_have_none() -> None:
    log = tiny_log(0)
    graph = graph_of(log, time_features=False)
    data = graph.snapshot(log.boundaries.t_test)
    profile = profiles(data["content"].x, data["content"].x_cat, graph.schema.categories["content"])
    edge_index, cosine = similar_pairs(profile, 10, 0.5)
    assert edge_index.shape[1] > 0
    assert torch.equal(data["content", "similar", "content"].edge_index, edge_index)
    assert torch.equal(data["content", "similar", "content"].edge_attr[:, 0], cosine)

    bare = log_of([(0, 0, "view", None, 10), (1, 0, "view", None, 20), (1, 1, "view", None, 30)], t_val=25, t_test=30)
    graph = graph_of(bare, time_features=False)
    assert graph.schema.numbers == {"user": 0, "content": 0}
    data = graph.snapshot(31)
    assert data["user"].x.shape == data["content"].x.shape == (2, 0)
    assert data["user", "similar", "user"].edge_attr.shape == data["content", "similar", "content"].edge_attr.shape
    assert data["content", "similar", "content"].edge_attr.shape == (0, 1)


def test_the_cache_keeps_the_latest_snapshots_and_changes_nothing() -> None:
    log = tiny_log(0)
    times = [int(log.time[i]) for i in (10, 20, 10, 30, 20, 10)]
    uncached = graph_of(log, cache_bytes=0)  # no time comes twice in a row
    room = sum(get_data_size(uncached.snapshot(t)) for t in (times[1], times[3]))
    cached = graph_of(log, cache_bytes=room)
    made: list[int] = []
    build = cached._make
    cached._make = lambda t: (made.append(t), build(t))[1]  # type: ignore[method-assign]
    for t in times:
        assert_same_bits(cached.snapshot(t), uncached.snapshot(t))
    # 10 and 20 are made; 10 is kept; 30 drives out 20; 20 is made again and drives out 10.
    assert made == [times[0], times[1], times[3], times[1], times[0]]


def test_a_snapshot_that_validation_asked_for_can_be_trained_on() -> None:
    """Lightning validates in inference mode, whose tensors no gradient may need."""
    log = tiny_log(0)
    graph = TemporalGraph(log, fit_encoders(log))
    with torch.inference_mode():
        graph.snapshot(log.boundaries.t_val)
    kept = graph.snapshot(log.boundaries.t_val)
    tensors = [value for store in kept.stores for value in store.values() if isinstance(value, torch.Tensor)]
    assert tensors
    assert not any(tensor.is_inference() for tensor in tensors)
