"""Numbers of a block of rows, a column at a time; compiled. `timed_kernel.py` puts the columns together.

A column is a short loop over the rows of a block, whose turns do not wait for one another: so what memory is slow to
give is asked for together, and logarithms are taken several at once.
"""

from typing import NamedTuple

import numpy as np

from recsys.compiled import inner
from recsys.graph.counters import AGE_RESOLUTION
from recsys.graph.timed_lists_kernel import Lists, back_to, before

BLOCK = 256  # rows of a block: its columns stay in a fast memory

_ROOT_HALF = int(np.float64(0.5**0.5).view(np.int64))
_LOG_2 = float(np.log(2.0))


# Columns of `Moments.when` and `Moments.place`, lines of `Block.place`.
TIME, SPAN = range(2)
NUM_EVENTS, NUM_USERS, NUM_CONTENTS, VERSION, LOW = range(5)
ROW, NODE, AT, BEGIN, END, UPTO, OUTSIDE, START, STOP, INSIDE = range(10)


class Moments(NamedTuple):
    """Query times and what is the same for all nodes at each; G moments, L windows, the last of them the whole past.

    What belongs to a moment lies side by side, in few arrays: numba is slow to compile what takes many.

    Attributes:
        when: TIME and, since the first event (see `counters.span_before`), SPAN; ns, int64, [G, 2].
        place: NUM_EVENTS before each time, NUM_USERS and NUM_CONTENTS that exist, VERSION, which row of a `Scale`
            counts, and from LOW on the first event of each window but the last; int32, [G, LOW + L - 1].
        rate: factor that turns a window's counts into rates, float64, [G, L].
        value: mean of all scaled values, then the least value of each type with values, then how far above it the
            largest is, float64, [G, 1 + 2 K].
    """

    when: np.ndarray
    place: np.ndarray
    rate: np.ndarray
    value: np.ndarray


class Scale(NamedTuple):
    """How raw columns become features: clip((raw - mean) * factor); [V, columns] each."""

    mean: np.ndarray
    factor: np.ndarray
    clip: float


class Block(NamedTuple):
    """Some rows.

    Attributes:
        place: uint32, [INSIDE + L, BLOCK]: which ROW, its NODE and moment (AT); BEGIN and END of the node's items that
            lie before the time; last item before the time (UPTO) and before a window (OUTSIDE), 0 for none; START and
            STOP of a range of other lists; from INSIDE on, where the items of each window begin.
        bound: what is searched for, int32, [BLOCK].
        real: numbers of at least 0 of which logarithms are asked, float64, [L, BLOCK].
        scratch: for `log1p`, float64, [3, BLOCK].
        raw: the columns, float64, [BLOCK, columns].
    """

    place: np.ndarray
    bound: np.ndarray
    real: np.ndarray
    scratch: np.ndarray
    raw: np.ndarray


def empty_block(num_windows: int, num_columns: int) -> Block:
    """A block without rows."""
    return Block(
        place=np.empty((INSIDE + num_windows, BLOCK), np.uint32),
        bound=np.empty(BLOCK, np.int32),
        real=np.empty((num_windows, BLOCK)),
        scratch=np.empty((3, BLOCK)),
        raw=np.empty((BLOCK, num_columns)),
    )


@inner
def fill(block: Block, node: np.ndarray, at: np.ndarray, order: np.ndarray, start: int, out: np.ndarray) -> int:
    """Fill ROW, NODE and AT with the rows from order[start] on, as many as fit; gives their number."""
    m: int = min(BLOCK, order.shape[0] - start)
    for i in range(m):
        row = np.uint64(order[start + i])
        block.place[ROW, i], block.place[NODE, i], block.place[AT, i] = row, node[row], at[row]
    for i in range(m):  # has memory bring what is written to last
        block.scratch[0, i] = out[block.place[ROW, i], 0]
    return m


@inner
def look_up(block: Block, m: int, of: Lists, moments: Moments, bound: int) -> None:
    """Fill BEGIN, END and UPTO: items below what column `bound` of `Moments.place` has for the row's moment."""
    begin, end = block.place[BEGIN], block.place[END]
    for i in range(m):
        begin[i], end[i] = of.begin[block.place[NODE, i]], of.end[block.place[NODE, i]]
        block.bound[i] = moments.place[block.place[AT, i], bound]
    for i in range(m):  # has memory bring what the search looks at, for all rows at once
        block.scratch[0, i] = of.item[(begin[i] + end[i]) >> np.uint32(1)]
        block.scratch[1, i] = of.item[end[i] - np.uint32(1)]
    before(of.item, begin, end, block.bound, m, end)
    for i in range(m):
        block.place[UPTO, i] = end[i] - np.uint32(1) if end[i] > begin[i] else np.uint32(0)


@inner
def look_up_windows(block: Block, m: int, of: Lists, moments: Moments) -> None:
    """Fill INSIDE, after BEGIN and END."""
    last = moments.place.shape[1] - LOW
    for w in range(last):  # each begins where the one before begins or earlier
        for i in range(m):
            block.bound[i] = moments.place[block.place[AT, i], LOW + w]
        end = block.place[INSIDE + w - 1] if w else block.place[END]
        back_to(of.item, block.place[BEGIN], end, block.bound, m, block.place[INSIDE + w])
    for i in range(m):
        block.place[INSIDE + last, i] = block.place[BEGIN, i]


@inner
def write_window_counts(block: Block, m: int, windows: np.ndarray, logs: np.ndarray, column: int) -> int:
    """Log counts of the items in each of the windows; gives the next column."""
    for w in windows:
        for i in range(m):
            block.raw[i, column] = logs[block.place[END, i] - block.place[INSIDE + w, i]]
        column += 1
    return column


@inner
def write_type_counts(
    block: Block, m: int, windows: np.ndarray, types: np.ndarray, logs: np.ndarray, column: int
) -> int:
    """Log counts of the items of each type in each of the windows; gives the next column.

    `types` has the counts up to and including each item, and zeros at place 0.
    """
    upto, outside, begin = block.place[UPTO], block.place[OUTSIDE], block.place[BEGIN]
    for w in windows:
        for i in range(m):
            inside = block.place[INSIDE + w, i]
            outside[i] = inside - np.uint32(1) if inside > begin[i] else np.uint32(0)
        for k in range(types.shape[1]):
            for i in range(m):
                block.raw[i, column + k] = logs[np.uint32(types[upto[i], k] - types[outside[i], k])]
        column += types.shape[1]
    return column


@inner
def write_ages(block: Block, m: int, times: np.ndarray, moments: Moments, column: int) -> None:
    """How old a time of each node is, see `counters.log_age`; a time of the query or later has age 0."""
    for i in range(m):
        g = block.place[AT, i]
        t, span = moments.when[g, TIME], moments.when[g, SPAN]
        age = np.uint64(t - min(times[block.place[NODE, i]], t))  # without a sign, as there
        block.real[0, i] = AGE_RESOLUTION * (age / span)
    log1p(block.real[0], block.scratch, m)
    for i in range(m):
        block.raw[i, column] = block.real[0, i]


@inner
def write_freshness(block: Block, m: int, item_time: np.ndarray, moments: Moments, column: int) -> None:
    """How lately a node had its last item, 0 without any."""
    for i in range(m):
        g = block.place[AT, i]
        age, span = moments.when[g, TIME] - item_time[block.place[UPTO, i]], moments.when[g, SPAN]
        block.real[0, i] = AGE_RESOLUTION * ((age if block.place[END, i] > block.place[BEGIN, i] else span) / span)
    log1p(block.real[0], block.scratch, m)
    for i in range(m):
        block.raw[i, column] = np.log1p(AGE_RESOLUTION) - block.real[0, i]


@inner
def write_trends(block: Block, m: int, windows: np.ndarray, rate: np.ndarray, column: int) -> int:
    """Log rate of each of the windows over that of the next; gives the next column."""
    for j in range(windows.shape[0]):
        for i in range(m):
            count = block.place[END, i] - block.place[INSIDE + windows[j], i]
            block.real[j, i] = count * rate[block.place[AT, i], windows[j]]
        log1p(block.real[j], block.scratch, m)
    for j in range(1, windows.shape[0]):
        for i in range(m):
            block.raw[i, column] = block.real[j - 1, i] - block.real[j, i]
        column += 1
    return column


@inner
def write_attribute_ages(block: Block, m: int, times: np.ndarray, moments: Moments, column: int) -> int:
    """Age of each attribute that is a time, and whether it lies in the past; gives the next column."""
    for k in range(times.shape[1]):
        write_ages(block, m, times[:, k], moments, column)
        for i in range(m):
            t = moments.when[block.place[AT, i], TIME]
            block.raw[i, column + 1] = 1.0 if times[block.place[NODE, i], k] < t else 0.0
        column += 2
    return column


@inner
def write_scaled(block: Block, m: int, scale: Scale, moments: Moments, out: np.ndarray, column: int) -> None:
    """Scale the columns and write them to `out` from `column` on."""
    first, width, clip = np.uint64(column), block.raw.shape[1], scale.clip
    raw, mean, factor = block.raw, scale.mean, scale.factor
    for i in range(m):
        of, row = np.uint64(moments.place[block.place[AT, i], VERSION]), np.uint64(block.place[ROW, i])
        for j in range(width):
            k = np.uint64(j)
            out[row, first + k] = min(max((raw[i, k] - mean[of, k]) * factor[of, k], -clip), clip)


@inner
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
