"""What happened to every node in the order of time, laid out for look-ups as of any time; compiled.

Arrays that belong together lie interleaved in memory: what is read of one item, or of one node, is one cache line.
"""

from typing import NamedTuple

import numba
import numpy as np

BUCKETS = 4096  # into which rows are put by node
REACH = 32  # items that are compared with a bound at once
TOGETHER = 3  # bounds that are compared with the same items at once

_ONE, _REACH = np.uint64(1), np.uint64(REACH)


class Lists(NamedTuple):
    """Ascending whole numbers of every node: its events, say.

    Attributes:
        begin, end: where each node's begin and end in `item`, uint32, [nodes].
        item: between REACH zeros on either side, int32, [items + 2 REACH].
    """

    begin: np.ndarray
    end: np.ndarray
    item: np.ndarray


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def in_lists(node: np.ndarray, item: np.ndarray, num_nodes: int, items: np.ndarray, pair: np.ndarray) -> np.ndarray:
    """Put the items of each node into their order (counting sort); gives where each list begins, int64, [nodes + 1].

    Args:
        node: of each pair, int64, [P].
        item: of each pair, ascending, int64, [P].
        num_nodes: nodes.
        items: written to from REACH on: the items list by list, int32, [P + 2 REACH].
        pair: written to alike: which pair each came from, int32, [P + 2 REACH].
    """
    offset = np.zeros(num_nodes + 1, np.int64)
    for v in node:
        offset[v + 1] += 1
    offset[0] = REACH
    for v in range(num_nodes):
        offset[v + 1] += offset[v]
    cursor = offset[:-1].copy()
    for i in range(len(node)):
        place = cursor[node[i]]
        cursor[node[i]] += 1
        items[place], pair[place] = item[i], i
    return offset


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def run_counts(offset: np.ndarray, kind: np.ndarray, counts: np.ndarray) -> None:
    """Of each kind count the items of a node up to and including each, int32, [items + 2 REACH, kinds].

    They begin anew with every node.
    """
    for v in range(offset.shape[0] - 1):
        for i in range(offset[v], offset[v + 1]):
            for k in range(counts.shape[1]):
                counts[i, k] = (counts[i - 1, k] if i > offset[v] else 0) + (kind[i] == k)


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def run_sums(offset: np.ndarray, value: np.ndarray, sums: np.ndarray) -> None:
    """Sum each node's values up to and including each, float64, [items + 2 REACH].

    Sums begin anew with every node: so no rounding and no bit of one node depends on the others.
    """
    for v in range(offset.shape[0] - 1):
        total = 0.0
        for i in range(offset[v], offset[v + 1]):
            total += value[i]
            sums[i] = total


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def by_node(node: np.ndarray, num_nodes: int) -> np.ndarray:
    """The rows about in the order of their nodes: near enough for memory, and quicker than a sort; int32, [P]."""
    shift = 0
    while num_nodes >> shift > BUCKETS:
        shift += 1
    offset = np.zeros((num_nodes >> shift) + 2, np.int64)
    for v in node:
        offset[(v >> shift) + 1] += 1
    for k in range(1, offset.shape[0]):
        offset[k] += offset[k - 1]
    order = np.empty(len(node), np.uint32)
    for i in range(len(node)):
        k = node[i] >> shift
        order[offset[k]] = i
        offset[k] += 1
    return order


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def before(items: np.ndarray, begin: np.uint64, end: np.uint64, bound: int) -> np.uint64:
    """Where the first of the ascending items [begin, end) that is at least `bound`, int32, is."""
    size = end - begin  # unsigned, for indices that need no check
    while size > _REACH:
        half = size >> _ONE
        begin = begin + half if items[begin + half - _ONE] < bound else begin
        size -= half
    count, room = np.int32(0), np.int32(size)
    for k in range(REACH):  # without a branch, many at once
        count += np.int32((items[begin + np.uint64(k)] < bound) & (np.int32(k) < room))
    return begin + np.uint64(count)


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def back_to(
    items: np.ndarray, begin: np.uint64, end: np.uint64, bounds: tuple[int, int, int]
) -> tuple[np.uint64, np.uint64, np.uint64]:
    """`before` for bounds, int32, but it looks no further back than REACH items."""
    low, middle, high = bounds
    first = second = third = np.int32(0)
    start, outside = end - _REACH, np.int32(REACH) - np.int32(end - begin if end - begin < _REACH else _REACH)
    for k in range(REACH):
        item, own = items[start + np.uint64(k)], np.int32(k) >= outside
        first += np.int32((item >= low) & own)
        second += np.int32((item >= middle) & own)
        third += np.int32((item >= high) & own)
    return end - np.uint64(first), end - np.uint64(second), end - np.uint64(third)
