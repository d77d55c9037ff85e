"""The compiled part of temporal neighbour sampling; `neighbor_sampler.py` prepares its arrays and reads its results.

Everything here runs without the interpreter's lock, on a range of subgraphs, and depends on nothing but its arguments:
so a batch can be cut among threads at will. What is random in a subgraph comes from that subgraph's key alone.
"""

from typing import NamedTuple

import numba
import numpy as np

# What a neighbour's chance to be drawn is proportional to.
UNIFORM, LAST, STATIC, STRENGTH, DECAY = range(5)

# Weighted draws without replacement are rejection, or one pass over all edges where there are few of them for a draw.
FEW = 4

PLACE = 0xFFFFFFFF  # the half of a slot that holds a place

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX1, _MIX2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S27, _S30, _S31, _S32, _S11 = np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(32), np.uint64(11)


class Adjacency(NamedTuple):
    """All in-edges of a graph with R edge types: of each type by target, of each target by time; E edges in all.

    Attributes:
        into: edge types that lead into each node type, concatenated, int64, [R].
        into_offset: where each node type's begin in `into`, int64, [node types + 1].
        source_type: node type of each edge type's sources, int64, [R].
        first_id: number of each node type's first node when all nodes are counted, int64, [node types].
        row: where each edge type's targets begin in `start`, int64, [R].
        start: first edge of each target; the one after it ends them, int64, [targets of all types + R].
        neighbour: source node and number of the edge in its type's `edge_index`, int32, [E, 2].
        time: an edge is visible from all times after it, int64, [E].
        ends: whether edges of the type end, bool, [R].
        end: where they do: last time from which the edge is visible; int64, [E], or [0] where none ends.
        chance: which chance counts for each edge type: UNIFORM, LAST, STATIC, STRENGTH or DECAY, int64, [R].
        weight: weight of each edge, float64, [E], or [0] where no chance goes by weights.
        mass: running sums along each target's edges: of the weights; for DECAY, faded to the edge's own time; [E].
        late_mass: for STRENGTH: running sums of weight x (time - first_time), float64, [E].
        first_time: the first time of all edges, where recency begins.
        half_life: for DECAY.
    """

    into: np.ndarray
    into_offset: np.ndarray
    source_type: np.ndarray
    first_id: np.ndarray
    row: np.ndarray
    start: np.ndarray
    neighbour: np.ndarray
    time: np.ndarray
    ends: np.ndarray
    end: np.ndarray
    chance: np.ndarray
    weight: np.ndarray
    mass: np.ndarray
    late_mass: np.ndarray
    first_time: int
    half_life: float


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
        num_nodes: of each subgraph, hop (0 for roots) and node type, int64, [s, hops + 1, node types].
        num_edges: of each subgraph, hop and edge type, int64, [s, hops, R].
    """

    node_type: np.ndarray
    node: np.ndarray
    edge_type: np.ndarray
    edge: np.ndarray
    num_nodes: np.ndarray
    num_edges: np.ndarray


class Result(NamedTuple):
    """The batch: nodes of all types one after the other, and so the edges; a type's come hop by hop.

    Attributes:
        node, batch: node and subgraph, int64, [N].
        edge_index: places of source and target among their types' nodes, int64, [2, E].
        edge: number of the edge in its type's `edge_index`, int64, [E].
    """

    node: np.ndarray
    batch: np.ndarray
    edge_index: np.ndarray
    edge: np.ndarray


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def find(
    graph: Adjacency, fan_out: np.ndarray, replace: bool, roots: Roots, first: int, last: int, guess: int
) -> Found:
    """Sample the neighbourhoods of subgraphs [first, last).

    Args:
        graph: the edges.
        fan_out: most neighbours of a node, -1 for all, int64, [R, hops].
        replace: whether an edge can be drawn several times.
        roots: where the subgraphs begin.
        first: first subgraph.
        last: the subgraph after the last.
        guess: nodes and edges to make room for at first.
    """
    num_types, hops = graph.first_id.shape[0], fan_out.shape[1]
    node_type, node = np.empty(guess, np.uint8), np.empty(guess, np.int32)
    edge_type, edge = np.empty(guess, np.uint8), np.empty((guess, 3), np.int32)
    num_nodes = np.zeros((last - first, hops + 1, num_types), np.int64)
    num_edges = np.zeros((last - first, hops, graph.row.shape[0]), np.int64)
    state = np.zeros(1, np.uint64)
    picked, score = np.empty(16, np.int64), np.empty(16, np.float64)
    # A table from a node's number to the subgraph and the node's place in it, by open addressing. A slot counts only if
    # it was written for this very subgraph, so that nothing needs to be cleared.
    capacity = 1024
    slots = np.full((capacity, 2), -1, np.int64)
    n = e = 0
    for s in range(first, last):
        state[0], t, before = roots.key[s], roots.time[s], n
        for i in range(roots.offset[s], roots.offset[s + 1]):
            if n == node.shape[0]:
                node_type, node = _longer(node_type, n + 1), _longer(node, n + 1)
            kind = roots.type[i]
            node_type[n], node[n] = kind, roots.node[i]
            if 2 * (n - before + 1) > capacity:
                capacity *= 4
                slots = _filled(capacity, s, graph.first_id, node_type, node, before, n)
            number = graph.first_id[kind] + roots.node[i]
            slot = _slot(slots, s, number)
            if slots[slot, 1] >> 32 != s:  # edges lead to the first of equal roots
                slots[slot, 0], slots[slot, 1] = number, (s << 32) | (n - before)
            num_nodes[s - first, 0, kind] += 1
            n += 1
        begin = before
        for hop in range(hops):
            end = n
            for i in range(begin, end):
                kind = node_type[i]
                for a in range(graph.into_offset[kind], graph.into_offset[kind + 1]):
                    r = graph.into[a]
                    wanted = fan_out[r, hop]
                    if wanted == 0:
                        continue
                    target_low, low, high = visible(graph, r, node[i], t)
                    if high == low:
                        continue
                    every = graph.chance[r] <= LAST and (wanted < 0 or (high - low <= wanted and not replace))
                    if every or graph.chance[r] == LAST:
                        count = high - low if every else min(wanted, high - low)
                    else:
                        most = high - low if wanted < 0 else wanted
                        if most > picked.shape[0]:
                            picked, score = np.empty(2 * most, np.int64), np.empty(2 * most, np.float64)
                        if graph.chance[r] == UNIFORM:
                            count = _draw_uniform(state, low, high, most, replace, picked)
                        else:
                            again = replace and wanted > 0
                            ends = (target_low, low, high)
                            count = _draw_weighted(graph, r, state, ends, most, again, t, picked, score)
                    if e + count > edge.shape[0]:
                        edge_type, edge = _longer(edge_type, e + count), _longer_rows(edge, e + count)
                    if n + count > node.shape[0]:
                        node_type, node = _longer(node_type, n + count), _longer(node, n + count)
                    if 2 * (n - before + count) > capacity:
                        while 2 * (n - before + count) > capacity:
                            capacity *= 4
                        slots = _filled(capacity, s, graph.first_id, node_type, node, before, n)
                    source_kind = graph.source_type[r]
                    offset = graph.first_id[source_kind]
                    from_end = every or graph.chance[r] == LAST
                    for j in range(count):
                        position = high - count + j if from_end else picked[j]
                        source = graph.neighbour[position, 0]
                        slot = _slot(slots, s, offset + source)
                        if slots[slot, 1] >> 32 != s:
                            slots[slot, 0], slots[slot, 1] = offset + source, (s << 32) | (n - before)
                            node_type[n], node[n] = source_kind, source
                            num_nodes[s - first, hop + 1, source_kind] += 1
                            n += 1
                        edge_type[e] = r
                        edge[e, 0], edge[e, 1] = slots[slot, 1] & PLACE, i - before
                        edge[e, 2] = graph.neighbour[position, 1]
                        e += 1
                    num_edges[s - first, hop, r] += count
            begin = end
    return Found(node_type[:n], node[:n], edge_type[:e], edge[:e], num_nodes, num_edges)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def place(
    roots: Roots,
    found: Found,
    first: int,
    type_start: np.ndarray,
    node_start: np.ndarray,
    edge_start: np.ndarray,
    result: Result,
) -> None:
    """Put what `find` found into the batch.

    Args:
        roots: as for `find`.
        found: of the subgraphs from `first` on.
        first: first subgraph.
        type_start: where each node type begins in the result, int64, [node types].
        node_start: where the nodes of each subgraph, hop and type begin in the result, [S, hops + 1, node types].
        edge_start: where its edges do, [S, hops, R].
        result: written to.
    """
    num_subgraphs, depth, _ = found.num_nodes.shape
    i = e = 0
    final = np.empty(1024, np.int64)
    for s in range(first, first + num_subgraphs):
        before = i
        size = found.num_nodes[s - first].sum()
        if size > final.shape[0]:
            final = np.empty(2 * size, np.int64)
        for root in range(roots.offset[s], roots.offset[s + 1]):
            final[i - before] = roots.place[root]
            at = type_start[found.node_type[i]] + roots.place[root]
            result.node[at], result.batch[at] = found.node[i], s
            i += 1
        for hop in range(1, depth):
            cursor = node_start[s, hop].copy()
            for _ in range(found.num_nodes[s - first, hop].sum()):
                kind = found.node_type[i]
                at = cursor[kind]
                cursor[kind] += 1
                final[i - before] = at - type_start[kind]
                result.node[at], result.batch[at] = found.node[i], s
                i += 1
        for hop in range(depth - 1):
            cursor = edge_start[s, hop].copy()
            for _ in range(found.num_edges[s - first, hop].sum()):
                at = cursor[found.edge_type[e]]
                cursor[found.edge_type[e]] += 1
                result.edge_index[0, at] = final[found.edge[e, 0]]
                result.edge_index[1, at] = final[found.edge[e, 1]]
                result.edge[at] = found.edge[e, 2]
                e += 1


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def running_sums(graph: Adjacency) -> None:
    """Fill `mass` and `late_mass` from `weight`."""
    for r in range(graph.row.shape[0]):
        if graph.chance[r] <= LAST:
            continue
        stop = graph.row[r + 1] if r + 1 < graph.row.shape[0] else graph.start.shape[0]
        for target in range(graph.row[r], stop - 1):
            total = late = 0.0
            for i in range(graph.start[target], graph.start[target + 1]):
                if graph.chance[r] == DECAY and i > graph.start[target]:
                    total *= 2.0 ** (-(graph.time[i] - graph.time[i - 1]) / graph.half_life)
                total += graph.weight[i]
                late += graph.weight[i] * (graph.time[i] - graph.first_time)
                graph.mass[i] = total
                if graph.chance[r] == STRENGTH:
                    graph.late_mass[i] = late


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def visible(graph: Adjacency, r: int, node: int, t: int) -> tuple[int, int, int]:
    """Where the edges of one type into a node begin, and the range of those that are visible from a time."""
    at = graph.row[r] + node
    begin, stop = graph.start[at], graph.start[at + 1]
    low, high = begin, stop
    while low < high:  # the first edge that is not earlier than t
        middle = (low + high) >> 1
        if graph.time[middle] < t:
            low = middle + 1
        else:
            high = middle
    stop = low
    if not graph.ends[r]:
        return begin, begin, stop
    low, high = begin, stop
    while low < high:  # the first edge that has not ended
        middle = (low + high) >> 1
        if graph.end[middle] < t:
            low = middle + 1
        else:
            high = middle
    return begin, low, stop


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _draw_uniform(state: np.ndarray, low: int, high: int, wanted: int, replace: bool, picked: np.ndarray) -> int:
    """Draw `wanted` of the edges [low, high), each as likely; returns how many were drawn."""
    size = high - low
    if replace:
        for j in range(wanted):
            picked[j] = low + _below(state, size)
        return wanted
    if 2 * wanted >= size:  # many of them: go through all (Knuth's selection sampling)
        count = 0
        for i in range(size):
            if _below(state, size - i) < wanted - count:
                picked[count] = low + i
                count += 1
        return count
    for j in range(wanted):  # Floyd's algorithm
        drawn = low + _below(state, size - wanted + j + 1)
        for i in range(j):
            if picked[i] == drawn:
                drawn = low + size - wanted + j
                break
        picked[j] = drawn
    return wanted


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _draw_weighted(
    graph: Adjacency,
    r: int,
    state: np.ndarray,
    ends: tuple[int, int, int],
    wanted: int,
    replace: bool,
    t: int,
    picked: np.ndarray,
    score: np.ndarray,
) -> int:
    """Draw edges in proportion to their weights as seen from t; those of weight 0 are never drawn.

    `ends` is what `visible` gives: where the target's edges begin, and the range of those that are visible.
    Without replacement they are drawn one after the other, each in proportion among what is left: by rejecting repeats
    while that is quick, else as the largest of log weight + Gumbel noise, which is the same (Yellott, 1977).
    """
    begin, low, high = ends
    below = _mass(graph, r, low - 1, t) if low > begin else 0.0  # edges that have ended
    total = _mass(graph, r, high - 1, t) - below
    count = 0
    if replace and total <= 0.0:
        return 0
    if replace or (high - low > FEW * wanted and total > 0.0):
        attempts = wanted if replace else FEW * wanted
        for _ in range(attempts):
            drawn = _at_mass(graph, r, low, high, below + _uniform(state) * total, t)
            repeated = False
            if not replace:
                for i in range(count):
                    repeated = repeated or picked[i] == drawn
            if not repeated:
                picked[count] = drawn
                count += 1
                if count == wanted:
                    return count
    taken = count
    for i in range(low, high):
        if graph.weight[i] <= 0.0:
            continue
        repeated = False
        for j in range(taken):
            repeated = repeated or picked[j] == i
        if repeated:
            continue
        noisy = _log_weight(graph, r, i, t) - np.log(-np.log(_uniform(state)))
        if count < wanted:
            picked[count], score[count] = i, noisy
            count += 1
        else:
            least = taken
            for j in range(taken + 1, count):
                if score[j] < score[least]:
                    least = j
            if noisy > score[least]:
                picked[least], score[least] = i, noisy
    return count


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _mass(graph: Adjacency, r: int, i: int, t: int) -> float:
    """Sum of the weights of a target's edges up to `i` as seen from t."""
    if graph.chance[r] == STRENGTH:
        return graph.mass[i] + graph.late_mass[i] / max(t - graph.first_time, 1)
    if graph.chance[r] == DECAY:
        return graph.mass[i] * 2.0 ** (-(t - graph.time[i]) / graph.half_life)
    return graph.mass[i]


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _at_mass(graph: Adjacency, r: int, low: int, high: int, mass: float, t: int) -> int:
    """The first edge of [low, high) up to which the sum of the weights is more than `mass`."""
    stop = high - 1
    while low < stop:
        middle = (low + stop) >> 1
        if _mass(graph, r, middle, t) > mass:
            stop = middle
        else:
            low = middle + 1
    return low


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _log_weight(graph: Adjacency, r: int, i: int, t: int) -> float:
    """Log of an edge's weight as seen from t."""
    if graph.chance[r] == STRENGTH:
        recency = (graph.time[i] - graph.first_time) / max(t - graph.first_time, 1)
        return np.log(graph.weight[i] * (1.0 + recency))
    if graph.chance[r] == DECAY:
        return np.log(graph.weight[i]) - (t - graph.time[i]) / graph.half_life * np.log(2.0)
    return np.log(graph.weight[i])


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _next(state: np.ndarray) -> np.uint64:
    """64 random bits (SplitMix64)."""
    state[0] += _GOLDEN
    z = state[0]
    z = (z ^ (z >> _S30)) * _MIX1
    z = (z ^ (z >> _S27)) * _MIX2
    return z ^ (z >> _S31)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _below(state: np.ndarray, size: int) -> int:
    """A whole number in [0, size), size < 2^32."""
    return int(((_next(state) >> _S32) * np.uint64(size)) >> _S32)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _uniform(state: np.ndarray) -> float:
    """A number in (0, 1)."""
    return (np.int64(_next(state) >> _S11) + 0.5) * 2.0**-53


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _slot(slots: np.ndarray, s: int, number: int) -> int:
    """The slot that holds node `number` of subgraph s, or the free one where it belongs."""
    mask = slots.shape[0] - 1
    slot = int((np.uint64(number) * _GOLDEN) >> _S32) & mask
    while slots[slot, 1] >> 32 == s and slots[slot, 0] != number:
        slot = (slot + 1) & mask
    return slot


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _filled(
    capacity: int, s: int, first_id: np.ndarray, node_type: np.ndarray, node: np.ndarray, before: int, n: int
) -> np.ndarray:
    """A new table with the nodes [before, n) of subgraph s."""
    slots = np.full((capacity, 2), -1, np.int64)
    for i in range(before, n):
        number = first_id[node_type[i]] + node[i]
        slot = _slot(slots, s, number)
        if slots[slot, 1] >> 32 != s:
            slots[slot, 0], slots[slot, 1] = number, (s << 32) | (i - before)
    return slots


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _longer(values: np.ndarray, least: int) -> np.ndarray:
    longer = np.empty(max(least, 2 * values.shape[0]), values.dtype)
    longer[: values.shape[0]] = values
    return longer


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _longer_rows(values: np.ndarray, least: int) -> np.ndarray:
    longer = np.empty((max(least, 2 * values.shape[0]), values.shape[1]), values.dtype)
    longer[: values.shape[0]] = values
    return longer
