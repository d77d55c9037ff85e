"""Random draws among the edges of a node, compiled: uniform, or by weights as seen from a time."""

import numpy as np

from recsys.compiled import inner
from recsys.loading.adjacency_kernel import DECAY, STRENGTH, Adjacency

# Weighted draws without replacement are rejection, or one pass over all edges where there are few of them for a draw.
FEW = 4

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX1, _MIX2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S27, _S30, _S31, _S32, _S11 = np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(32), np.uint64(11)
_ONE, _S63 = np.uint64(1), np.uint64(63)


@inner
def draw_uniform(state: np.ndarray, low: int, high: int, wanted: int, replace: bool, picked: np.ndarray) -> int:
    """Draw `wanted` of the edges [low, high), each as likely; returns how many were drawn.

    `picked` must have room for them.
    """
    size = high - low
    if replace:
        for j in range(wanted):
            picked[j] = low + _below(state, size)
        return wanted
    if size <= wanted:
        for j in range(size):
            picked[j] = low + j
        return size
    # Floyd's algorithm. Of each place drawn a bit is set: up to 64 places have bits of their own, more share them.
    drawn = np.uint64(0)
    for j in range(wanted):
        last = size - wanted + j
        place = _below(state, last + 1)
        bit = _ONE << (np.uint64(place) & _S63)
        if drawn & bit:
            repeated = size <= 64
            for i in range(0 if repeated else j):
                repeated |= picked[i] == low + place
            if repeated:
                place = last
                bit = _ONE << (np.uint64(place) & _S63)
        drawn |= bit
        picked[j] = low + place
    return wanted


@inner
def draw_weighted(
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


@inner
def _mass(graph: Adjacency, r: int, i: int, t: int) -> float:
    """Sum of the weights of a target's edges up to `i` as seen from t."""
    if graph.chance[r] == STRENGTH:
        return graph.mass[i] + graph.late_mass[i] / max(t - graph.first_time, 1)
    if graph.chance[r] == DECAY:
        return graph.mass[i] * 2.0 ** (-(t - graph.time[i]) / graph.half_life)
    return graph.mass[i]


@inner
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


@inner
def _log_weight(graph: Adjacency, r: int, i: int, t: int) -> float:
    """Log of an edge's weight as seen from t."""
    if graph.chance[r] == STRENGTH:
        recency = (graph.time[i] - graph.first_time) / max(t - graph.first_time, 1)
        return np.log(graph.weight[i] * (1.0 + recency))
    if graph.chance[r] == DECAY:
        return np.log(graph.weight[i]) - (t - graph.time[i]) / graph.half_life * np.log(2.0)
    return np.log(graph.weight[i])


@inner
def _next(state: np.ndarray) -> np.uint64:
    """64 random bits (SplitMix64)."""
    state[0] += _GOLDEN
    z = state[0]
    z = (z ^ (z >> _S30)) * _MIX1
    z = (z ^ (z >> _S27)) * _MIX2
    return z ^ (z >> _S31)


@inner
def _below(state: np.ndarray, size: int) -> int:
    """A whole number in [0, size), size < 2^32."""
    return int(((_next(state) >> _S32) * np.uint64(size)) >> _S32)


@inner
def _uniform(state: np.ndarray) -> float:
    """A number in (0, 1)."""
    return (np.int64(_next(state) >> _S11) + 0.5) * 2.0**-53
