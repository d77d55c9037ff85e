"""Counters and features at many times at once against those of all nodes at one time."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.data.event_log import EventLog
from recsys.data.features import fit_encoders
from recsys.graph.counters import Counters
from recsys.graph.schema import CONTENT, USER
from recsys.graph.temporal_graph import TemporalGraph
from recsys.graph.timed_columns_kernel import Scale
from recsys.graph.timed_counters import TimedCounters
from recsys.graph.timed_lists_kernel import BUCKETS, FIRST, back_to, before, by_node
from tests.factories import tiny_log
from tests.graph.logs import with_other_future

WINDOWS = (0.1, 0.5, 1.0)


def raw_counters(log: EventLog, node_type: str, nodes: np.ndarray, times: np.ndarray, width: int) -> np.ndarray:
    """Unscaled counters of each node at each time, [G, n, width], asked for all at once and in another order."""
    none = {USER: np.zeros((len(log.users), 0), np.int64), CONTENT: np.zeros((len(log.contents), 0), np.int64)}
    counters = TimedCounters(log, WINDOWS, none)
    at, node = (part.ravel() for part in np.meshgrid(np.arange(len(times)), nodes, indexing="ij"))
    order = np.random.default_rng(0).permutation(len(node))
    out = np.full((len(node), width + (node_type == USER)), np.nan, dtype=np.float32)
    work, size, _ = counters.writing(
        node_type,
        node[order],
        at[order],
        moments=counters.moments(times, np.zeros(len(times), np.int64)),
        scale=Scale(np.zeros((1, width)), np.ones((1, width)), np.inf),
        out=out,
    )
    work(0, size // 3)
    work(size // 3, size)
    return out[np.argsort(order)].reshape(len(times), len(nodes), -1)


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 1000))
def test_counters_at_many_times_equal_those_at_each(seed: int) -> None:
    # Few nodes have long lists of events, many have short ones.
    log = tiny_log(seed % 7) if seed % 2 else tiny_log(seed % 7, num_users=3, num_contents=4, num_events=400)
    rng = np.random.default_rng(seed)
    log = with_other_future(log, int(log.time[len(log) // 2]), rng)
    times = rng.choice(np.concatenate([log.time, log.time + 1, [log.time[0] - 5, log.time[-1] + 10**9]]), 6)
    for node_type in ("user", "content", "creator", "tag"):
        expected = [Counters(log, WINDOWS).before(int(t))[node_type] for t in times]
        width, count = len(expected[0]), max(len(next(iter(columns.values()))) for columns in expected)
        found = raw_counters(log, node_type, np.arange(count), times, width)
        for g, columns in enumerate(expected):
            for j, (name, column) in enumerate(columns.items()):
                np.testing.assert_allclose(found[g, : len(column), j], column, rtol=1e-6, atol=1e-6, err_msg=name)
            if node_type == USER:
                cold = np.bincount(log.user[: log.count_before(int(times[g]))], minlength=count) == 0
                assert (found[g, :, -1] == cold).all()


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 1000))
def test_no_counter_at_a_time_depends_on_what_comes_later(seed: int) -> None:
    log, rng = tiny_log(seed % 7), np.random.default_rng(seed)
    t = int(rng.choice(log.time[1:]))
    other = with_other_future(log, t, rng)
    for node_type in ("user", "content", "creator", "tag"):
        columns = Counters(log, WINDOWS).before(t)[node_type]
        nodes, width = np.arange(len(next(iter(columns.values())))), len(columns)
        if not len(nodes):
            continue
        here, there = (raw_counters(of, node_type, nodes, np.array([t]), width) for of in (log, other))
        assert here.tobytes() == there.tobytes()


def every_time(log: EventLog) -> np.ndarray:
    return np.unique(log.time[len(log) // 4 :])


def test_features_at_the_times_of_scaling_are_those_of_the_snapshot() -> None:
    log = tiny_log(num_users=15, num_contents=25, num_events=150)
    graph = TemporalGraph(log, fit_encoders(log))
    times = every_time(log)
    features = graph.timed_features(times)
    for t in times[::5]:
        snapshot = graph.snapshot(int(t))
        rows = {
            k: (np.arange(snapshot[k].num_nodes), np.zeros(snapshot[k].num_nodes, np.int64))
            for k in snapshot.node_types
        }
        for kind, (x, x_cat) in features.at(rows, np.array([t])).items():
            assert torch.allclose(x, snapshot[kind].x, atol=1e-6)
            assert torch.equal(x_cat, snapshot[kind].x_cat)
            assert x.shape[1] == graph.schema.numbers[kind]


def test_ages_of_centuries_are_ages() -> None:
    """More ns than 64 bits with a sign hold: a date of 1726 must not take the ages of all others with it."""
    log = tiny_log()
    t = int(log.time[-1])
    count, span = log.contents.count_before(t), t - int(log.time[0])
    published = t - np.arange(1, len(log.contents) + 1) * span
    published[[0, 1]] = [pd.Timestamp(date).value for date in ("1726-10-28", "1850-10-28")]
    attributes = log.contents.attributes.assign(published=published)
    kinds = {**log.contents.kinds, "published": "time"}
    log = replace(log, contents=replace(log.contents, attributes=attributes, kinds=kinds))
    graph = TemporalGraph(log, fit_encoders(log))
    ages = np.array([math.log1p(10_000 * (t - int(time)) / span) for time in published])
    mean, deviation = ages[:count].mean(), ages[:count].std()
    expected = np.clip((ages[:count] - mean) / deviation, -5, 5)
    place = graph.number_names["content"].index("attribute:published:age")
    np.testing.assert_allclose(graph.snapshot(t)["content"].x[:, place], expected, rtol=1e-5)
    rows = {CONTENT: (np.arange(count), np.zeros(count, np.int64))}
    x, _ = graph.timed_features(np.array([t])).at(rows, np.array([t]))[CONTENT]
    np.testing.assert_allclose(x[:, place], expected, rtol=1e-5)


def test_newcomers_have_the_features_of_newcomers() -> None:
    log = tiny_log(num_users=15, num_contents=25, num_events=150)
    graph = TemporalGraph(log, fit_encoders(log))
    times = every_time(log)
    t = int(times[0])
    users = np.arange(log.users.count_before(t), len(log.users))
    assert len(users)
    x, x_cat = graph.timed_features(times).at({USER: (users, np.zeros(len(users), np.int64))}, times[:1])[USER]
    newcomers = graph.newcomers(users, t)[USER]
    assert torch.allclose(x, newcomers.x, atol=1e-6)
    assert torch.equal(x_cat, newcomers.x_cat)


@pytest.mark.parametrize("threads", [1, 2])
def test_between_two_scalings_the_earlier_one_counts(threads: int) -> None:
    log = tiny_log(num_users=15, num_contents=25, num_events=150)
    graph = TemporalGraph(log, fit_encoders(log))
    early, late = int(log.time[60]), int(log.time[100])
    contents = np.arange(log.contents.count_before(late))
    rows = {CONTENT: (contents, np.zeros(len(contents), np.int64))}
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        given_early = graph.timed_features(np.array([early])).at(rows, np.array([late]))[CONTENT][0]
        given_both = graph.timed_features(np.array([early, late + 1])).at(rows, np.array([late]))[CONTENT][0]
        own = graph.timed_features(np.array([late])).at(rows, np.array([late]))[CONTENT][0]
    finally:
        torch.set_num_threads(before)
    assert torch.equal(given_early, given_both)
    assert not torch.allclose(given_early, own, atol=1e-3)


@settings(deadline=None, max_examples=50)
@given(
    items=st.lists(st.integers(0, 300), unique=True, max_size=150).map(sorted),
    bounds=st.lists(st.integers(-5, 305), min_size=1, max_size=5),
    around=st.integers(0, 40),
)
def test_searches_in_a_list_whatever_lies_around_it(items: list[int], bounds: list[int], around: int) -> None:
    beyond = np.random.default_rng(around).integers(0, 300, around)
    padded = np.concatenate([np.zeros(FIRST, int), beyond, items, beyond]).astype(np.int32)
    m, first = len(bounds), FIRST + around
    begin, end = (np.full(m + 1, place, dtype=np.uint32) for place in (first, first + len(items)))
    exact = first + np.searchsorted(items, bounds)
    for search in (before, back_to):
        found = np.zeros(m + 1, np.uint32)
        search(padded, begin, end, np.array([*bounds, 7], dtype=np.int32), m, found)
        assert found.tolist() == [*exact, 0]


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 1000), num_nodes=st.sampled_from([1, 5, 3000, 100_000]), size=st.integers(0, 60))
def test_rows_by_node_are_all_rows_and_those_of_a_node_lie_together(seed: int, num_nodes: int, size: int) -> None:
    node = np.random.default_rng(seed).integers(0, num_nodes, size)
    first, last = size // 4, size - size // 5
    order = np.full(size + 1, 10**6, dtype=np.uint32)
    by_node(node, first, last, num_nodes, order)
    rows = order[: last - first].astype(np.int64)
    assert sorted(rows) == list(range(first, last))
    assert (order[last - first :] == 10**6).all()
    shift = 0
    while num_nodes >> shift > BUCKETS:
        shift += 1
    assert (np.diff(node[rows] >> shift) >= 0).all()
