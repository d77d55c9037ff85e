"""Numbers of a block of rows, a column at a time; compiled. `timed_kernel.py` puts the columns together.

A column is a short loop over the rows of a block, whose turns do not wait for one another: so what memory is slow to
give is asked for together, and logarithms are taken several at once.
"""

from typing import NamedTuple

import numba
import numpy as np

from recsys.graph.counters import AGE_RESOLUTION
from recsys.graph.timed_lists_kernel import Lists, back_to, before

BLOCK = 256  # rows of a block: its columns stay in a fast memory

_ROOT_HALF = int(np.float64(0.5**0.5).view(np.int64))
_LOG_2 = float(np.log(2.0))


class Moments(NamedTuple):
    """Query times and what is the same for all nodes at each; G moments, L windows, the last of them the whole past.

    Attributes:
        time: ns, int64, [G].
        span: time since the first event, see `counters.span_before`, int64, [G].
        num_events: events before each time, int64, [G].
        num_users, num_contents: nodes that exist, int64, [G].
        low: first event of each window but the last, int32, [G, L - 1].
        rate: factor that turns a window's counts into rates, float64, [G, L].
        low_value, value_width: least value of each type with values, and how far above it the largest, [G, K].
        mean_value: mean of all scaled values, [G].
        version: which row of a `Scale` counts, int64, [G].
    """

    time: np.ndarray
    span: np.ndarray
    num_events: np.ndarray
    num_users: np.ndarray
    num_contents: np.ndarray
    low: np.ndarray
    rate: np.ndarray
    low_value: np.ndarray
    value_width: np.ndarray
    mean_value: np.ndarray
    version: np.ndarray


class Scale(NamedTuple):
    """How raw columns become features: clip((raw - mean) * factor); [V, columns] each."""

    mean: np.ndarray
    factor: np.ndarray
    clip: float


class Block(NamedTuple):
    """Some rows; arrays of length BLOCK.

    Attributes:
        row: which rows, uint32.
        node, at: their node and moment, uint32.
        begin, end: the items of the node's list that lie before the time, uint32.
        inside: where those of each window begin, uint32, [L, BLOCK].
        bound: what is searched for, int32.
        upto, outside: last items before the time, and before a window; 0 for none, uint32.
        start, stop: a range of other lists, uint32.
        real: numbers of at least 0 of which logarithms are asked, float64, [L, BLOCK].
        scratch: for `log1p`, float64, [3, BLOCK].
        raw: the columns, float64, [BLOCK, columns].
    """

    row: np.ndarray
    node: np.ndarray
    at: np.ndarray
    begin: np.ndarray
    end: np.ndarray
    inside: np.ndarray
    bound: np.ndarray
    upto: np.ndarray
    outside: np.ndarray
    start: np.ndarray
    stop: np.ndarray
    real: np.ndarray
    scratch: np.ndarray
    raw: np.ndarray


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def empty_block(num_windows: int, num_columns: int) -> Block:
    """A block without rows."""
    return Block(
        np.empty(BLOCK, np.uint32),
        np.empty(BLOCK, np.uint32),
        np.empty(BLOCK, np.uint32),
        np.empty(BLOCK, np.uint32),
        np.empty(BLOCK, np.uint32),
        np.empty((num_windows, BLOCK), np.uint32),
        np.empty(BLOCK, np.int32),
        np.empty(BLOCK, np.uint32),
        np.empty(BLOCK, np.uint32),
        np.empty(BLOCK, np.uint32),
        np.empty(BLOCK, np.uint32),
        np.empty((num_windows, BLOCK)),
        np.empty((3, BLOCK)),
        np.empty((BLOCK, num_columns)),
    )


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def fill(block: Block, node: np.ndarray, at: np.ndarray, order: np.ndarray, start: int) -> int:
    """Fill `row`, `node` and `at` with the rows from order[start] on, as many as fit; gives their number."""
    m: int = min(BLOCK, order.shape[0] - start)
    for i in range(m):
        row = order[start + i]
        block.row[i], block.node[i], block.at[i] = row, node[row], at[row]
    return m


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def look_up(block: Block, m: int, of: Lists, bound: np.ndarray) -> None:
    """Fill `begin`, `end` and `upto`: items below the `bound` [G], int32, of the row's moment."""
    for i in range(m):
        block.begin[i], block.end[i] = of.begin[block.node[i]], of.end[block.node[i]]
        block.bound[i] = bound[block.at[i]]
    for i in range(m):  # has memory bring what the search looks at first, for all rows at once
        block.scratch[0, i] = of.item[(block.begin[i] + block.end[i]) >> np.uint32(1)]
    before(of.item, block.begin, block.end, block.bound, m, block.end)
    for i in range(m):
        block.upto[i] = block.end[i] - np.uint32(1) if block.end[i] > block.begin[i] else np.uint32(0)


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def look_up_windows(block: Block, m: int, of: Lists, low: np.ndarray) -> None:
    """Fill `inside`, after `begin` and `end`."""
    last = low.shape[1]
    for w in range(last):  # each begins where the one before begins or earlier
        for i in range(m):
            block.bound[i] = low[block.at[i], w]
        back_to(of.item, block.begin, block.inside[w - 1] if w else block.end, block.bound, m, block.inside[w])
    for i in range(m):
        block.inside[last, i] = block.begin[i]


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def write_window_counts(block: Block, m: int, windows: np.ndarray, logs: np.ndarray, column: int) -> int:
    """Log counts of the items in each of the windows; gives the next column."""
    for w in windows:
        for i in range(m):
            block.raw[i, column] = logs[block.end[i] - block.inside[w, i]]
        column += 1
    return column


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def write_type_counts(
    block: Block, m: int, windows: np.ndarray, types: np.ndarray, logs: np.ndarray, column: int
) -> int:
    """Log counts of the items of each type in each of the windows; gives the next column.

    `types` has the counts up to and including each item, and zeros at place 0.
    """
    for w in windows:
        for i in range(m):
            inside = block.inside[w, i]
            block.outside[i] = inside - np.uint32(1) if inside > block.begin[i] else np.uint32(0)
        for k in range(types.shape[1]):
            for i in range(m):
                block.raw[i, column + k] = logs[np.uint32(types[block.upto[i], k] - types[block.outside[i], k])]
        column += types.shape[1]
    return column


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def write_ages(block: Block, m: int, times: np.ndarray, moments: Moments, column: int) -> None:
    """How old a time of each node is, see `counters.log_age`; a time of the query or later has age 0."""
    for i in range(m):
        t = moments.time[block.at[i]]
        block.real[0, i] = AGE_RESOLUTION * ((t - min(times[block.node[i]], t)) / moments.span[block.at[i]])
    log1p(block.real[0], block.scratch, m)
    for i in range(m):
        block.raw[i, column] = block.real[0, i]


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def write_freshness(block: Block, m: int, item_time: np.ndarray, moments: Moments, column: int) -> None:
    """How lately a node had its last item, 0 without any."""
    for i in range(m):
        g = block.at[i]
        age, span = moments.time[g] - item_time[block.upto[i]], moments.span[g]
        block.real[0, i] = AGE_RESOLUTION * ((age if block.end[i] > block.begin[i] else span) / span)
    log1p(block.real[0], block.scratch, m)
    for i in range(m):
        block.raw[i, column] = np.log1p(AGE_RESOLUTION) - block.real[0, i]


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def write_trends(block: Block, m: int, windows: np.ndarray, rate: np.ndarray, column: int) -> int:
    """Log rate of each of the windows over that of the next; gives the next column."""
    for j in range(windows.shape[0]):
        for i in range(m):
            block.real[j, i] = (block.end[i] - block.inside[windows[j], i]) * rate[block.at[i], windows[j]]
        log1p(block.real[j], block.scratch, m)
    for j in range(1, windows.shape[0]):
        for i in range(m):
            block.raw[i, column] = block.real[j - 1, i] - block.real[j, i]
        column += 1
    return column


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def write_attribute_ages(block: Block, m: int, times: np.ndarray, moments: Moments, column: int) -> int:
    """Age of each attribute that is a time, and whether it lies in the past; gives the next column."""
    for k in range(times.shape[1]):
        write_ages(block, m, times[:, k], moments, column)
        for i in range(m):
            block.raw[i, column + 1] = 1.0 if times[block.node[i], k] < moments.time[block.at[i]] else 0.0
        column += 2
    return column


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def write_scaled(block: Block, m: int, scale: Scale, version: np.ndarray, out: np.ndarray, column: int) -> None:
    """Scale the columns and write them to `out` from `column` on."""
    first, width, raw, mean, factor, clip = (
        np.uint64(column),
        block.raw.shape[1],
        block.raw,
        scale.mean,
        scale.factor,
        scale.clip,
    )
    for i in range(m):
        of, row = np.uint64(version[block.at[i]]), np.uint64(block.row[i])
        for j in range(width):
            k = np.uint64(j)
            out[row, first + k] = min(max((raw[i, k] - mean[of, k]) * factor[of, k], -clip), clip)


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def log1p(real: np.ndarray, scratch: np.ndarray, m: int) -> None:
    """Replace numbers of at least 0 by log(1 + number), to 1e-15; free of branches and of tables.

    With 1 + number = 2^e f and f in [sqrt(1/2), sqrt(2)): log f = 2 artanh((f - 1) / (f + 1)), by its series.
    """
    sum_, power, factor = scratch[0], scratch[1], scratch[2]
    bits, factor_bits = sum_.view(np.int64), factor.view(np.int64)
    for i in range(m):
        sum_[i] = 1.0 + real[i]
    for i in range(m):
        e = (bits[i] - _ROOT_HALF) >> 52
        power[i], factor_bits[i] = e, bits[i] - (e << 52)
    for i in range(m):
        z = (factor[i] - 1.0) / (factor[i] + 1.0)
        s = z * z
        series = 1 / 17 + s * (1 / 19 + s / 21)
        series = 1 / 9 + s * (1 / 11 + s * (1 / 13 + s * (1 / 15 + s * series)))
        series = 1.0 + s * (1 / 3 + s * (1 / 5 + s * (1 / 7 + s * series)))
        real[i] = power[i] * _LOG_2 + 2.0 * z * series
