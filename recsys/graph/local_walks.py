"""Walks from a user's history over other users to contents, whose weights somebody else gives (see `LocalHops`)."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from recsys.data.event_log import EventLog
from recsys.graph import local_kernel as kernel
from recsys.graph.pair_paths import PairPaths, Queries
from recsys.graph.path_kernel import Adjacency
from recsys.threads import in_parts


class States(NamedTuple):
    """States of the users reached, to be spread over the contents that they met.

    Attributes:
        state: at least 0, float32, [R, K].
        weight: of each kind of pair, at least 0, float32, [KINDS, K].
        of_targets: whether a state counts the degrees of contents over target pairs only, bool, [K].
    """

    state: np.ndarray
    weight: np.ndarray
    of_targets: np.ndarray


@dataclass(frozen=True)
class Spread:
    """What states became once they were spread over the contents, and all that the way back needs.

    Attributes:
        out: values of the candidates, in [0, 1], float32, [candidates, K].
        largest: the largest value of each query before the division, float32, [Q, K].
        best: the content that has it, -1 for none, int64, [Q, K].
    """

    out: np.ndarray
    largest: np.ndarray
    best: np.ndarray


class LocalWalks:
    """The local graph around users at times of their own: walks as in `PairPaths`, in two halves.

    The first half goes from the last contents that a user met to the users who met them too; the second from those to
    the contents that they met last. In between, whoever calls gives each user reached a state, so that a network can
    learn what walks are worth.

    Args:
        log: the event log.
        paths: the paths of the same log, whose pairs and breadths are used.

    Attributes:
        num_marks: width of `marks`.
    """

    def __init__(self, log: EventLog, paths: PairPaths) -> None:
        self._log = log
        self._users, self._contents, self._breadth = paths.users, paths.contents, paths.breadth
        self._first = _first_of_types(log, self._users)
        self.num_marks = self._first.shape[1]

    def reach(self, queries: Queries) -> kernel.Reach:
        """The first half of the walks of these queries."""
        num = len(queries.user)
        reach = _empty(np.zeros((num + 1, 3), dtype=np.int64))
        self._write_reach(queries, reach, is_counting=True)
        reach = _empty(np.cumsum(reach.offset, axis=0))
        self._write_reach(queries, reach, is_counting=False)
        return reach

    def marks(self, queries: Queries, reach: kernel.Reach) -> tuple[np.ndarray, np.ndarray]:
        """What is known of the pairs of the histories.

        Returns:
            Place in the history, 0 for the latest, int64 [H], and whether the pair has events of each of `log.types`
            and a target event so far, bool [H, types + 1].
        """
        size = np.diff(reach.offset[:, 0])
        place = np.arange(len(reach.pair)) - np.repeat(reach.offset[:-1, 0], size)
        before = np.repeat(self._num_events(queries), size)
        return place, self._first[reach.pair] < before[:, None]

    def spread(self, queries: Queries, reach: kernel.Reach, states: States) -> Spread:
        """The second half: a content d collects the sum of state(v) x weight(kind of the pair v, d) / sqrt(d_d).

        The users v are those reached with d among the contents that they met last. Values of a query are divided by
        the largest over the contents that its user has not met; those it has met have 0.

        Args:
            queries: as given to `reach`.
            reach: what it gave.
            states: of the users reached.
        """
        num, width = len(queries.user), states.state.shape[1]
        size = int((queries.place[:, 1] - queries.place[:, 0]).sum())
        found = Spread(
            np.empty((size, width), dtype=np.float32),
            np.empty((num, width), dtype=np.float32),
            np.empty((num, width), dtype=np.int64),
        )
        args = self._arguments(queries, reach, states)

        def write(first: int, last: int) -> None:
            kernel.write_spread(*args, found.out, found.largest, found.best, first, last)

        for _ in in_parts(write, num):
            pass
        return found

    def gradients(
        self, queries: Queries, reach: kernel.Reach, states: States, found: Spread, gradient: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """From the gradient of `found.out`, [candidates, K], to those of `states.state` and `states.weight`."""
        of_state = np.empty_like(states.state)
        of_weight = np.empty((len(queries.user), *states.weight.shape), dtype=np.float32)
        args = self._arguments(queries, reach, states)

        def write(first: int, last: int) -> None:
            kernel.write_gradients(
                *args, found.out, found.largest, found.best, gradient, of_state, of_weight, first, last
            )

        for _ in in_parts(write, len(queries.user)):
            pass
        return of_state, of_weight.sum(axis=0)

    def _arguments(self, queries: Queries, reach: kernel.Reach, states: States) -> tuple[object, ...]:
        return (
            queries.user,
            self._num_events(queries),
            queries.candidate,
            queries.place,
            reach,
            *states,
            self._users,
            self._contents,
            self._breadth,
        )

    def _write_reach(self, queries: Queries, reach: kernel.Reach, *, is_counting: bool) -> None:
        n = self._num_events(queries)

        def write(first: int, last: int) -> None:
            kernel.write_reach(
                queries.user, n, self._users, self._contents, self._breadth, is_counting, reach, first, last
            )

        for _ in in_parts(write, len(queries.user)):
            pass

    def _num_events(self, queries: Queries) -> np.ndarray:
        return np.searchsorted(self._log.time, queries.time)


def _empty(offset: np.ndarray) -> kernel.Reach:
    """A `Reach` of the sizes that its offsets end with, still to be written."""
    pairs, edges, reached = offset[-1]
    return kernel.Reach(
        offset=offset,
        pair=np.empty(pairs, dtype=np.int64),
        source=np.empty(edges, dtype=np.int64),
        to=np.empty(edges, dtype=np.int64),
        kind=np.empty(edges, dtype=np.int64),
        scale=np.empty((edges, 2), dtype=np.float32),
        user=np.empty(reached, dtype=np.int64),
        degree=np.empty((reached, 2), dtype=np.float32),
    )


def _first_of_types(log: EventLog, users: Adjacency) -> np.ndarray:
    """Number of the first event of each type, and of the first target event, of every pair of the users' lists.

    A number beyond the log where there is none; int32 [pairs, types + 1].
    """
    width = max(len(log.contents), 1)
    keys = np.repeat(np.arange(len(log.users)), np.diff(users.offset)) * width + users.other
    order = np.argsort(keys)
    pair = order[np.searchsorted(keys, log.user * width + log.content, sorter=order)]
    first = np.full((len(keys), len(log.types) + 1), len(log), dtype=np.int32)
    # Backwards, so that the earliest of several events is written last.
    events = np.arange(len(log))[::-1]
    first[pair[events], log.type[events]] = events
    first[:, -1] = users.target
    return first
