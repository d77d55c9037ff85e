"""What happened to every node in the order of time, laid out for look-ups as of any time; compiled.

Arrays that belong together lie interleaved in memory: what is read of one item, or of one node, is one cache line.
"""

from typing import NamedTuple

import numpy as np

from recsys.compiled import outer

BUCKETS = 4096  # into which rows are put by node
NEAR = 8  # last items of a list, which are looked at before all others are searched
FIRST = NEAR  # place of the first item of all lists; place 0 stands for none

_ONE, _NEAR = np.uint64(1), np.uint64(NEAR)


class Lists(NamedTuple):
    """Ascending whole numbers of every node: its events, say.

    Attributes:
        begin, end: where each node's begin and end in `item`, uint32, [nodes].
        item: from place FIRST on, and a zero at the end, which a list without items there may look at; int32,
            [FIRST + items + 1].
    """

    begin: np.ndarray
    end: np.ndarray
    item: np.ndarray


@outer
def in_lists(node: np.ndarray, item: np.ndarray, num_nodes: int, items: np.ndarray, pair: np.ndarray) -> np.ndarray:
    """Put the items of each node into their order (counting sort); gives where each list begins, int64, [nodes + 1].

    Args:
        node: of each pair, int64, [P].
        item: of each pair, ascending, int64, [P].
        num_nodes: nodes.
        items: written to from FIRST on: the items list by list, int32, [FIRST + P + 1].
        pair: written to alike: which pair each came from, int32, [FIRST + P + 1].
    """
    offset = np.empty(num_nodes + 1, np.int64)
    for v in range(num_nodes + 1):
        offset[v] = 0
    for v in node:
        offset[v + 1] += 1
    offset[0] = FIRST
    for v in range(num_nodes):
        offset[v + 1] += offset[v]
    cursor = np.empty(num_nodes, np.int64)
    for v in range(num_nodes):
        cursor[v] = offset[v]
    for i in range(len(node)):
        place = cursor[node[i]]
        cursor[node[i]] += 1
        items[place], pair[place] = item[i], i
    return offset


@outer
def run_counts(offset: np.ndarray, kind: np.ndarray, counts: np.ndarray) -> None:
    """Of each kind count the items of a node up to and including each, int32, [FIRST + items + 1, kinds].

    They begin anew with every node.
    """
    for v in range(offset.shape[0] - 1):
        for i in range(offset[v], offset[v + 1]):
            for k in range(counts.shape[1]):
                counts[i, k] = (counts[i - 1, k] if i > offset[v] else 0) + (kind[i] == k)


@outer
def run_sums(offset: np.ndarray, value: np.ndarray, sums: np.ndarray) -> None:
    """Sum each node's values up to and including each, float64, [FIRST + items + 1].

    Sums begin anew with every node: so no rounding and no bit of one node depends on the others.
    """
    for v in range(offset.shape[0] - 1):
        total = 0.0
        for i in range(offset[v], offset[v + 1]):
            total += value[i]
            sums[i] = total


@outer
def by_node(node: np.ndarray, first: int, last: int, num_nodes: int, order: np.ndarray) -> None:
    """Fill `order` (uint32) with the rows [first, last) about in the order of their nodes.

    It is near enough for memory, and quicker than a sort.
    """
    shift = 0
    while num_nodes >> shift > BUCKETS:
        shift += 1
    offset = np.empty((num_nodes >> shift) + 2, np.int64)
    for k in range(offset.shape[0]):
        offset[k] = 0
    for i in range(first, last):
        offset[(node[i] >> shift) + 1] += 1
    for k in range(1, offset.shape[0]):
        offset[k] += offset[k - 1]
    for i in range(first, last):
        k = node[i] >> shift
        order[offset[k]] = i
        offset[k] += 1


@outer
def before(items: np.ndarray, begin: np.ndarray, end: np.ndarray, bound: np.ndarray, m: int, found: np.ndarray) -> None:
    """Where the first of each row's ascending items [begin, end) that is at least its `bound` is, for m rows.

    Loops are here, not around a function of one row: numba counts the references to arrays at every call.
    """
    for i in range(m):
        low, size, most = np.uint64(begin[i]), np.uint64(end[i]) - np.uint64(begin[i]), bound[i]
        while size > _ONE:  # without a branch that could be guessed wrong
            half = size >> _ONE
            low += half * np.uint64(items[low + half - _ONE] < most)
            size -= half
        found[i] = low + np.uint64(size == _ONE and items[low] < most)


@outer
def back_to(
    items: np.ndarray, begin: np.ndarray, end: np.ndarray, bound: np.ndarray, m: int, found: np.ndarray
) -> None:
    """What `before` gives, sooner where it is near the end; NEAR places must lie before `begin`."""
    for i in range(m):
        low, high, least = np.uint64(begin[i]), np.uint64(end[i]), bound[i]
        inside, count = _ONE, np.uint64(0)
        for k in range(1, NEAR + 1):  # without a branch that could be guessed wrong
            inside &= np.uint64(items[high - np.uint64(k)] >= least)
            count += inside
        if count < _NEAR or high - low <= _NEAR:
            found[i] = high - min(count, high - low)
            continue
        size = high - low - _NEAR
        while size > _ONE:
            half = size >> _ONE
            low += half * np.uint64(items[low + half - _ONE] < least)
            size -= half
        found[i] = low + np.uint64(size == _ONE and items[low] < least)
