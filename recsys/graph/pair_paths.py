"""What the log before a time says about a user and a content together, through short paths between them."""

from typing import NamedTuple, Self

import numpy as np

from recsys.data.event_log import EventLog
from recsys.graph import path_kernel as kernel
from recsys.graph.settings import GraphSettings
from recsys.threads import in_parts

KEPT = 0.9  # weight of a content in a recent history beside the one after it
HALF_LIFE = 0.05  # of late events, as a share of the events so far
MOST_VALUES = 1 << 24  # values of a block of users


class Queries(NamedTuple):
    """What is asked about: users at times, and candidates of each.

    Attributes:
        user: rows in `log.users`, int64, [Q].
        time: ns, int64, [Q].
        candidate: rows in `log.contents` that exist at that time, int64, [N].
        place: where each query's candidates begin and end in `candidate`, and where among the answers, which are in
            the order of the queries; queries may share candidates; int64, [Q, 3].
    """

    user: np.ndarray
    time: np.ndarray
    candidate: np.ndarray
    place: np.ndarray

    @classmethod
    def of_block(cls, users: np.ndarray, contents: np.ndarray, t: int) -> Self:
        """Every user with every content at one time (ns)."""
        size = len(contents)
        place = np.tile([0, size, 0], (len(users), 1))
        place[:, 2] = np.arange(len(users)) * size
        candidate = np.asarray(contents, dtype=np.int64)
        return cls(np.asarray(users, dtype=np.int64), np.full(len(users), t, dtype=np.int64), candidate, place)

    @classmethod
    def of_pairs(cls, user: np.ndarray, content: np.ndarray, time: np.ndarray) -> tuple[Self, np.ndarray]:
        """Users [B] with contents [B, N] at times of their own (ns) [B]; users asked for twice at a time are one query.

        Returns:
            The queries, and the row of `content` that each N answers are about, int64 [B].
        """
        width = content.shape[1]
        _, first, query = np.unique(np.column_stack([user, time]), axis=0, return_index=True, return_inverse=True)
        order = np.argsort(query, kind="stable")
        stop = np.cumsum(np.bincount(query, minlength=len(first))) * width
        start = np.concatenate([[0], stop[:-1]]) if len(first) else stop
        place = np.column_stack([start, stop, start]).astype(np.int64)
        queries = cls(
            np.asarray(user[first], dtype=np.int64),
            np.asarray(time[first], dtype=np.int64),
            content[order].ravel().astype(np.int64),
            place,
        )
        return queries, order


class PairPaths:
    """Signals about (user, content) pairs, each in [0, 1], from events strictly before the time of each pair.

    What counts is who met what: a pair of a user and a content counts once, from its first event on, and as a target
    from its first target event on. A walk starts at the contents c that the user met last, goes to the users v who also
    met c, and from them to the contents d that v met. With d_c and d_v the number of pairs of a node so far, a content
    d collects of all walks to it:

    - target_paths: 1 / (d_v sqrt(d_c d_d)) over target pairs only: two steps over the symmetrically normalised graph.
    - all_paths: the same over all pairs; all_paths_of_late: with weight 0.9^j for the j-th last content c;
      late_paths_of_late: with both of v's pairs also weighted by half for every 5% of the log that they are old.
    - target_cosine and all_cosine: 1 / sqrt(d_c d_d), whatever d_v: the cosine of item-based nearest neighbours.
    - next: 1 / (gap sqrt(d_c d_d)) for the contents d that v met up to `steps` contents after c, weighted by
      0.9^j and by how late v met c; next_after_last: from the last content only.
    - creator, tag, mood, category: cosine of the groups of the contents the user met last with the content's own
      groups, where the data has them.

    A user's values of the first eight are divided by the largest over all contents it has not met; those it has met
    have 0 there. A user without events has 0 everywhere.

    Args:
        log: the event log.
        settings: whether creators and tags are part of the graph.
        history: contents a walk starts from, the latest met; twice as many are behind the affinities to groups.
        users: users of each of these that walks go to, the latest.
        contents: contents of each of these users, the latest.
        steps: how many contents later one still counts as next.

    Attributes:
        names: names of the signals, in order.
        users: pairs of the users.
        contents: pairs of the contents.
        breadth: how far walks go.
    """

    def __init__(
        self,
        log: EventLog,
        settings: GraphSettings,
        *,
        history: int = 50,
        users: int = 64,
        contents: int = 128,
        steps: int = 5,
    ) -> None:
        self._log = log
        self.breadth = kernel.Breadth(history, users, contents, steps)
        self.users, self.contents = _adjacencies(log)
        self._decay = (0.5 ** (np.arange(kernel.DECAYS + 1) / (kernel.DECAYS * HALF_LIFE))).astype(np.float32)
        self._groups = _groups(log, settings)
        self.names = signal_names(log, settings)

    def of_pairs(self, user: np.ndarray, content: np.ndarray, time: np.ndarray) -> np.ndarray:
        """Signals of pairs at times of their own.

        Args:
            user: rows in `log.users`, int64, [B].
            content: rows in `log.contents` that exist at that time, int64, [B, N].
            time: ns, int64, [B].

        Returns:
            float32 [B, N, signals].
        """
        queries, order = Queries.of_pairs(user, content, time)
        signals = np.empty((*content.shape, len(self.names)), dtype=np.float32)
        signals[order] = self._signals(queries).reshape(signals.shape)
        return signals

    def of_block(self, users: np.ndarray, contents: np.ndarray, t: int) -> np.ndarray:
        """Signals of every user with every content at one time (ns), float32 [U, C, signals]."""
        out = self._signals(Queries.of_block(users, contents, t))
        return out.reshape(len(users), len(contents), len(self.names))

    def _signals(self, queries: Queries) -> np.ndarray:
        user, candidate, place = queries.user, queries.candidate, queries.place
        out = np.empty((int((place[:, 1] - place[:, 0]).sum()), len(self.names)), dtype=np.float32)
        n = np.searchsorted(self._log.time, queries.time)
        num_contents = np.searchsorted(self._log.contents.exists_from, queries.time)

        def write(first: int, last: int) -> None:
            kernel.write_paths(
                user,
                n,
                candidate,
                place,
                self.users,
                self.contents,
                self.breadth,
                KEPT,
                self._decay,
                out,
                first,
                last,
            )
            for i, groups in enumerate(self._groups.values()):
                column = len(kernel.PATH_SIGNALS) + i
                kernel.write_affinities(
                    user,
                    n,
                    num_contents,
                    candidate,
                    place,
                    self.users,
                    groups,
                    2 * self.breadth.history,
                    column,
                    out,
                    first,
                    last,
                )

        for _ in in_parts(write, len(user)):
            pass
        return out


def _adjacencies(log: EventLog) -> tuple[kernel.Adjacency, kernel.Adjacency]:
    """The distinct pairs of the users and of the contents."""
    keys, event, pair = np.unique(
        log.user * len(log.contents) + log.content, return_index=True, return_inverse=True
    )  # events are in time order, so the first of a pair is its earliest
    target = np.full(len(keys), len(log))
    np.minimum.at(target, pair[log.is_target], np.flatnonzero(log.is_target))
    user, content = np.divmod(keys, max(len(log.contents), 1))
    by_user, by_content = np.lexsort((event, user)), np.lexsort((event, content))

    def adjacency(
        node: np.ndarray, other: np.ndarray, order: np.ndarray, back: np.ndarray, size: int
    ) -> kernel.Adjacency:
        place = np.empty(len(keys), dtype=np.int32)
        place[back] = np.arange(len(keys))
        with_target = np.flatnonzero(target < len(log))
        with_target = with_target[np.lexsort((target[with_target], node[with_target]))]
        nodes = np.arange(size + 1)
        return kernel.Adjacency(
            offset=np.searchsorted(node[order], nodes),
            event=event[order].astype(np.int32),
            target=target[order].astype(np.int32),
            other=other[order].astype(np.int32),
            place=place[order],
            target_offset=np.searchsorted(node[with_target], nodes),
            targets=target[with_target].astype(np.int32),
        )

    return (
        adjacency(user, content, by_user, by_content, len(log.users)),
        adjacency(content, user, by_content, by_user, len(log.contents)),
    )


def signal_names(log: EventLog, settings: GraphSettings) -> tuple[str, ...]:
    """Names of the signals of a log, in order."""
    return (*kernel.PATH_SIGNALS, *_pairs(log, settings))


def _groups(log: EventLog, settings: GraphSettings) -> dict[str, kernel.Groups]:
    pairs = _pairs(log, settings)
    return {name: _both_ways(*of, len(log.contents)) for name, of in pairs.items()}


def _pairs(log: EventLog, settings: GraphSettings) -> dict[str, tuple[np.ndarray, np.ndarray, int]]:
    """Contents, their groups and the number of groups, for creators and each kind of tags known before t_val."""
    pairs: dict[str, tuple[np.ndarray, np.ndarray, int]] = {}
    t_val = log.boundaries.t_val
    if settings.creators and log.creators.count_before(t_val):
        made = np.flatnonzero(log.creator_of >= 0)
        pairs["creator"] = made, log.creator_of[made], len(log.creators)
    if settings.tags and len(log.tags):
        kind = log.tags.attributes["kind"].to_numpy()
        content, tag = log.content_tags
        for name in ("tag", "mood", "category"):
            if (kind[: log.tags.count_before(t_val)] == name).any():
                of_kind = kind[tag] == name
                pairs[name] = content[of_kind], tag[of_kind], len(log.tags)
    return pairs


def _both_ways(content: np.ndarray, group: np.ndarray, num_groups: int, num_contents: int) -> kernel.Groups:
    order = np.lexsort((content, group))
    return kernel.Groups(
        np.searchsorted(content, np.arange(num_contents + 1)),
        group.astype(np.int32),
        np.searchsorted(group[order], np.arange(num_groups + 1)),
        content[order].astype(np.int32),
    )
