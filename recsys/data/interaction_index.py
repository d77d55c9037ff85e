"""Who had met what before when: vectorised look-ups of (user, content) pairs in a log."""

import numpy as np

from recsys.data.event_log import EventLog
from recsys.data.positions import positions


class InteractionIndex:
    """First time of every (user, content) pair of a log, over events of any type."""

    def __init__(self, log: EventLog) -> None:
        self._num_contents = len(log.contents)
        keys = log.user * self._num_contents + log.content
        # Events are in time order, so the first place of a key is the pair's first event.
        self._keys, first = np.unique(keys, return_index=True)
        self._first_time = log.time[first]
        self._arrival = np.full(len(log.users), np.iinfo(np.int64).max)
        active, first = np.unique(log.user, return_index=True)
        self._arrival[active] = log.time[first]

    def is_cold(self, users: np.ndarray, times: np.ndarray | int) -> np.ndarray:
        """Whether each user has no event (of any type) strictly before each time (ns); both broadcast to one shape."""
        cold: np.ndarray = self._arrival[users] >= times
        return cold

    def seen_before(self, users: np.ndarray, contents: np.ndarray, times: np.ndarray | int) -> np.ndarray:
        """Whether each user met each content strictly before each time (ns); all arguments broadcast to one shape."""
        keys = np.asarray(users) * self._num_contents + np.asarray(contents)
        if not len(self._keys):
            return np.zeros(keys.shape, dtype=bool)
        place = np.minimum(positions(self._keys, keys), len(self._keys) - 1)
        seen: np.ndarray = (self._keys[place] == keys) & (self._first_time[place] < times)
        return seen

    def first_times(self, users: np.ndarray, contents: np.ndarray) -> np.ndarray:
        """Time of the first event of (user, content) pairs of the log, ns, int64; both broadcast to one shape."""
        keys = np.asarray(users) * self._num_contents + np.asarray(contents)
        times: np.ndarray = self._first_time[np.searchsorted(self._keys, keys)]
        return times

    def history(self, users: np.ndarray, t: int) -> np.ndarray:
        """All (row in `users`, content) pairs met strictly before `t`, sorted by row then content; int64, [2, S]."""
        start = np.searchsorted(self._keys, users * self._num_contents)
        stop = np.searchsorted(self._keys, (users + 1) * self._num_contents)
        row = np.repeat(np.arange(len(users)), stop - start)
        offset = np.arange(len(row)) - np.repeat(np.cumsum(stop - start) - (stop - start), stop - start)
        place = np.repeat(start, stop - start) + offset
        early = self._first_time[place] < t
        return np.stack([row[early], self._keys[place[early]] % self._num_contents])
