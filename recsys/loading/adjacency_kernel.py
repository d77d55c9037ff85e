"""The compiled part of `adjacency.py`: sorting edges by counting, and running sums of their weights."""

from typing import NamedTuple

import numpy as np

from recsys.compiled import outer

# What a neighbour's chance to be drawn is proportional to.
UNIFORM, LAST, STATIC, STRENGTH, DECAY = range(5)


class Adjacency(NamedTuple):
    """All in-edges of a graph with R edge types, E edges in all.

    A target has a row for each edge type that leads into its node type, side by side in memory.

    Attributes:
        into: edge types that lead into each node type, concatenated, int64, [R].
        into_offset: where each node type's begin in `into`, int64, [node types + 1].
        source_type: node type of each edge type's sources, int64, [R].
        first_id: number of each node type's first node when all nodes are counted, int64, [node types].
        row: where each node type's rows begin in `start`, int64, [node types].
        start: first edge of each row; the next row's ends them, int64, [rows + 1].
        neighbour: source node and number of the edge in its type's `edge_index`, int32, [E, 2].
        time: an edge is visible from all times after it, ascending in a row, int64, [E].
        end: the last time from which it is, ascending in a row, int64, [E], or [0] where no edge ends.
        chance: which chance counts for each edge type: UNIFORM, LAST, STATIC, STRENGTH or DECAY, int64, [R].
        weight: weight of each edge, float64, [E], or [0] where no chance goes by weights.
        mass: running sums along each row: of the weights; for DECAY, faded to the edge's own time; [E] or [0].
        late_mass: for STRENGTH: running sums of weight x (time - first_time), float64, [E] or [0].
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
    end: np.ndarray
    chance: np.ndarray
    weight: np.ndarray
    mass: np.ndarray
    late_mass: np.ndarray
    first_time: int
    half_life: float


@outer
def in_order(target: np.ndarray, time: np.ndarray) -> bool:
    """Whether the edges of every target come by time, as they do in edges sorted by time, or by target and time."""
    by_time = by_target = True
    for i in range(1, len(time)):
        by_time &= time[i] >= time[i - 1]
        by_target &= target[i] > target[i - 1] or (target[i] == target[i - 1] and time[i] >= time[i - 1])
    return by_time or by_target


@outer
def count(target: np.ndarray, first: int, step: int, start: np.ndarray) -> None:
    """Add the edges of each target to the place after its row in `start`."""
    for v in target:
        start[first + step * v + 1] += 1


@outer
def placed(
    source: np.ndarray,
    target: np.ndarray,
    time_of: np.ndarray,
    order: np.ndarray,
    first: int,
    step: int,
    start: np.ndarray,
    neighbour: np.ndarray,
    time: np.ndarray,
) -> np.ndarray:
    """Put the edges of a type into their rows, in their order (counting sort); gives the place of each, int64, [e]."""
    place, taken = np.empty(len(source), np.int64), np.zeros(start.shape[0], np.int32)
    for e in order:
        row = first + step * target[e]
        at = start[row] + taken[row]
        taken[row] += 1
        place[e] = at
        neighbour[at, 0], neighbour[at, 1], time[at] = source[e], e, time_of[e]
    return place


@outer
def ascends(values: np.ndarray, start: np.ndarray, first: int, step: int, num_targets: int) -> bool:
    """Whether the values in each row of a type ascend."""
    for v in range(num_targets):
        row = first + step * v
        for i in range(start[row] + 1, start[row + 1]):
            if values[i] < values[i - 1]:
                return False
    return True


@outer
def sum_up(graph: Adjacency, r: int, first: int, step: int, num_targets: int) -> None:
    """Fill `mass` and `late_mass` of a type from `weight`."""
    for v in range(num_targets):
        total = late = 0.0
        begin = graph.start[first + step * v]
        for i in range(begin, graph.start[first + step * v + 1]):
            if graph.chance[r] == DECAY and i > begin:
                total *= 2.0 ** (-(graph.time[i] - graph.time[i - 1]) / graph.half_life)
            total += graph.weight[i]
            late += graph.weight[i] * (graph.time[i] - graph.first_time)
            graph.mass[i] = total
            if graph.chance[r] == STRENGTH:
                graph.late_mass[i] = late
