"""Counters of many nodes, each at a time of its own; `counters.py` says what they are, for all nodes at one time.

A neighbour loader needs them: every seed sees its subgraph as of its own time. One pass over the log makes, for every
node, the list of its events; then a count at any time is a search in that list.
"""

from collections.abc import Sequence

import numpy as np

from recsys.data.event_log import EventLog
from recsys.data.positions import positions
from recsys.graph import timed_kernel as kernel
from recsys.graph.counters import RATE_UNIT, RECENT_SHARE, popularity_when_met
from recsys.graph.schema import CONTENT, CREATOR, TAG, USER
from recsys.graph.timed_columns_kernel import Moments, Scale, empty_block
from recsys.graph.timed_lists_kernel import run_sums
from recsys.graph.timed_nodes import groups, lists, longest, nodes_with_events, sorted_lists
from recsys.threads import Work

LEAST = 8192  # rows of a part: smaller ones meet the same nodes again
KINDS = {USER: kernel.USERS, CONTENT: kernel.CONTENTS, CREATOR: kernel.GROUPS, TAG: kernel.GROUPS}


class TimedCounters:
    """Counters of `counters.Counters`, and ages of attributes, for rows of (node, time).

    Args:
        log: the event log.
        windows: ascending shares of the last events, as for `Counters`.
        times: attributes of users and contents that are times, int64, [n, k] each.
    """

    def __init__(self, log: EventLog, windows: Sequence[float], times: dict[str, np.ndarray]) -> None:
        self._log = log
        # Events by type are counted in the whole past and in its latest part.
        self._shares = sorted({*windows, RECENT_SHARE, 1.0})
        self._values = values = _Values(log)
        event = np.arange(len(log))
        made = np.flatnonzero(log.creator_of >= 0)
        maker = log.creator_of[made]
        poster = log.user_of_creator[maker]
        is_user = (poster >= 0) & (poster < len(log.users))
        posts = lists(poster[is_user], made[is_user], len(log.users))
        on_creator = log.creator_of[log.content]
        on_tags, tagged_event = _tags_of_events(log)
        met = popularity_when_met(log)
        of_users = nodes_with_events(log, log.user, log.users.exists_from, times[USER], met)
        of_contents = nodes_with_events(log, log.content, log.contents.exists_from, times[CONTENT], met)
        self._nodes = {
            USER: of_users._replace(contents=posts),
            CONTENT: of_contents._replace(values=values.events, total=values.total),
            CREATOR: groups(
                lists(on_creator[on_creator >= 0], event[on_creator >= 0], len(log.creators)),
                lists(maker, made, len(log.creators)),
            ),
            TAG: groups(
                lists(on_tags, tagged_event, len(log.tags)),
                lists(log.content_tags[1], log.content_tags[0], len(log.tags)),
            ),
        }
        self._windows = kernel.Windows(
            every=np.array([self._shares.index(share) for share in windows], dtype=np.int64),
            typed=np.array([self._shares.index(share) for share in (1.0, RECENT_SHARE)], dtype=np.int64),
            logs=np.log1p(np.arange(1.0 + max(longest(of) for of in self._nodes.values()))),
        )

    def moments(self, times: np.ndarray, version: np.ndarray) -> Moments:
        """What is the same for all nodes at each of the times (ns), int64 [G], with a row of the scale for each."""
        log = self._log
        n = positions(log.time, times)
        sizes = np.column_stack([_window_sizes(n, share) for share in self._shares])
        low = n[:, None] - sizes[:, :-1]
        num_users, num_contents = (positions(nodes.exists_from, times) for nodes in (log.users, log.contents))
        return Moments(
            when=np.column_stack([times, np.where(n > 0, times - (log.time[0] if len(log) else 0), 1)]),
            place=np.column_stack([n, num_users, num_contents, version, low]).astype(np.int32),
            rate=RATE_UNIT / np.maximum(sizes, 1),
            value=self._values.as_of(n),
        )

    def writing(
        self,
        node_type: str,
        node: np.ndarray,
        at: np.ndarray,
        *,
        moments: Moments,
        scale: Scale,
        out: np.ndarray,
        column: int = 0,
    ) -> Work:
        """What writes scaled counters, in the order of `Counters`, then attribute ages and for users `cold`, last.

        Args:
            node_type: of all nodes.
            node: node of each row, int64, [P].
            at: moment of each row, int64, [P].
            moments: as `moments` gives them.
            scale: how counters and ages are scaled.
            out: written to, float32, [P, all columns]; `cold` is the last.
            column: column of `out` where they begin.
        """
        kind, windows, nodes = KINDS[node_type], self._windows, self._nodes[node_type]

        def write(first: int, last: int) -> None:
            block = empty_block(moments.rate.shape[1], scale.mean.shape[1])
            room = (block, np.empty(last - first, np.uint32))
            kernel.write(kind, node, at, moments, windows, nodes, scale, *room, out, column, first, last)

        return Work(write, len(node), LEAST)


class _Values:
    """Event values by type and content, and their extremes as of any number of events (see `values.ValueScale`)."""

    def __init__(self, log: EventLog) -> None:
        event = np.flatnonzero(np.isfinite(log.value))
        kinds = np.unique(log.type[event])
        # Where no type's values ever differ, the feature is 0 for all and there is nothing to look up.
        differ = any(np.ptp(log.value[event[log.type[event] == kind]]) > 0 for kind in kinds)
        event, kinds = (event, kinds) if differ else (event[:0], kinds[:0])
        self._events = [event[log.type[event] == kind] for kind in kinds]
        values = [log.value[of_type].astype(np.float64) for of_type in self._events]
        self._lowest = [np.minimum.accumulate(of_type) for of_type in values]
        self._highest = [np.maximum.accumulate(of_type) for of_type in values]
        self._sum = [np.cumsum(of_type) for of_type in values]
        row = log.content[event] * len(kinds) + np.searchsorted(kinds, log.type[event])
        self.events, offset, pair = sorted_lists(row, event, len(kinds) * len(log.contents))
        self.total = np.zeros(len(pair))
        if len(event):
            run_sums(offset, log.value[event[pair]].astype(np.float64), self.total)

    def as_of(self, n: np.ndarray) -> np.ndarray:
        """Mean of all scaled values, and least values and widths of the types, of the first n events; [G, 1 + 2 K]."""
        low, width = np.zeros((len(n), len(self._events))), np.ones((len(n), len(self._events)))
        total, count = np.zeros(len(n)), np.zeros(len(n), dtype=np.int64)
        for k, events in enumerate(self._events):
            m = np.searchsorted(events, n)
            some, last = m > 0, np.maximum(m - 1, 0)
            low[:, k] = np.where(some, self._lowest[k][last], 0.0)
            spread = np.where(some, self._highest[k][last] - low[:, k], 0.0)
            width[:, k] = np.where(spread > 0, spread, 1.0)
            total += np.where(some, (self._sum[k][last] - m * low[:, k]) / width[:, k], 0.0)
            count += m
        return np.column_stack([total / np.maximum(count, 1), low, width])


def _tags_of_events(log: EventLog) -> tuple[np.ndarray, np.ndarray]:
    """The tags of every event's content, and the event; int64, [X] each, events ascending."""
    offset = np.searchsorted(log.content_tags[0], np.arange(len(log.contents) + 1))
    size = np.diff(offset)[log.content]
    event = np.repeat(np.arange(len(log)), size)
    place = np.arange(len(event)) - np.repeat(np.cumsum(size) - size - offset[log.content], size)
    return log.content_tags[1][place], event


def _window_sizes(n: np.ndarray, share: float) -> np.ndarray:
    """`counters.window_size` of many numbers of events at once."""
    sizes: np.ndarray = np.minimum(n, np.maximum(1, (share * n + 1e-9).astype(np.int64)))
    return sizes
