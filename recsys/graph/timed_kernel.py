"""The compiled part of counters of many nodes at many times; `timed_counters.py` prepares its arrays.

Row i is a node as of the time of moment `at[i]`. It runs without the interpreter's lock on rows [first, last), in the
order of their nodes, in blocks, column by column: see `timed_columns_kernel.py`. A new column is one more call, in the
place where `counters` has it.
"""

from typing import NamedTuple

import numpy as np

from recsys.compiled import inner, outer
from recsys.graph.timed_columns_kernel import (
    AT,
    BEGIN,
    BLOCK,
    END,
    NODE,
    NUM_CONTENTS,
    NUM_EVENTS,
    NUM_USERS,
    ROW,
    START,
    STOP,
    UPTO,
    Block,
    Moments,
    Scale,
    fill,
    look_up,
    look_up_windows,
    write_ages,
    write_attribute_ages,
    write_freshness,
    write_scaled,
    write_trends,
    write_type_counts,
    write_window_counts,
)
from recsys.graph.timed_lists_kernel import FIRST, Lists, before, by_node
from recsys.graph.values import PRIOR_EVENTS

# What nodes have besides the counts of their events.
USERS, CONTENTS, GROUPS = range(3)


class Windows(NamedTuple):
    """What is counted in which windows, as places among the windows.

    Attributes:
        every: windows in which all events are counted, int64, [W].
        typed: windows in which events of each type are, int64, [X].
        logs: log(1 + number) of whole numbers, up to the length of the longest list, float64.
    """

    every: np.ndarray
    typed: np.ndarray
    logs: np.ndarray


class Nodes(NamedTuple):
    """What is known of the nodes of a type.

    Attributes:
        events: their events.
        time: of each item of `events`, ns, int64, [FIRST + items + 1].
        types: of each type the node's events up to and including each item, and zeros at place 0, int32,
            [FIRST + items + 1, T]; not of groups.
        popularity: of users: sum up to and including each item of the logarithm of the content's popularity when they
            met, float64, [FIRST + items + 1].
        exists_from: int64, [n].
        first_time: time of the first event, after all times without any, int64, [n].
        times: their attributes that are times, int64, [n, k].
        contents: the contents that a user made, or of a group.
        values: of contents: the valued events of each type with values; row content x K + k.
        total: sum of the row's values up to and including each item of `values`, float64, [FIRST + items + 1].
    """

    events: Lists
    time: np.ndarray
    types: np.ndarray
    popularity: np.ndarray
    exists_from: np.ndarray
    first_time: np.ndarray
    times: np.ndarray
    contents: Lists
    values: Lists
    total: np.ndarray


@outer
def write(
    kind: int,
    node: np.ndarray,
    at: np.ndarray,
    moments: Moments,
    windows: Windows,
    nodes: Nodes,
    scale: Scale,
    block: Block,
    order: np.ndarray,
    out: np.ndarray,
    column: int,
    first: int,
    last: int,
) -> None:
    """Columns in the order of `counters`, then attribute ages, and of users whether they are cold.

    Args:
        kind: USERS, CONTENTS or GROUPS (creators or tags).
        node: node of each row, int64, [P].
        at: moment of each row, int64, [P].
        moments: the times.
        windows: what is counted.
        nodes: all nodes of the type.
        scale: how columns are scaled; `cold` is not.
        block: room for some rows.
        order: room for the order of all, uint32, [last - first].
        out: written to, float32, [P, all columns]; the last of users is whether they are cold.
        column: column of `out` where these begin.
        first: first row.
        last: the row after the last.
    """
    # A node's lists are read from memory but once where its rows follow one another.
    by_node(node, first, last, nodes.events.begin.shape[0], order)
    for start in range(0, last - first, BLOCK):
        m, line = fill(block, node, at, order, start, out), 0
        if kind == GROUPS:
            look_up(block, m, nodes.contents, moments, NUM_CONTENTS)
            for i in range(m):
                block.raw[i, 0] = windows.logs[block.place[END, i] - block.place[BEGIN, i]]
            line = 1
        look_up(block, m, nodes.events, moments, NUM_EVENTS)
        look_up_windows(block, m, nodes.events, moments)
        line = write_window_counts(block, m, windows.every, windows.logs, line)
        if kind != GROUPS:
            line = write_type_counts(block, m, windows.typed, nodes.types, windows.logs, line)
        if kind == USERS:
            write_ages(block, m, nodes.exists_from, moments, line)
            write_ages(block, m, nodes.first_time, moments, line + 1)
            write_freshness(block, m, nodes.time, moments, line + 2)
            _write_tastes(block, m, nodes.popularity, line + 3)
            _write_posts(block, m, nodes.contents, moments, windows.logs, line + 4)
            line += 5
        if kind == CONTENTS:
            line = write_trends(block, m, windows.every, moments.rate, line)
            _write_mean_values(block, m, nodes, moments, line)
            write_ages(block, m, nodes.exists_from, moments, line + 1)
            write_freshness(block, m, nodes.time, moments, line + 2)
            line += 3
        write_attribute_ages(block, m, nodes.times, moments, line)
        write_scaled(block, m, scale, moments, out, column)
        if kind == USERS:
            for i in range(m):
                is_cold = block.place[END, i] == block.place[BEGIN, i]
                out[block.place[ROW, i], out.shape[1] - 1] = 1.0 if is_cold else 0.0


@inner
def _write_tastes(block: Block, m: int, popularity: np.ndarray, column: int) -> None:
    """Mean popularity of the user's contents when they met."""
    for i in range(m):
        count = max(block.place[END, i] - block.place[BEGIN, i], np.uint32(1))
        block.raw[i, column] = popularity[block.place[UPTO, i]] / count


@inner
def _write_posts(block: Block, m: int, posts: Lists, moments: Moments, logs: np.ndarray, column: int) -> None:
    """Log count of the contents that each user made."""
    if posts.item.shape[0] == FIRST + 1:
        for i in range(m):
            block.raw[i, column] = 0.0
        return
    for i in range(m):
        v, g = block.place[NODE, i], block.place[AT, i]
        block.place[START, i] = posts.begin[v]
        block.place[STOP, i] = posts.end[v] if v < moments.place[g, NUM_USERS] else block.place[START, i]
        block.bound[i] = moments.place[g, NUM_CONTENTS]
    before(posts.item, block.place[START], block.place[STOP], block.bound, m, block.place[STOP])
    for i in range(m):
        block.raw[i, column] = logs[block.place[STOP, i] - block.place[START, i]]


@inner
def _write_mean_values(block: Block, m: int, nodes: Nodes, moments: Moments, column: int) -> None:
    """See `values.ValueScale`."""
    num_kinds = moments.value.shape[1] // 2
    if not num_kinds:
        for i in range(m):
            block.raw[i, column] = 0.0
        return
    for i in range(m):
        block.real[0, i], block.real[1, i] = 0.0, 0.0
        block.bound[i] = moments.place[block.place[AT, i], NUM_EVENTS]
    for k in range(num_kinds):
        for i in range(m):
            row = num_kinds * block.place[NODE, i] + k
            block.place[START, i], block.place[STOP, i] = nodes.values.begin[row], nodes.values.end[row]
        before(nodes.values.item, block.place[START], block.place[STOP], block.bound, m, block.place[STOP])
        for i in range(m):
            g, count = block.place[AT, i], block.place[STOP, i] - block.place[START, i]
            if count:
                total = nodes.total[block.place[STOP, i] - np.uint32(1)] - count * moments.value[g, 1 + k]
                block.real[0, i] += total / moments.value[g, 1 + num_kinds + k]
                block.real[1, i] += count
    for i in range(m):
        excess, valued = block.real[0, i], block.real[1, i]
        block.raw[i, column] = (excess - valued * moments.value[block.place[AT, i], 0]) / (valued + PRIOR_EVENTS)
