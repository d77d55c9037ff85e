"""The compiled part of counters of many nodes at many times; `timed_counters.py` prepares its arrays.

Row i is a node as of the time of moment `at[i]`. It runs without the interpreter's lock on rows order[first:last].

Rows are worked on in blocks, column by column: a column is a short loop over the rows of a block, whose turns do not
wait for one another, so that what memory is slow to give is asked for together and logarithms are taken several at
once. A new column is one more such loop that fills a line of `raw`, in the place where `counters` has it.
"""

from typing import NamedTuple

import numba
import numpy as np

from recsys.graph.counters import AGE_RESOLUTION

PRIOR = 5.0  # of a content's mean value, see `values.PRIOR_EVENTS`
BLOCK = 128  # rows of a block: a few dozen columns of so many numbers stay in the fastest memory
BUCKETS = 4096  # into which rows are put by node

_ROOT_HALF = int(np.float64(0.5**0.5).view(np.int64))
_LOG_2 = float(np.log(2.0))


class Lists(NamedTuple):
    """Ascending whole numbers of every node: its events, say.

    Attributes:
        offset: where each node's begin in `item`, int64, [nodes + 1].
        item: int32, [items].
    """

    offset: np.ndarray
    item: np.ndarray


class Moments(NamedTuple):
    """Query times and what is the same for all nodes at each; G moments, L windows.

    Attributes:
        time: ns, int64, [G].
        span: time since the first event, see `counters.span_before`, int64, [G].
        num_events: events before each time, int64, [G].
        num_users, num_contents: nodes that exist, int64, [G].
        low: first event of each window, the shortest window first, int64, [G, L].
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


class Windows(NamedTuple):
    """What is counted in which windows, as places in `Moments.low`.

    Attributes:
        every: windows in which all events are counted, int64, [W].
        typed: windows in which events of each type are, int64, [X].
    """

    every: np.ndarray
    typed: np.ndarray


class Scale(NamedTuple):
    """How raw columns become features: clip((raw - mean) * factor); [V, columns] each."""

    mean: np.ndarray
    factor: np.ndarray
    clip: float


class Nodes(NamedTuple):
    """What is known of users or contents.

    Attributes:
        exists_from: int64, [n].
        events: their events.
        time: of each item of `events`, ns, int64, [items].
        types: of each type the node's events up to and including each item, and zeros at the end, int32,
            [items + 1, T].
        times: their attributes that are times, int64, [n, k].
    """

    exists_from: np.ndarray
    events: Lists
    time: np.ndarray
    types: np.ndarray
    times: np.ndarray


class Values(NamedTuple):
    """The valued events of each type with values and content; row k x contents + content of `events`.

    Attributes:
        events: valued events.
        total: sum of the row's values up to and including each item, float64, [items].
    """

    events: Lists
    total: np.ndarray


class Block(NamedTuple):
    """Some rows; arrays of length BLOCK.

    Attributes:
        node, at: as in the arguments.
        begin, end: the items of the node's list that lie before the time, int64.
        inside: where those of each window begin, int64, [L, BLOCK].
        upto, outside: last items before the time, and before a window, int64.
        time: a time of the node, of which the age is asked, int64.
    """

    node: np.ndarray
    at: np.ndarray
    begin: np.ndarray
    end: np.ndarray
    inside: np.ndarray
    upto: np.ndarray
    outside: np.ndarray
    time: np.ndarray


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def write_users(
    node: np.ndarray,
    at: np.ndarray,
    moments: Moments,
    windows: Windows,
    users: Nodes,
    popularity: np.ndarray,
    posts: Lists,
    scale: Scale,
    order: np.ndarray,
    out: np.ndarray,
    column: int,
    first: int,
    last: int,
) -> None:
    """Columns of users, in the order of `counters`, then attribute ages and whether the user is cold.

    Args:
        node: user of each row, int64, [P].
        at: moment of each row, int64, [P].
        moments: the times.
        windows: what is counted.
        users: all users.
        popularity: sum over the user's events up to and including each item of `users.events` of the logarithm of the
            content's popularity when they met, float64, [items].
        posts: contents that each user made.
        scale: how columns are scaled; `cold` is not.
        order: the rows in the order they are visited; by node is fastest, as a node's lists are read from memory but
            once, int64, [P].
        out: written to, float32, [P, all columns]; the last is whether the user is cold.
        column: column of `out` where these begin.
        first: first place in `order`.
        last: the place after the last.
    """
    raw, block = np.empty((scale.mean.shape[1], BLOCK)), _block(moments.low.shape[1])
    for start in range(first, last, BLOCK):
        m = _fill(block, node, at, order, start, last)
        _look_up(block, m, users.events, moments.num_events)
        _look_up_windows(block, m, users.events, moments)
        line = _counts(block, m, users, windows, raw)
        _log1p(raw, 0, line, m)
        for i in range(m):
            block.time[i] = users.exists_from[block.node[i]]
        line = _age(block, m, moments, raw, line)
        for i in range(m):  # the first event; with none, now
            block.time[i] = moments.time[block.at[i]]
            if block.end[i] > block.begin[i]:
                block.time[i] = users.time[block.begin[i]]
        line = _age(block, m, moments, raw, line)
        line = _freshness(block, m, users, moments, raw, line)
        for i in range(m):
            count = block.end[i] - block.begin[i]
            raw[line, i] = popularity[block.end[i] - 1] / count if count else 0.0
        line += 1
        for i in range(m):
            g, own = block.at[i], posts.offset[block.node[i]]
            stop = posts.offset[block.node[i] + 1] if block.node[i] < moments.num_users[g] else own
            raw[line, i] = _before(posts.item, own, stop, moments.num_contents[g]) - own
        _log1p(raw, line, line + 1, m)
        _attribute_ages(block, m, users.times, moments, raw, line + 1)
        _write(block, m, raw, scale, moments.version, order, out, column, start)
        for i in range(m):
            out[order[start + i], out.shape[1] - 1] = 1.0 if block.end[i] == block.begin[i] else 0.0


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def write_contents(
    node: np.ndarray,
    at: np.ndarray,
    moments: Moments,
    windows: Windows,
    contents: Nodes,
    values: Values,
    scale: Scale,
    order: np.ndarray,
    out: np.ndarray,
    column: int,
    first: int,
    last: int,
) -> None:
    """Columns of contents, in the order of `counters`, then attribute ages; arguments as for `write_users`."""
    num_windows, num_contents = windows.every.shape[0], contents.exists_from.shape[0]
    raw, block = np.empty((scale.mean.shape[1], BLOCK)), _block(moments.low.shape[1])
    rate = np.empty((num_windows, BLOCK))
    for start in range(first, last, BLOCK):
        m = _fill(block, node, at, order, start, last)
        _look_up(block, m, contents.events, moments.num_events)
        _look_up_windows(block, m, contents.events, moments)
        line = _counts(block, m, contents, windows, raw)
        for w in range(num_windows):
            for i in range(m):
                rate[w, i] = raw[w, i] * moments.rate[block.at[i], windows.every[w]]
        _log1p(rate, 0, num_windows, m)
        _log1p(raw, 0, line, m)
        for w in range(1, num_windows):
            for i in range(m):
                raw[line, i] = rate[w - 1, i] - rate[w, i]
            line += 1
        _mean_values(block, m, num_contents, values, moments, raw[line])
        for i in range(m):
            block.time[i] = contents.exists_from[block.node[i]]
        line = _age(block, m, moments, raw, line + 1)
        line = _freshness(block, m, contents, moments, raw, line)
        _attribute_ages(block, m, contents.times, moments, raw, line)
        _write(block, m, raw, scale, moments.version, order, out, column, start)


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def write_groups(
    node: np.ndarray,
    at: np.ndarray,
    moments: Moments,
    windows: Windows,
    members: Lists,
    events: Lists,
    scale: Scale,
    order: np.ndarray,
    out: np.ndarray,
    column: int,
    first: int,
    last: int,
) -> None:
    """Columns of creators or tags: their contents, and the events on these; other arguments as for `write_users`."""
    raw, block = np.empty((scale.mean.shape[1], BLOCK)), _block(moments.low.shape[1])
    for start in range(first, last, BLOCK):
        m = _fill(block, node, at, order, start, last)
        _look_up(block, m, members, moments.num_contents)
        for i in range(m):
            raw[0, i] = block.end[i] - block.begin[i]
        _look_up(block, m, events, moments.num_events)
        _look_up_windows(block, m, events, moments)
        line = _window_counts(block, m, windows, raw, 1)
        _log1p(raw, 0, line, m)
        _write(block, m, raw, scale, moments.version, order, out, column, start)


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def lists(node: np.ndarray, item: np.ndarray, num_nodes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Items of each node in their order: offsets, items, and which pair each came from (counting sort)."""
    offset = np.zeros(num_nodes + 1, np.int64)
    for v in node:
        offset[v + 1] += 1
    for v in range(num_nodes):
        offset[v + 1] += offset[v]
    cursor = offset[:-1].copy()
    items, pair = np.empty(len(node), np.int32), np.empty(len(node), np.int32)
    for i in range(len(node)):
        place = cursor[node[i]]
        cursor[node[i]] += 1
        items[place], pair[place] = item[i], i
    return offset, items, pair


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def running_counts(offset: np.ndarray, kind: np.ndarray, num_kinds: int) -> np.ndarray:
    """Of each kind the items of a node up to and including each, and zeros at the end, int32, [items + 1, num_kinds].

    They begin anew with every node: so no rounding and no bit of one node depends on the others.
    """
    counts = np.zeros((len(kind) + 1, num_kinds), np.int32)
    for v in range(offset.shape[0] - 1):
        for i in range(offset[v], offset[v + 1]):
            if i > offset[v]:
                counts[i] = counts[i - 1]
            counts[i, kind[i]] += 1
    return counts


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def running_sums(offset: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Sum of each node's values up to and including each, float64, [items]; anew with every node."""
    sums = np.empty(len(value), np.float64)
    for v in range(offset.shape[0] - 1):
        total = 0.0
        for i in range(offset[v], offset[v + 1]):
            total += value[i]
            sums[i] = total
    return sums


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def by_node(node: np.ndarray, num_nodes: int) -> np.ndarray:
    """The rows about in the order of their nodes: near enough for memory, and quicker than a sort; int64, [P]."""
    shift = 0
    while num_nodes >> shift > BUCKETS:
        shift += 1
    offset = np.zeros((num_nodes >> shift) + 2, np.int64)
    for v in node:
        offset[(v >> shift) + 1] += 1
    for k in range(1, offset.shape[0]):
        offset[k] += offset[k - 1]
    order = np.empty(len(node), np.int64)
    for i in range(len(node)):
        k = node[i] >> shift
        order[offset[k]] = i
        offset[k] += 1
    return order


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _before(items: np.ndarray, begin: int, end: int, bound: int) -> int:
    """Where the first of the ascending items [begin, end) that is at least `bound` is."""
    if begin >= end or items[end - 1] < bound:
        return end
    if items[begin] >= bound:
        return begin
    size = end - begin
    while size > 1:  # without a branch that could be guessed wrong
        half = size >> 1
        begin = begin + half if items[begin + half - 1] < bound else begin
        size -= half
    return begin + (items[begin] < bound)


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _back_to(items: np.ndarray, begin: int, end: int, bound: int) -> int:
    """`_before`, where the answer is likely to be near the end: by steps that double."""
    if bound == 0:  # the window is the whole past
        return begin
    step = 1
    while end - step >= begin and items[end - step] >= bound:
        end -= step
        step *= 2
    return _before(items, max(end - step, begin), end, bound)


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _block(num_windows: int) -> Block:
    return Block(
        np.empty(BLOCK, np.int64),
        np.empty(BLOCK, np.int64),
        np.empty(BLOCK, np.int64),
        np.empty(BLOCK, np.int64),
        np.empty((num_windows, BLOCK), np.int64),
        np.empty(BLOCK, np.int64),
        np.empty(BLOCK, np.int64),
        np.empty(BLOCK, np.int64),
    )


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _fill(block: Block, node: np.ndarray, at: np.ndarray, order: np.ndarray, start: int, last: int) -> int:
    """Fill `node` and `at` with the rows from `start` on; gives their number."""
    m = min(BLOCK, last - start)
    for i in range(m):
        block.node[i], block.at[i] = node[order[start + i]], at[order[start + i]]
    return m


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _look_up(block: Block, m: int, of: Lists, bound: np.ndarray) -> None:
    """Fill `begin` and `end`: items below the `bound` [G] of the row's moment."""
    for i in range(m):
        block.begin[i], block.end[i] = of.offset[block.node[i]], of.offset[block.node[i] + 1]
    for i in range(m):
        block.end[i] = _before(of.item, block.begin[i], block.end[i], bound[block.at[i]])


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _look_up_windows(block: Block, m: int, of: Lists, moments: Moments) -> None:
    """Fill `inside`, after `begin` and `end`; each window holds the one before."""
    for w in range(moments.low.shape[1]):
        outer = block.end if w == 0 else block.inside[w - 1]
        for i in range(m):
            block.inside[w, i] = _back_to(of.item, block.begin[i], outer[i], moments.low[block.at[i], w])


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _window_counts(block: Block, m: int, windows: Windows, raw: np.ndarray, column: int) -> int:
    """Items in each window; gives the next column."""
    for w in windows.every:
        for i in range(m):
            raw[column, i] = block.end[i] - block.inside[w, i]
        column += 1
    return column


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _counts(block: Block, m: int, nodes: Nodes, windows: Windows, raw: np.ndarray) -> int:
    """Events in the windows, then by type; gives the next column."""
    column = _window_counts(block, m, windows, raw, 0)
    none, num_types = nodes.types.shape[0] - 1, nodes.types.shape[1]
    for w in windows.typed:
        for i in range(m):
            begin, inside, end = block.begin[i], block.inside[w, i], block.end[i]
            block.upto[i] = end - 1 if end > begin else none
            block.outside[i] = inside - 1 if inside > begin else none
        for k in range(num_types):
            for i in range(m):
                raw[column + k, i] = nodes.types[block.upto[i], k] - nodes.types[block.outside[i], k]
        column += num_types
    return column


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _mean_values(block: Block, m: int, num_contents: int, values: Values, moments: Moments, column: np.ndarray) -> None:
    """See `values.ValueScale`."""
    for i in range(m):
        v, g = block.node[i], block.at[i]
        excess, valued = 0.0, 0
        for k in range(moments.low_value.shape[1]):
            start = values.events.offset[k * num_contents + v]
            stop = values.events.offset[k * num_contents + v + 1]
            stop = _before(values.events.item, start, stop, moments.num_events[g])
            if stop > start:
                total = values.total[stop - 1] - (stop - start) * moments.low_value[g, k]
                excess += total / moments.value_width[g, k]
                valued += stop - start
        column[i] = (excess - valued * moments.mean_value[g]) / (valued + PRIOR)


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _age(block: Block, m: int, moments: Moments, raw: np.ndarray, column: int) -> int:
    """Ages of the times in `place`, see `counters.log_age`; gives the next column."""
    for i in range(m):
        t = moments.time[block.at[i]]
        raw[column, i] = AGE_RESOLUTION * ((t - min(block.time[i], t)) / moments.span[block.at[i]])
    _log1p(raw, column, column + 1, m)
    return column + 1


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _freshness(block: Block, m: int, nodes: Nodes, moments: Moments, raw: np.ndarray, column: int) -> int:
    """How lately a node had its last event, 0 without any; gives the next column."""
    for i in range(m):
        g = block.at[i]
        block.time[i] = moments.time[g] - moments.span[g]
        if block.end[i] > block.begin[i]:
            block.time[i] = nodes.time[block.end[i] - 1]
    _age(block, m, moments, raw, column)
    for i in range(m):
        raw[column, i] = np.log1p(AGE_RESOLUTION) - raw[column, i]
    return column + 1


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _attribute_ages(block: Block, m: int, times: np.ndarray, moments: Moments, raw: np.ndarray, column: int) -> None:
    """Age of each attribute that is a time, and whether it lies in the past."""
    for k in range(times.shape[1]):
        for i in range(m):
            block.time[i] = times[block.node[i], k]
        column = _age(block, m, moments, raw, column)
        for i in range(m):
            raw[column, i] = 1.0 if block.time[i] < moments.time[block.at[i]] else 0.0
        column += 1


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _write(
    block: Block,
    m: int,
    raw: np.ndarray,
    scale: Scale,
    version: np.ndarray,
    order: np.ndarray,
    out: np.ndarray,
    column: int,
    start: int,
) -> None:
    """Scale all columns and write them."""
    for i in range(m):
        row, of = order[start + i], version[block.at[i]]
        for j in range(raw.shape[0]):
            value = (raw[j, i] - scale.mean[of, j]) * scale.factor[of, j]
            out[row, column + j] = min(max(value, -scale.clip), scale.clip)


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _log1p(raw: np.ndarray, first: int, last: int, m: int) -> None:
    """Replace numbers of at least 0 in some columns by log(1 + number), to 1e-15; free of branches and of tables.

    With 1 + number = 2^e f and f in [sqrt(1/2), sqrt(2)): log f = 2 artanh((f - 1) / (f + 1)), by its series.
    """
    sum_, power, factor = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK)
    bits, factor_bits = sum_.view(np.int64), factor.view(np.int64)
    for j in range(first, last):
        for i in range(m):
            sum_[i] = 1.0 + raw[j, i]
        for i in range(m):
            e = (bits[i] - _ROOT_HALF) >> 52
            power[i], factor_bits[i] = e, bits[i] - (e << 52)
        for i in range(m):
            z = (factor[i] - 1.0) / (factor[i] + 1.0)
            s = z * z
            series = 1 / 17 + s * (1 / 19 + s / 21)
            series = 1 / 9 + s * (1 / 11 + s * (1 / 13 + s * (1 / 15 + s * series)))
            series = 1.0 + s * (1 / 3 + s * (1 / 5 + s * (1 / 7 + s * series)))
            raw[j, i] = power[i] * _LOG_2 + 2.0 * z * series
