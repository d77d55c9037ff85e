"""Counters against a recomputation event by event, and against numbers worked out by hand."""

import math
from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.data.event_log import EventLog, NodeTable
from recsys.graph.counters import Counters, window_size
from tests.factories import tiny_log
from tests.graph.logs import log_of, with_other_future

WINDOWS = (0.1, 0.5, 1.0)


def log1p_age(age: int, span: int) -> float:
    return math.log1p(10_000 * age / span)


def naive(log: EventLog, t: int) -> dict[str, dict[str, list[float]]]:
    """Every counter by its definition, one event at a time."""
    past = [e for e in range(len(log)) if log.time[e] < t]
    n = len(past)
    span = t - int(log.time[0]) if past else 1
    num = {
        node_type: sum(int(born) < t for born in nodes.exists_from)
        for node_type, nodes in {
            "user": log.users,
            "content": log.contents,
            "creator": log.creators,
            "tag": log.tags,
        }.items()
    }
    in_window = {w: past[n - min(n, max(1, math.floor(w * n + 1e-9))) :] for w in (*WINDOWS, 0.05)}

    def log_counts(column: np.ndarray, count: int) -> dict[str, list[float]]:
        columns = {}
        for w in WINDOWS:
            seen = Counter(int(column[e]) for e in in_window[w])
            columns[f"log_events_last_{w:g}"] = [math.log1p(seen[i]) for i in range(count)]
        for suffix, events in (("", past), ("_last_0.05", in_window[0.05])):
            for k, name in enumerate(log.types):
                seen = Counter(int(column[e]) for e in events if log.type[e] == k)
                columns[f"log_{name}_events{suffix}"] = [math.log1p(seen[i]) for i in range(count)]
        return columns

    def ages(nodes: NodeTable, count: int) -> list[float]:
        return [log1p_age(t - int(nodes.exists_from[i]), span) for i in range(count)]

    def freshness(column: np.ndarray, count: int) -> list[float]:
        last = {int(column[e]): int(log.time[e]) for e in past}
        return [math.log1p(10_000) - log1p_age(t - last[i], span) if i in last else 0.0 for i in range(count)]

    first: dict[int, int] = {}
    for e in past:
        first.setdefault(int(log.user[e]), int(log.time[e]))
    met = defaultdict(list)
    for e in past:
        earlier = sum(log.content[e] == log.content[other] and log.time[other] < log.time[e] for other in past)
        met[int(log.user[e])].append(math.log1p(earlier))
    posts = Counter(
        int(log.user_of_creator[log.creator_of[c]]) for c in range(num["content"]) if log.creator_of[c] >= 0
    )
    user = log_counts(log.user, num["user"]) | {
        "age": ages(log.users, num["user"]),
        "age_of_first_event": [log1p_age(t - first[i], span) if i in first else 0.0 for i in range(num["user"])],
        "freshness": freshness(log.user, num["user"]),
        "mean_popularity": [sum(met[i]) / len(met[i]) if met[i] else 0.0 for i in range(num["user"])],
        "log_posts": [math.log1p(posts[i]) for i in range(num["user"])],
    }
    content = log_counts(log.content, num["content"]) | {
        "mean_value": naive_mean_values(log, past, num["content"]),
        "age": ages(log.contents, num["content"]),
        "freshness": freshness(log.content, num["content"]),
    }
    seen = {w: Counter(int(log.content[e]) for e in in_window[w]) for w in WINDOWS}
    for short, long in ((0.1, 0.5), (0.5, 1.0)):
        content[f"trend_{short:g}_{long:g}"] = [
            math.log1p(1000 * seen[short][i] / max(len(in_window[short]), 1))
            - math.log1p(1000 * seen[long][i] / max(len(in_window[long]), 1))
            for i in range(num["content"])
        ]

    def group(pairs: list[tuple[int, int]], count: int) -> dict[str, list[float]]:
        members = [[c for c, g in pairs if g == i and c < num["content"]] for i in range(count)]
        columns = {"log_contents": [math.log1p(len(m)) for m in members]}
        for w in WINDOWS:
            columns[f"log_events_last_{w:g}"] = [math.log1p(sum(seen[w][c] for c in m)) for m in members]
        return columns

    return {
        "user": user,
        "content": content,
        "creator": group(list(enumerate(log.creator_of)), num["creator"]),
        "tag": group([(int(c), int(g)) for c, g in log.content_tags.T], num["tag"]),
    }


def naive_mean_values(log: EventLog, past: list[int], num_contents: int) -> list[float]:
    valued = [e for e in past if math.isfinite(log.value[e])]
    scaled = {}
    for e in valued:
        of_type = [float(log.value[other]) for other in valued if log.type[other] == log.type[e]]
        width = max(of_type) - min(of_type)
        scaled[e] = (float(log.value[e]) - min(of_type)) / width if width else 0.0
    if not valued:
        return [0.0] * num_contents
    average = sum(scaled.values()) / len(scaled)
    means = []
    for c in range(num_contents):
        own = [scaled[e] - average for e in valued if log.content[e] == c]
        means.append(sum(own) / (len(own) + 5))
    return means


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 1000), where=st.floats(-0.05, 1.1))
def test_counters_equal_a_recomputation_event_by_event(seed: int, where: float) -> None:
    log = tiny_log(seed % 7)
    log = with_other_future(log, int(log.time[len(log) // 2]), np.random.default_rng(seed))
    t = int(log.time[0] + where * (log.time[-1] - log.time[0]))
    expected = naive(log, t)
    for node_type, columns in Counters(log, WINDOWS).before(t).items():
        assert set(columns) == set(expected[node_type])
        for name, column in columns.items():
            np.testing.assert_allclose(column, expected[node_type][name], rtol=1e-9, atol=1e-9, err_msg=name)


def test_by_hand() -> None:
    events = [
        (0, 0, "view", None, 0),
        (0, 1, "rating", 1.0, 10),
        (1, 1, "rating", 5.0, 20),
        (1, 1, "view", None, 30),
        (0, 0, "view", None, 40),
        (1, 2, "rating", 4.0, 80),  # after the query time
    ]
    log = log_of(events, t_val=50, t_test=60)
    raw = Counters(log, (0.4, 1.0)).before(41)
    # Five events so far: the window .4 holds the last two of them.
    np.testing.assert_allclose(raw["user"]["log_events_last_0.4"], np.log([2, 2]))
    np.testing.assert_allclose(raw["user"]["log_events_last_1"], np.log([4, 3]))
    np.testing.assert_allclose(raw["user"]["log_rating_events"], np.log([2, 2]))
    # When user 0 met contents 0, 1 and 0 they had had 0, 0 and 1 events; when user 1 met content 1 it had had 1 and 2.
    np.testing.assert_allclose(raw["user"]["mean_popularity"], [np.log(2) / 3, np.log(6) / 2])
    np.testing.assert_allclose(raw["user"]["age_of_first_event"], np.log1p([10_000, 10_000 * 21 / 41]))
    # Scaled ratings are 0 and 1, their mean 1/2; content 1 has both.
    np.testing.assert_allclose(raw["content"]["mean_value"], [0, 0], atol=1e-12)
    np.testing.assert_allclose(raw["content"]["trend_0.4_1"], [np.log(501) - np.log(401), np.log(501) - np.log(601)])
    # One rating later there are values 0, 1 and 3/4 with mean 7/12: content 1 has (-7/12 + 5/12) / (2 + 5).
    later = Counters(log, (0.4, 1.0)).before(81)
    np.testing.assert_allclose(later["content"]["mean_value"], [0, -2 / 12 / 7, 2 / 12 / 6])


def test_events_at_the_query_time_do_not_count() -> None:
    log = log_of([(0, 0, "view", None, 0), (0, 0, "view", None, 10), (0, 0, "view", None, 10)], t_val=5, t_test=6)
    counters = Counters(log, (1.0,))
    assert counters.before(10)["user"]["log_view_events"] == np.log1p(1)
    assert counters.before(11)["user"]["log_view_events"] == np.log1p(3)


def test_a_log_looks_the_same_in_another_unit_of_time() -> None:
    log = tiny_log(1)
    start = int(log.time[0])

    def stretched(nodes: NodeTable) -> NodeTable:
        return replace(nodes, exists_from=start + 7 * (np.minimum(nodes.exists_from, log.time[-1] + 1) - start))

    slow = replace(
        log,
        time=start + 7 * (log.time - start),
        **{name: stretched(getattr(log, name)) for name in ("users", "contents", "creators", "tags")},
    )
    t = log.boundaries.t_val
    ours, theirs = Counters(log, WINDOWS).before(t), Counters(slow, WINDOWS).before(start + 7 * (t - start))
    for node_type, columns in ours.items():
        for name, column in columns.items():
            np.testing.assert_allclose(column, theirs[node_type][name], err_msg=name)


@pytest.mark.parametrize(
    ("n", "share", "size"), [(0, 0.5, 0), (10, 0.01, 1), (100, 0.29, 29), (7, 0.5, 3), (7, 1.0, 7)]
)
def test_window_size(n: int, share: float, size: int) -> None:
    assert window_size(n, share) == size
