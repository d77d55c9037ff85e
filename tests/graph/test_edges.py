"""Edges of the log: strength and recency by hand, what is in and what is out at a time, and their order."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.graph.edges import LogEdges
from tests.factories import tiny_log
from tests.graph.logs import log_of

EVENTS = [
    (0, 0, "view", None, 100),
    (1, 0, "like", None, 150),
    (1, 1, "view", None, 150),
    (0, 1, "view", None, 200),
    (2, 0, "view", None, 300),
]


def test_weight_recency_and_strength_by_hand() -> None:
    log = log_of(EVENTS, t_val=250, t_test=280)
    views = LogEdges(log).before(300)[("user", "view", "content")]
    # Sorted by content, then time. The largest weight is 4, a view has weight 1, the span is [100, 300].
    assert views["edge_index"].tolist() == [[0, 1, 0], [0, 1, 1]]
    assert views["time"].tolist() == [100, 150, 200]
    expected = [
        [1 / 4, 0.0, 1 * (1 + 0.0) / 8],
        [1 / 4, 0.25, 1 * (1 + 0.25) / 8],
        [1 / 4, 0.5, 1 * (1 + 0.5) / 8],
    ]
    torch.testing.assert_close(views["edge_attr"], torch.tensor(expected))
    likes = LogEdges(log).before(300)[("content", "rev_like", "user")]
    assert likes["edge_index"].tolist() == [[0], [1]]
    torch.testing.assert_close(likes["edge_attr"], torch.tensor([[3 / 4, 0.25, 3 * 1.25 / 8]]))


def test_an_event_at_the_query_time_is_no_edge_yet() -> None:
    edges = LogEdges(log_of(EVENTS, t_val=250, t_test=280))
    counts = {t: edges.before(t)[("user", "view", "content")]["time"].numel() for t in (100, 101, 150, 151, 300, 301)}
    assert counts == {100: 0, 101: 1, 150: 1, 151: 2, 300: 3, 301: 4}


def test_creators_and_tags_come_with_their_contents() -> None:
    log = log_of(
        EVENTS,
        t_val=250,
        t_test=280,
        creator_of=[0, 0],
        user_of_creator=[-1],
        content_tags=[(0, 0), (1, 0), (1, 1)],
    )
    edges = LogEdges(log)
    early, late = edges.before(150), edges.before(151)  # content 1 is first seen at 150
    assert early[("content", "created_by", "creator")]["edge_index"].tolist() == [[0], [0]]
    assert early[("content", "has_tag", "tag")]["edge_index"].tolist() == [[0], [0]]
    assert late[("content", "created_by", "creator")]["edge_index"].tolist() == [[0, 1], [0, 0]]
    assert late[("content", "has_tag", "tag")]["edge_index"].tolist() == [[0, 1, 1], [0, 0, 1]]
    assert late[("tag", "rev_has_tag", "content")]["edge_index"].tolist() == [[0, 0, 1], [0, 1, 1]]


def test_a_log_without_creators_and_tags_has_event_edges_only() -> None:
    edges = LogEdges(log_of(EVENTS, t_val=250, t_test=280))
    assert set(edges.before(200)) == set(edges.edge_types)
    assert {relation for _, relation, _ in edges.edge_types} == {"view", "rev_view", "like", "rev_like"}


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 5), where=st.floats(0, 1.1))
def test_event_edges_are_the_events_before_the_time_both_ways_sorted_by_target_then_time(
    seed: int, where: float
) -> None:
    log = tiny_log(seed)
    t = int(log.time[0] + where * (log.time[-1] - log.time[0]))
    edges = LogEdges(log).before(t)
    for i, name in enumerate(log.types):
        events = [
            (int(log.user[e]), int(log.content[e]), int(log.time[e]))
            for e in range(len(log))
            if log.type[e] == i and log.time[e] < t
        ]
        forward, backward = edges[("user", name, "content")], edges[("content", f"rev_{name}", "user")]
        pairs = list(zip(*forward["edge_index"].tolist(), forward["time"].tolist(), strict=True))
        assert sorted(pairs) == sorted(events)
        assert [(c, at) for _, c, at in pairs] == sorted((c, at) for _, c, at in events)
        pairs = list(zip(*backward["edge_index"].tolist(), backward["time"].tolist(), strict=True))
        assert sorted(pairs) == sorted((c, u, at) for u, c, at in events)
        assert [(u, at) for _, u, at in pairs] == sorted((u, at) for u, _, at in events)
