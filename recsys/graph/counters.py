"""What the log says about every node before a time: counts, trends and ages; `node_features` scales them."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from recsys.data.event_log import EventLog, NodeTable
from recsys.graph.schema import CONTENT, CREATOR, TAG, USER
from recsys.graph.values import ValueScale

RECENT_SHARE = 0.05  # window of the recent counts per event type
RATE_UNIT = 1_000.0  # trends compare logarithms of the events per this many events of a window
AGE_RESOLUTION = 10_000.0  # ages are told apart down to about this fraction of the log's span

Columns = dict[str, np.ndarray]  # name -> float64 [num_nodes]


class Counters:
    """Raw counters of all nodes as of a time, from events strictly before it (report, section II.C).

    Windows are shares of the last events and ages are shares of the time since the log's first event, both as of
    the query time: a log of two weeks and one of twenty years are seen alike. A node without events has 0 in every
    column that speaks of events.

    Args:
        log: the event log.
        windows: ascending shares in (0, 1]; window w is the last max(1, floor(w n)) of the n events so far.
    """

    def __init__(self, log: EventLog, windows: Sequence[float]) -> None:
        self._log = log
        self._windows = tuple(windows)
        self._values = ValueScale(log)
        self._popularity = popularity_when_met(log)

    def before(self, t: int) -> dict[str, Columns]:
        """Counters of the nodes that exist before `t` (ns), node type -> columns; the names do not depend on `t`."""
        log, n = self._log, self._log.count_before(t)
        num_users, num_contents = log.users.count_before(t), log.contents.count_before(t)
        on_content = self._window_counts(log.content[:n], num_contents)
        made = np.flatnonzero(log.creator_of[:num_contents] >= 0)
        maker = log.creator_of[made]
        tagged, tag = log.content_tags[:, : np.searchsorted(log.content_tags[0], num_contents)]
        return {
            USER: self._user(t, n, num_users, num_contents, maker),
            CONTENT: self._content(t, n, num_contents, on_content),
            CREATOR: self._group(made, maker, log.creators.count_before(t), on_content),
            TAG: self._group(tagged, tag, log.tags.count_before(t), on_content),
        }

    def _user(self, t: int, n: int, num_users: int, num_contents: int, maker: np.ndarray) -> Columns:
        """Activity, age, taste for popular contents, and posts of each user."""
        log, user = self._log, self._log.user[:n]
        counts = self._window_counts(user, num_users)
        num_events = np.bincount(user, minlength=num_users)
        sum_popularity = np.bincount(user, weights=self._popularity[:n], minlength=num_users)
        poster = log.user_of_creator[maker]
        poster = poster[(poster >= 0) & (poster < num_users)]
        return {
            **{f"log_events_last_{w:g}": np.log1p(counts[w]) for w in self._windows},
            **self._type_counts(user, num_users),
            "age": self._age(log.users, num_users, t),
            "age_of_first_event": log_age(_first_times(user, log.time[:n], num_users, t), t, span_before(log, t)),
            "freshness": self._freshness(user, num_users, t),
            "mean_popularity": sum_popularity / np.maximum(num_events, 1),
            "log_posts": np.log1p(np.bincount(poster, minlength=num_users)),
        }

    def _content(self, t: int, n: int, num_contents: int, counts: dict[float, np.ndarray]) -> Columns:
        """Popularity and its trend, quality and age of each content."""
        log, content = self._log, self._log.content[:n]
        rate = {w: np.log1p(counts[w] * (RATE_UNIT / max(window_size(n, w), 1))) for w in self._windows}
        return {
            **{f"log_events_last_{w:g}": np.log1p(counts[w]) for w in self._windows},
            **self._type_counts(content, num_contents),
            **{f"trend_{s:g}_{w:g}": rate[s] - rate[w] for s, w in pairwise(self._windows)},
            "mean_value": self._values.shrunk_mean(n, num_contents),
            "age": self._age(log.contents, num_contents, t),
            "freshness": self._freshness(content, num_contents, t),
        }

    def _group(
        self, content: np.ndarray, group: np.ndarray, num_groups: int, on_content: dict[float, np.ndarray]
    ) -> Columns:
        """Size of each creator's or tag's group of contents and the events on it; `content` and `group` are pairs."""
        events = {w: np.bincount(group, weights=on_content[w][content], minlength=num_groups) for w in self._windows}
        return {
            "log_contents": np.log1p(np.bincount(group, minlength=num_groups)),
            **{f"log_events_last_{w:g}": np.log1p(events[w]) for w in self._windows},
        }

    def _window_counts(self, node: np.ndarray, num_nodes: int) -> dict[float, np.ndarray]:
        """Events of each node in each window; `node` [n] is the node of every event so far."""
        n = len(node)
        return {w: np.bincount(node[n - window_size(n, w) :], minlength=num_nodes) for w in self._windows}

    def _type_counts(self, node: np.ndarray, num_nodes: int) -> Columns:
        """Log counts of each node's events per type, over the whole past and over its latest part."""
        n, types = len(node), self._log.types
        key = node * len(types) + self._log.type[:n]
        columns: Columns = {}
        for suffix, part in (("", key), (f"_last_{RECENT_SHARE:g}", key[n - window_size(n, RECENT_SHARE) :])):
            counts = np.bincount(part, minlength=num_nodes * len(types)).reshape(num_nodes, len(types))
            columns |= {f"log_{name}_events{suffix}": np.log1p(counts[:, i]) for i, name in enumerate(types)}
        return columns

    def _age(self, nodes: NodeTable, num_nodes: int, t: int) -> np.ndarray:
        return log_age(nodes.exists_from[:num_nodes], t, span_before(self._log, t))

    def _freshness(self, node: np.ndarray, num_nodes: int, t: int) -> np.ndarray:
        """How lately each node had its last event: 0 for never or as long ago as the log's first event."""
        time, span = self._log.time[: len(node)], span_before(self._log, t)
        last = np.full(num_nodes, t - span)
        last[node] = time  # of repeated indices numpy keeps the last, and events are in time order
        return float(np.log1p(AGE_RESOLUTION)) - log_age(last, t, span)


def popularity_when_met(log: EventLog) -> np.ndarray:
    """log(1 + events that each event's content had had strictly before it), float64 [num_events].

    A number of the event's own time: so sums over a user's past are running sums, and no later event moves them.
    """
    order = np.argsort(log.content, kind="stable")
    content, time = log.content[order], log.time[order]
    place = np.arange(len(order))
    is_new = np.diff(content, prepend=-1) != 0
    is_later = is_new | (np.diff(time, prepend=time[:1]) != 0)
    first, earlier = (np.maximum.accumulate(np.where(begins, place, 0)) for begins in (is_new, is_later))
    popularity = np.empty(len(order))
    popularity[order] = np.log1p(earlier - first)
    return popularity


def window_size(num_events: int, share: float) -> int:
    """Number of events in the window of the last `share` of `num_events` events; at least 1 if there is any."""
    # The small term keeps products like 0.29 * 100, which floating point puts just below 29, at 29.
    return min(num_events, max(1, int(share * num_events + 1e-9)))


def span_before(log: EventLog, t: int) -> int:
    """Time from the log's first event to `t`, ns; 1 where no event lies before `t`."""
    return t - int(log.time[0]) if log.count_before(t) else 1


def log_age(time: np.ndarray, t: int, span: int) -> np.ndarray:
    """Age of each time (ns) at `t` as a share of `span`, log-scaled; 0 for times at or after `t`."""
    # Without a sign, since 64 bits with one end at 292 years.
    age: np.ndarray = (t - np.minimum(time, t)).view(np.uint64)
    return np.asarray(np.log1p(AGE_RESOLUTION * (age / span)))


def _first_times(node: np.ndarray, time: np.ndarray, num_nodes: int, t: int) -> np.ndarray:
    """Time of each node's first event, `t` for none."""
    first = np.full(num_nodes, t)
    first[node[::-1]] = time[::-1]  # of repeated indices numpy keeps the last, here the earliest event
    return first
