"""The compiled part of temporal neighbour sampling; `neighbor_sampler.py` prepares its arrays and reads its results.

Everything here runs without the interpreter's lock, on a range of subgraphs, and depends on nothing but its arguments:
so a batch can be cut among threads at will. What is random in a subgraph comes from that subgraph's key alone.

A hop is made in steps, each a loop whose turns do not wait for one another: so what memory is slow to give is asked for
together. In the innermost loops indices are unsigned, which spares the check whether they count from the end.
"""

from typing import NamedTuple

import numba
import numpy as np

from recsys.compiled import inner, outer
from recsys.loading.adjacency_kernel import LAST, UNIFORM, Adjacency
from recsys.loading.draw_kernel import FEW, draw_uniform, draw_weighted
from recsys.loading.node_table_kernel import empty_table, place_of

_ONE = np.uint64(1)


class Roots(NamedTuple):
    """The nodes that subgraphs grow from, sorted by subgraph; S subgraphs, M roots.

    Attributes:
        type, node: of each root, int64, [M].
        place: place of each root among its type's in the result, int64, [M].
        offset: where each subgraph's roots begin, int64, [S + 1].
        time: query time of each subgraph, int64, [S].
        key: seeds each subgraph's random numbers, uint64, [S].
    """

    type: np.ndarray
    node: np.ndarray
    place: np.ndarray
    offset: np.ndarray
    time: np.ndarray
    key: np.ndarray


class Found(NamedTuple):
    """What was found in a range of subgraphs, in the order it was found.

    Attributes:
        node_type, node: of each node, uint8 and int32, [n].
        edge_type: uint8, [e].
        edge: source and target as places among the subgraph's nodes, and the edge's number, int32, [e, 3].
    """

    node_type: np.ndarray
    node: np.ndarray
    edge_type: np.ndarray
    edge: np.ndarray


class Counts(NamedTuple):
    """How many nodes and edges were found in all subgraphs; S subgraphs.

    Attributes:
        nodes: of each subgraph, hop (0 for roots) and node type, int64, [S, hops + 1, node types].
        edges: of each subgraph, hop and edge type, int64, [S, hops, R].
    """

    nodes: np.ndarray
    edges: np.ndarray


class Result(NamedTuple):
    """The batch: nodes of all types one after the other, and so the edges; a type's come hop by hop.

    Attributes:
        node, batch: node and subgraph, int64, [N].
        edge_index: places of sources, then of targets, among their types' nodes, of one type after the other, int64,
            [2 E].
        edge: number of the edge in its type's `edge_index`, int64, [E].
    """

    node: np.ndarray
    batch: np.ndarray
    edge_index: np.ndarray
    edge: np.ndarray


@outer
def find(
    graph: Adjacency,
    weighted: Adjacency | None,
    fan_out: np.ndarray,
    replace: bool,
    roots: Roots,
    first: int,
    last: int,
    counts: Counts,
    state: np.ndarray,
    guess: int,
) -> Found:
    """Sample the neighbourhoods of subgraphs [first, last).

    Args:
        graph: the edges.
        weighted: the same if any are drawn by weights; for None what draws those is not compiled.
        fan_out: most neighbours of a node, -1 for all, int64, [R, hops].
        replace: whether an edge can be drawn several times.
        roots: where the subgraphs begin.
        first: first subgraph.
        last: the subgraph after the last.
        counts: added to.
        state: room for that of random numbers, uint64, [1].
        guess: nodes and edges to make room for at first.
    """
    # Named once: numba counts references to arrays wherever they are taken from a tuple or given to a function.
    into_offset, row_of, start, time, ended = graph.into_offset, graph.row, graph.start, graph.time, graph.end
    any_ends = ended.shape[0] > 0
    num_types, hops, most_types = graph.first_id.shape[0], fan_out.shape[1], 0
    for kind in range(num_types):
        most_types = max(most_types, graph.into_offset[kind + 1] - graph.into_offset[kind])
    node_type, node = np.empty(guess, np.uint8), np.empty(guess, np.int32)
    edge_type, edge = np.empty(guess, np.uint8), np.empty((guess, 3), np.int32)
    picked = np.empty(64, np.int64)  # of draws
    if weighted is not None:
        score = np.empty(16, np.float64)
    # Of the edges into the nodes of a hop: first, first visible and after the last visible; and room for two times.
    ranges = np.empty((64, 5), np.int64)
    num_nodes, num_edges = counts.nodes, counts.edges
    slots = empty_table(1024)
    n = e = 0
    for s in range(first, last):
        state[0], t, before = roots.key[s], roots.time[s], n
        count = roots.offset[s + 1] - roots.offset[s]
        if n + count > node.shape[0]:
            node_type, node = _longer(node_type, n + count), _longer(node, n + count)
        slots = _with_room(slots, s, graph.first_id, node_type, node, before, n, count)
        for i in range(roots.offset[s], roots.offset[s + 1]):
            kind = roots.type[i]
            node_type[n], node[n] = kind, roots.node[i]
            # Edges lead to the first of equal roots.
            place_of(slots, s, graph.first_id[kind] + roots.node[i], n - before)
            num_nodes[s, 0, kind] += 1
            n += 1
        begin = before
        for hop in range(hops):
            end, drawn = n, e
            if (end - begin) * most_types > ranges.shape[0]:
                ranges = np.empty((2 * (end - begin) * most_types, 5), np.int64)
            q = 0
            for i in range(begin, end):
                kind = node_type[i]
                num_into = into_offset[kind + 1] - into_offset[kind]
                at = row_of[kind] + num_into * node[i]
                for a in range(num_into):
                    row, line = np.uint64(at + a), np.uint64(q)
                    ranges[line, 0], ranges[line, 2] = start[row], start[row + _ONE]
                    q += 1
            # What the search looks at first is asked for here, where no turn waits for an answer.
            for p in range(q):
                low, high = ranges[p, 0], ranges[p, 2]
                ranges[p, 1] = low
                ranges[p, 3] = time[np.uint64(high - 1)] if low < high else t
                ranges[p, 4] = time[np.uint64(low + high) >> _ONE] if low < high else t
            for p in range(q):
                low, high = ranges[p, 0], ranges[p, 2]
                if low < high and ranges[p, 3] >= t:
                    ranges[p, 2] = first_from(time, low, high, t)
            if any_ends:
                for p in range(q):
                    ranges[p, 1] = first_from(ended, ranges[p, 0], ranges[p, 2], t)
            q = 0
            for i in range(begin, end):
                kind = node_type[i]
                for a in range(graph.into_offset[kind], graph.into_offset[kind + 1]):
                    target_low, low, high = ranges[q, 0], ranges[q, 1], ranges[q, 2]
                    q += 1
                    r = graph.into[a]
                    wanted = fan_out[r, hop]
                    if wanted == 0 or high == low:
                        continue
                    size, chance = high - low, graph.chance[r]
                    most = size if wanted < 0 else wanted
                    if e + most > edge.shape[0]:
                        edge_type, edge = _longer(edge_type, e + most), _longer_rows(edge, e + most)
                    if most > picked.shape[0] // FEW:
                        picked = np.empty(2 * FEW * most, np.int64)
                        if weighted is not None:
                            score = np.empty(2 * most, np.float64)
                    if chance <= LAST and (chance == LAST or wanted < 0 or (size <= wanted and not replace)):
                        count = min(most, size)
                        for j in range(count):
                            at, k = np.uint64(high - count + j), np.uint64(e + j)
                            edge_type[k], edge[k, 1] = r, i - before
                            edge[k, 0], edge[k, 2] = graph.neighbour[at, 0], graph.neighbour[at, 1]
                    else:
                        if weighted is not None and chance != UNIFORM:
                            again, ends = replace and wanted > 0, (target_low, low, high)
                            count = draw_weighted(weighted, r, state, ends, most, again, t, picked, score)
                        else:
                            count = draw_uniform(state, low, high, most, replace, picked)
                        for j in range(count):
                            at, k = np.uint64(picked[j]), np.uint64(e + j)
                            edge_type[k], edge[k, 1] = r, i - before
                            edge[k, 0], edge[k, 2] = graph.neighbour[at, 0], graph.neighbour[at, 1]
                    num_edges[s, hop, r] += count
                    e += count
            count = e - drawn
            if n + count > node.shape[0]:
                node_type, node = _longer(node_type, n + count), _longer(node, n + count)
            slots = _with_room(slots, s, graph.first_id, node_type, node, before, n, count)
            for j in range(drawn, e):
                k = np.uint64(j)
                kind, source = graph.source_type[edge_type[k]], edge[k, 0]
                number = place_of(slots, s, graph.first_id[np.uint64(kind)] + source, n - before)
                edge[k, 0] = number
                if number == n - before:
                    node_type[np.uint64(n)], node[np.uint64(n)] = kind, source
                    num_nodes[s, hop + 1, kind] += 1
                    n += 1
            begin = end
    return Found(node_type[:n], node[:n], edge_type[:e], edge[:e])


@outer
def place(
    roots: Roots,
    found: Found,
    counts: Counts,
    first: int,
    last: int,
    type_start: np.ndarray,
    ends_start: np.ndarray,
    node_start: np.ndarray,
    edge_start: np.ndarray,
    result: Result,
) -> None:
    """Put what `find` found into the batch.

    Args:
        roots: as for `find`.
        found: of the subgraphs [first, last).
        counts: of all subgraphs.
        first: first subgraph.
        last: the subgraph after the last.
        type_start: where each node type begins in the result, int64, [node types].
        ends_start: how much further than its edges the sources of each edge type begin, and its targets, int64, [R, 2].
        node_start: where the nodes of each subgraph, hop and type begin in the result, moved on,
            [S, hops + 1, node types].
        edge_start: where its edges do, moved on, [S, hops, R].
        result: written to.
    """
    depth, num_types = counts.nodes.shape[1:]
    i = e = 0
    final = np.empty(1024, np.int64)
    for s in range(first, last):
        before = i
        size = 0
        for hop in range(depth):
            for kind in range(num_types):
                size += counts.nodes[s, hop, kind]
        if size > final.shape[0]:
            final = np.empty(2 * size, np.int64)
        for root in range(roots.offset[s], roots.offset[s + 1]):
            final[i - before] = roots.place[root]
            at = type_start[found.node_type[i]] + roots.place[root]
            result.node[at], result.batch[at] = found.node[i], s
            i += 1
        for hop in range(1, depth):
            last = i
            for kind in range(num_types):
                last += counts.nodes[s, hop, kind]
            for k in range(np.uint64(i), np.uint64(last)):
                kind = found.node_type[k]
                at = node_start[s, hop, kind]
                node_start[s, hop, kind] += 1
                final[k - np.uint64(before)] = at - type_start[kind]
                result.node[np.uint64(at)], result.batch[np.uint64(at)] = found.node[k], s
            i = last
        for hop in range(depth - 1):
            last = e
            for r in range(ends_start.shape[0]):
                last += counts.edges[s, hop, r]
            for k in range(np.uint64(e), np.uint64(last)):
                r = found.edge_type[k]
                at = edge_start[s, hop, r]
                edge_start[s, hop, r] += 1
                result.edge_index[np.uint64(at + ends_start[r, 0])] = final[np.uint64(found.edge[k, 0])]
                result.edge_index[np.uint64(at + ends_start[r, 1])] = final[np.uint64(found.edge[k, 1])]
                result.edge[np.uint64(at)] = found.edge[k, 2]
            e = last


@numba.njit(inline="always")  # type: ignore[untyped-decorator]
def first_from(time: np.ndarray, low: int, high: int, t: int) -> int:
    """Where the first of the ascending times [low, high) that is at least t is."""
    size = high - low
    while size > 1:  # without a branch that could be guessed wrong
        half = size >> 1
        low += half * (time[np.uint64(low + half - 1)] < t)
        size -= half
    return low + (size == 1 and time[low] < t)


@inner
def _with_room(
    slots: np.ndarray,
    s: int,
    first_id: np.ndarray,
    node_type: np.ndarray,
    node: np.ndarray,
    before: int,
    n: int,
    count: int,
) -> np.ndarray:
    """The table with the nodes [before, n) of subgraph s, of which at most half is full after `count` more."""
    capacity = slots.shape[0]
    if 2 * (n - before + count) <= capacity:
        return slots
    while 2 * (n - before + count) > capacity:
        capacity *= 4
    slots = empty_table(capacity)
    for i in range(before, n):
        place_of(slots, s, first_id[node_type[i]] + node[i], i - before)
    return slots


@inner
def _longer(values: np.ndarray, least: int) -> np.ndarray:
    longer = np.empty(max(least, 2 * values.shape[0]), values.dtype)
    for i in range(values.shape[0]):  # copying by slices takes seconds to compile
        longer[i] = values[i]
    return longer


@inner
def _longer_rows(values: np.ndarray, least: int) -> np.ndarray:
    longer = np.empty((max(least, 2 * values.shape[0]), values.shape[1]), values.dtype)
    for i in range(values.shape[0]):
        for j in range(values.shape[1]):
            longer[i, j] = values[i, j]
    return longer
