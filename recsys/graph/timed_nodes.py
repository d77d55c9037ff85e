"""The nodes of a log as compiled code reads them at any time: what happened to each, in the order of time."""

import numpy as np

from recsys.data.event_log import NEVER, EventLog
from recsys.graph.timed_kernel import Nodes
from recsys.graph.timed_lists_kernel import FIRST, Lists, in_lists, run_counts, run_sums

# Nodes that arrays hold beyond the last: with one node or none, numpy would say that columns lie in one piece, and
# numba would compile for that anew.
SPARE = 2


def nodes_with_events(
    log: EventLog, node: np.ndarray, exists_from: np.ndarray, times: np.ndarray, popularity: np.ndarray
) -> Nodes:
    """Users or contents, without what is only known of one of the two.

    Args:
        log: the event log.
        node: that each event is counted for, int64, [num_events].
        exists_from: of each node, ns, int64, [n].
        times: attributes that are times, int64, [n, k].
        popularity: log popularity of each event's content when they met, float64, [num_events].
    """
    events, offset, item = sorted_lists(node, np.arange(len(log)), len(exists_from))
    num_types = len(log.types)
    # What belongs to an item, and what belongs to a node, lies together.
    past = np.zeros((len(item), 2 + (num_types + 1) // 2), np.int64)
    time, popularity_of, types = past[:, 0], past.view(np.float64)[:, 1], past.view(np.int32)[:, 4 : 4 + num_types]
    n = len(exists_from)
    own = np.full((n + SPARE, 3), NEVER)
    begin, end = own.view(np.uint32)[:, 4], own.view(np.uint32)[:, 5]
    own[:n, 0], begin[:], end[:] = exists_from, events.begin, events.end
    if len(log):
        time[:] = log.time[item]
        run_counts(offset, log.type[item], types)
        run_sums(offset, popularity[item], popularity_of)
        some = events.end > events.begin
        own[some, 1] = time[events.begin[some]]
    none = np.zeros(0, np.int64)
    return Nodes(
        events=Lists(begin, end, events.item),
        time=time,
        types=types,
        popularity=popularity_of,
        exists_from=own[:, 0],
        first_time=own[:, 1],
        times=np.ascontiguousarray(times),
        contents=lists(none, none, 0),
        values=lists(none, none, 0),
        total=np.zeros(0),
    )


def groups(events: Lists, contents: Lists) -> Nodes:
    """Creators or tags, with the events on their contents."""
    none = np.zeros((SPARE, 2), np.int64)
    return Nodes(
        events=events,
        time=none[:, 0],
        types=none.view(np.int32)[:, :1],
        popularity=none.view(np.float64)[:, 0],
        exists_from=none[:, 0],
        first_time=none[:, 0],
        times=np.zeros((1, 0), np.int64),
        contents=contents,
        values=lists(none[:0, 0], none[:0, 0], 0),
        total=np.zeros(0),
    )


def lists(node: np.ndarray, item: np.ndarray, num_nodes: int) -> Lists:
    """The items of each node, from pairs with ascending items, [P] each."""
    return sorted_lists(node, item, num_nodes)[0]


def sorted_lists(node: np.ndarray, item: np.ndarray, num_nodes: int) -> tuple[Lists, np.ndarray, np.ndarray]:
    """Lists as `lists`, where they begin, [num_nodes + 1], and which pair each item came from, [FIRST + P + 1]."""
    # Made here, not by numba: numpy asks for large pages.
    items, pair = (np.zeros(FIRST + len(node) + 1, np.int32) for _ in range(2))
    offset = in_lists(node.astype(np.int64), item.astype(np.int64), num_nodes, items, pair)
    ends = np.full((num_nodes + SPARE, 2), FIRST, np.uint32)
    ends[:num_nodes, 0], ends[:num_nodes, 1] = offset[:-1], offset[1:]
    return Lists(ends[:, 0], ends[:, 1], items), offset, pair


def longest(nodes: Nodes) -> int:
    """Length of the longest list of events or contents."""
    return int(max((of.end - of.begin).max(initial=0) for of in (nodes.events, nodes.contents)))
