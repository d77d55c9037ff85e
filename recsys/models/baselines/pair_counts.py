"""What the log before a time says about a user with a content: counts over what the two have in common."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from recsys.data.event_log import EventLog
from recsys.graph.counters import AGE_RESOLUTION, log_age, span_before
from recsys.sources.base import CATEGORY

RECENT = 30  # how many of a user's last contents are compared with a content


def content_groups(log: EventLog) -> dict[str, csr_array]:
    """Which contents belong together: those of one creator, of one category, of one tag.

    Returns:
        Relation -> 0/1 matrix [num_contents, num_groups]. There are only relations that a content which exists before
        t_val takes part in, and no categories where the tags are the categories.
    """
    t_val = log.boundaries.t_val
    known = log.contents.count_before(t_val)
    made = np.flatnonzero(log.creator_of >= 0)
    pairs = {"creator": (made, log.creator_of[made]), "tag": (log.content_tags[0], log.content_tags[1])}
    tag_kinds = log.tags.attributes["kind"].iloc[: log.tags.count_before(t_val)] if len(log.tags) else ()
    if CATEGORY in log.contents.attributes and CATEGORY not in set(tag_kinds):
        code, _ = pd.factorize(log.contents.attributes[CATEGORY])
        stated = np.flatnonzero(code >= 0)
        pairs["category"] = (stated, code[stated])
    return {
        name: csr_array(
            (np.ones(len(content), dtype=np.float32), (content, group)),
            shape=(len(log.contents), int(group.max()) + 1),
        )
        for name, (content, group) in sorted(pairs.items())
        if (content < known).any()
    }


def pair_names(groups: Mapping[str, csr_array]) -> tuple[str, ...]:
    """Names of the features that `PairCounts.of` gives."""
    return (
        *(
            f"{name}_{what}"
            for name in groups
            for what in ("log_events", "log_target_events", "share_of_events", "freshness")
        ),
        *(f"{kind}_{what}" for kind in ("events", "target_events") for what in ("log_co_users", "similarity")),
    )


class PairCounts:
    """Features of (user, content) pairs as of a time, from events strictly before it.

    For each relation (creator, category, tag) four features of the user's events with contents that share a group
    with the content, as means over the content's groups: the logarithm of 1 + their number, the same for target
    events, their share of the user's events; and how lately the last of them was (0 for never).
    Then, over all events and again over target events alone: how many times other users met both the content and one
    of the user's last `RECENT` contents (logarithm of 1 + number), and the sum of the cosines between the content
    and these contents, as sets of users. A user without events has 0 everywhere.

    Args:
        log: the event log.
        groups: `content_groups(log)`.
        t: the query time, ns.
    """

    def __init__(self, log: EventLog, groups: Mapping[str, csr_array], t: int) -> None:
        n, self.num_contents = log.count_before(t), log.contents.count_before(t)
        user, content = log.user[:n], log.content[:n]
        self._t, self._span = t, span_before(log, t)
        shape = (len(log.users), self.num_contents)
        self._groups = {name: csr_array(matrix[: self.num_contents]) for name, matrix in groups.items()}
        counted = [(user[of], content[of]) for of in (np.ones(n, dtype=bool), log.is_target[:n])]
        self._counts = [_matrix(*events, shape) for events in counted]
        self._met = [_CoUsers(counts, *events) for counts, events in zip(self._counts, counted, strict=True)]
        order = np.argsort(user, kind="stable")  # by user, then time
        self._content, self._time = content[order], log.time[:n][order]
        self._first = np.searchsorted(user[order], np.arange(len(log.users) + 1))

    def of(self, users: np.ndarray) -> np.ndarray:
        """Features of the users with all contents that exist at the time, float32 [U, num_contents, F]."""
        events, targets = (csr_array(counts[users]) for counts in self._counts)
        total = np.maximum(events.sum(axis=1), 1)[:, None]
        columns: list[np.ndarray] = []
        for groups in self._groups.values():
            size = np.maximum(np.diff(groups.indptr), 1)
            count, target_count = ((groups @ (of @ groups).toarray().T).T / size for of in (events, targets))
            columns += [np.log1p(count), np.log1p(target_count), count / total, self._freshness(users, groups)]
        for met in self._met:
            columns += met.of(users)
        return np.stack(columns, axis=-1, dtype=np.float32)

    def _freshness(self, users: np.ndarray, groups: csr_array) -> np.ndarray:
        """How lately each user met a content of any of each content's groups, float64 [U, num_contents]."""
        row, place = _ranges(self._first[users], self._first[users + 1])
        content = self._content[place]
        event, pair = _ranges(groups.indptr[content], groups.indptr[content + 1])
        never = self._t - self._span
        last = np.full((len(users), groups.shape[1]), never)
        last[row[event], groups.indices[pair]] = self._time[place][event]  # of repeated places numpy keeps the latest
        latest = np.full((len(users), self.num_contents), never)
        grouped = np.flatnonzero(np.diff(groups.indptr))
        if len(grouped):
            latest[:, grouped] = np.maximum.reduceat(last[:, groups.indices], groups.indptr[grouped], axis=1)
        return float(np.log1p(AGE_RESOLUTION)) - log_age(latest, self._t, self._span)


class _CoUsers:
    """Contents met by the users who met a user's last contents."""

    def __init__(self, counts: csr_array, user: np.ndarray, content: np.ndarray) -> None:
        self._met = counts.sign()
        self._by_content = csr_array(self._met.T)
        size = np.maximum(np.diff(self._by_content.indptr), 1)
        self._scale = (1 / np.sqrt(size)).astype(np.float32)
        self._recent = _last_contents(user, content, counts.shape)

    def of(self, users: np.ndarray) -> list[np.ndarray]:
        """Logarithm of the number of meetings, and sum of cosines, both [U, num_contents]."""
        recent = self._recent[users]
        scaled = recent.copy()
        scaled.data = self._scale[scaled.indices]
        number, cosine = ((of @ self._by_content @ self._met).toarray() for of in (recent, scaled))
        return [np.log1p(number), cosine * self._scale]


def _matrix(user: np.ndarray, content: np.ndarray, shape: tuple[int, int]) -> csr_array:
    """Number of events of each pair, float32."""
    matrix = csr_array((np.ones(len(user), dtype=np.float32), (user, content)), shape=shape)
    matrix.sum_duplicates()
    return matrix


def _last_contents(user: np.ndarray, content: np.ndarray, shape: tuple[int, int]) -> csr_array:
    """1 for the `RECENT` contents that each user met last; `user` and `content` are those of events in time order."""
    _, latest = np.unique((user * shape[1] + content)[::-1], return_index=True)
    latest = np.sort(latest)  # ascending place from the end
    owner = user[::-1][latest]
    order = np.argsort(owner, kind="stable")
    owner, latest = owner[order], latest[order]
    rank = np.arange(len(owner)) - np.searchsorted(owner, owner)
    kept = rank < RECENT
    return _matrix(owner[kept], content[::-1][latest[kept]], shape)


def _ranges(start: np.ndarray, stop: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All integers of the ranges [start, stop), one after the other, and the range of each: (range, integer)."""
    size = stop - start
    row = np.repeat(np.arange(len(size)), size)
    return row, np.arange(len(row)) - np.repeat(np.cumsum(size) - size - start, size)
