"""The compiled part of counters of many nodes at many times; `timed_counters.py` prepares its arrays.

Row i is a node as of the time of moment `at[i]`. It runs without the interpreter's lock on rows order[first:last].
"""

from typing import NamedTuple

import numba
import numpy as np

PRIOR = 5.0  # of a content's mean value, see `values.PRIOR_EVENTS`


class Lists(NamedTuple):
    """Ascending whole numbers of every node: its events, say.

    Attributes:
        offset: where each node's begin in `item`, int64, [nodes + 1].
        item: int32, [items].
    """

    offset: np.ndarray
    item: np.ndarray


class Moments(NamedTuple):
    """Query times and what is the same for all nodes at each; G moments, W windows and a last one of recent events.

    Attributes:
        time: ns, int64, [G].
        span: time since the first event, see `counters.span_before`, int64, [G].
        num_events: events before each time, int64, [G].
        num_users, num_contents: nodes that exist, int64, [G].
        low: first event of each window, int64, [G, W + 1].
        rate: factor that turns a window's counts into rates, float64, [G, W].
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


class Nodes(NamedTuple):
    """What is known of users or contents.

    Attributes:
        exists_from: int64, [n].
        events: their events.
        types_before: events of each type among the items before each place of `events.item`, int32, [items + 1, T].
        times: their attributes that are times, int64, [n, k].
    """

    exists_from: np.ndarray
    events: Lists
    types_before: np.ndarray
    times: np.ndarray


class Histories(NamedTuple):
    """The contents of users' events, aligned with the items of the users' lists of events.

    Attributes:
        content: int32, [items].
        place: where the event is among the items of the contents' lists, int32, [items].
    """

    content: np.ndarray
    place: np.ndarray


class Values(NamedTuple):
    """The valued events of each type with values and content; row k x contents + content of `events`.

    Attributes:
        events: valued events.
        before: sum of the values of the items before each place, float64, [items + 1].
    """

    events: Lists
    before: np.ndarray


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def write_users(
    node: np.ndarray,
    at: np.ndarray,
    moments: Moments,
    users: Nodes,
    contents: Nodes,
    histories: Histories,
    posts: Lists,
    logs: tuple[np.ndarray, np.ndarray],
    scale: Scale,
    order: np.ndarray,
    out: np.ndarray,
    first: int,
    last: int,
) -> None:
    """Columns of users, in the order of `counters`, then attribute ages and whether the user is cold.

    Args:
        node: user of each row, int64, [P].
        at: moment of each row, int64, [P].
        moments: the times.
        users: all users.
        contents: all contents.
        histories: contents of the users' events.
        posts: contents that each user made.
        logs: time of each event, and log(1 + n) of whole numbers n.
        scale: how columns are scaled; `cold` is not.
        order: the rows in the order they are visited; by node is fastest, as a node's lists are read anew from memory
            but once, int64, [P].
        out: written to, float32, [P, columns].
        first: first place in `order`.
        last: the place after the last.
    """
    time_of, log_of = logs
    count = np.empty(moments.rate.shape[1], np.int64)
    raw = np.empty(scale.mean.shape[1])
    for i in order[first:last]:
        v, g = node[i], at[i]
        t, span, n = moments.time[g], moments.span[g], moments.num_events[g]
        begin = users.events.offset[v]
        end = _place(users.events.item, begin, users.events.offset[v + 1], n)
        column = _window_columns(users, moments, g, begin, end, log_of, raw, count)
        exists = v < moments.num_users[g]
        raw[column] = _age(users.exists_from[v], t, span)
        raw[column + 1] = _age(time_of[users.events.item[begin]], t, span) if end > begin else 0.0
        raw[column + 2] = _freshness(time_of, users.events.item, begin, end, t, span)
        popularity = 0.0
        for j in range(begin, end):
            c = histories.content[j]
            # The event itself is before t, so what is at or after t comes behind it.
            upto = _place(contents.events.item, histories.place[j] + 1, contents.events.offset[c + 1], n)
            popularity += log_of[upto - contents.events.offset[c]]
        raw[column + 3] = popularity / max(end - begin, 1)
        own = posts.offset[v]
        made = _place(posts.item, own, posts.offset[v + 1], moments.num_contents[g]) - own if exists else 0
        raw[column + 4] = log_of[made]
        _attribute_ages(users.times, v, t, span, raw, column + 5)
        _scaled(raw, scale, moments.version[g], out, i)
        out[i, raw.shape[0]] = 1.0 if end == begin else 0.0


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def write_contents(
    node: np.ndarray,
    at: np.ndarray,
    moments: Moments,
    contents: Nodes,
    values: Values,
    logs: tuple[np.ndarray, np.ndarray],
    scale: Scale,
    order: np.ndarray,
    out: np.ndarray,
    first: int,
    last: int,
) -> None:
    """Columns of contents, in the order of `counters`, then attribute ages; arguments as for `write_users`."""
    time_of, log_of = logs
    num_windows, num_contents = moments.rate.shape[1], contents.exists_from.shape[0]
    raw = np.empty(scale.mean.shape[1])
    count = np.empty(num_windows, np.int64)
    for i in order[first:last]:
        v, g = node[i], at[i]
        t, span, n = moments.time[g], moments.span[g], moments.num_events[g]
        begin = contents.events.offset[v]
        end = _place(contents.events.item, begin, contents.events.offset[v + 1], n)
        column = _window_columns(contents, moments, g, begin, end, log_of, raw, count)
        before = 0.0
        for w in range(num_windows):
            rate = np.log1p(count[w] * moments.rate[g, w]) if count[w] else 0.0
            if w:
                raw[column + w - 1] = before - rate
            before = rate
        column += num_windows - 1
        excess, valued = 0.0, 0
        for k in range(moments.low_value.shape[1]):
            row = k * num_contents + v
            start = values.events.offset[row]
            stop = _place(values.events.item, start, values.events.offset[row + 1], n)
            total = values.before[stop] - values.before[start] - (stop - start) * moments.low_value[g, k]
            excess += total / moments.value_width[g, k]
            valued += stop - start
        raw[column] = (excess - valued * moments.mean_value[g]) / (valued + PRIOR)
        raw[column + 1] = _age(contents.exists_from[v], t, span)
        raw[column + 2] = _freshness(time_of, contents.events.item, begin, end, t, span)
        _attribute_ages(contents.times, v, t, span, raw, column + 3)
        _scaled(raw, scale, moments.version[g], out, i)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def write_groups(
    node: np.ndarray,
    at: np.ndarray,
    moments: Moments,
    members: Lists,
    events: Lists,
    log_of: np.ndarray,
    scale: Scale,
    order: np.ndarray,
    out: np.ndarray,
    first: int,
    last: int,
) -> None:
    """Columns of creators or tags: their contents, and the events on these; other arguments as for `write_users`."""
    raw = np.empty(scale.mean.shape[1])
    for i in order[first:last]:
        v, g = node[i], at[i]
        begin = members.offset[v]
        raw[0] = log_of[_place(members.item, begin, members.offset[v + 1], moments.num_contents[g]) - begin]
        begin = events.offset[v]
        end = _place(events.item, begin, events.offset[v + 1], moments.num_events[g])
        for w in range(moments.rate.shape[1]):
            raw[1 + w] = log_of[end - _place(events.item, begin, end, moments.low[g, w])]
        _scaled(raw, scale, moments.version[g], out, i)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
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


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _place(items: np.ndarray, begin: int, end: int, bound: int) -> int:
    """Where the first of the ascending items [begin, end) that is at least `bound` is."""
    if begin == end or items[end - 1] < bound:
        return end
    while begin < end:
        middle = (begin + end) >> 1
        if items[middle] < bound:
            begin = middle + 1
        else:
            end = middle
    return begin


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _window_columns(
    nodes: Nodes,
    moments: Moments,
    g: int,
    begin: int,
    end: int,
    log_of: np.ndarray,
    raw: np.ndarray,
    count: np.ndarray,
) -> int:
    """Log counts in the windows, which `count` [W] gets as they are, then by type, then by type of recent events.

    Gives the next column.
    """
    num_windows, num_types = moments.rate.shape[1], nodes.types_before.shape[1]
    inside = end
    for w in range(num_windows):  # each window holds the one before
        inside = _place(nodes.events.item, begin, inside, moments.low[g, w])
        count[w] = end - inside
        raw[w] = log_of[count[w]]
    recent = _place(nodes.events.item, begin, end, moments.low[g, num_windows])
    for k in range(num_types):
        upto = nodes.types_before[end, k]
        raw[num_windows + k] = log_of[upto - nodes.types_before[begin, k]]
        raw[num_windows + num_types + k] = log_of[upto - nodes.types_before[recent, k]]
    return num_windows + 2 * num_types


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _age(time: int, t: int, span: int) -> float:
    """See `counters.log_age`."""
    return np.log1p(10_000.0 * ((t - min(time, t)) / span))


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _freshness(time_of: np.ndarray, items: np.ndarray, begin: int, end: int, t: int, span: int) -> float:
    """How lately a node had its last event, 0 without any."""
    if end == begin:
        return 0.0
    return np.log1p(10_000.0) - _age(time_of[items[end - 1]], t, span)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _attribute_ages(times: np.ndarray, v: int, t: int, span: int, raw: np.ndarray, column: int) -> None:
    for k in range(times.shape[1]):
        raw[column + 2 * k] = _age(times[v, k], t, span)
        raw[column + 2 * k + 1] = 1.0 if times[v, k] < t else 0.0


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _scaled(raw: np.ndarray, scale: Scale, version: int, out: np.ndarray, i: int) -> None:
    for j in range(raw.shape[0]):
        value = (raw[j] - scale.mean[version, j]) * scale.factor[version, j]
        out[i, j] = min(max(value, -scale.clip), scale.clip)
