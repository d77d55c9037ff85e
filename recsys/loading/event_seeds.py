"""What training by neighbour sampling asks the model to predict: pairs to come, at times drawn for every epoch.

`recsys.loading.seeds` has the seeds of snapshot training, whose query times are the same in every epoch.
"""

import logging
from dataclasses import dataclass

import numpy as np

from recsys.data.event_log import EventLog
from recsys.errors import UserError
from recsys.loading.seeds import place_in

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Asked:
    """Seeds with query times; B seeds.

    Attributes:
        user, content: rows in the log, int64, [B].
        label: soft label, float32, [B].
        time: query time, ns, int64, [B].
        until: pairs that come about up to and including this time are no negatives; ns, int64, [B].
    """

    user: np.ndarray
    content: np.ndarray
    label: np.ndarray
    time: np.ndarray
    until: np.ndarray


class EventSeeds:
    """The training period's pairs with a target event, and the times from which they can be asked for.

    A pair is asked for at the time of an event at most `horizon` before its first target event, drawn at random in
    every epoch: as evaluation asks at one time for all that comes in the period after it. The pair must not have met
    before the query time and its content must exist strictly before it. Its label is the largest soft label of its
    target events up to the horizon. With horizon 0 every pair is asked for at its own event's time.

    How often a pair is drawn goes by how many events it can be asked for at, as if times were drawn and all pairs asked
    for that come after them: evaluation, too, seldom meets a content between its creation and its first events.

    Seeds can share query times, as those of a snapshot do: then they are asked for at a few times evenly spread over
    the training period, from a random first one on. A pair that can be asked for at none of these is asked for at one
    of twice as many times, and so on: in the end at any.

    Args:
        log: the event log.
        horizon: share of the training events, in [0, 1).
        start_share: share of the training events that only serve as history, in [0, 1).

    Raises:
        UserError: for arguments out of range, or if there is no seed.
    """

    def __init__(self, log: EventLog, *, horizon: float, start_share: float) -> None:
        for name, share in (("horizon", horizon), ("start_share", start_share)):
            if not 0 <= share < 1:
                raise UserError(f"loader.{name} is {share}: it must be at least 0 and below 1.")
        self._log = log
        self._num_train = log.count_before(log.boundaries.t_val)
        self._reach = int(horizon * self._num_train)
        # Of all pairs: the first event; of pairs with a target event in training: the first of those.
        keys = log.user * len(log.contents) + log.content
        met, first_met = np.unique(keys, return_index=True)
        target = np.flatnonzero(log.is_target[: self._num_train])
        self._pairs, place, pair = np.unique(keys[target], return_index=True, return_inverse=True)
        event = target[place]
        self._first_time = log.time[event]
        label = np.zeros(len(event), dtype=np.float32)
        near = target <= event[pair] + self._reach
        np.maximum.at(label, pair[near], log.label[target[near]])

        meeting = first_met[np.searchsorted(met, self._pairs)]
        born = np.searchsorted(log.time, log.contents.exists_from[log.content[event]], side="right")
        self._start = int(start_share * self._num_train)
        earliest = np.maximum(np.maximum(event - self._reach, self._start), born)
        latest = np.searchsorted(log.time, log.time[meeting], side="right") - 1
        able = np.flatnonzero(earliest <= latest)
        logger.info(
            "%d training seeds; of the %d pairs with a target event before validation the others come too early, have "
            "met before, or have a content as new as themselves.",
            len(able),
            len(event),
        )
        if not len(able):
            raise UserError(
                f"No pair of {log.name!r} can be a training seed: before validation, no target event is a user's first "
                "with a content that existed before; start earlier (loader.start_share), look further "
                "(loader.horizon) or choose other target events (data.target)."
            )
        self._user, self._content, self._label = log.user[event[able]], log.content[event[able]], label[able]
        self._earliest, self._latest = earliest[able], latest[able]
        self._width = self._latest - self._earliest + 1

    def __len__(self) -> int:
        """Most seeds of a draw: then those that can be asked for the longest come in nearly every one."""
        return int(self._width.sum() / self._width.max())

    def draw(self, size: int, rng: np.random.Generator) -> np.ndarray:
        """So many different seeds in random order, drawn as often as they can be asked for; int64, [size]."""
        order = rng.permutation(len(self._width))
        # At equal steps along the widths laid end to end, none of which is longer than a step.
        end = np.cumsum(self._width[order])
        chosen: np.ndarray = order[np.searchsorted(end, (np.arange(size) + 1 - rng.random()) * end[-1] / size)]
        return chosen

    def queries(self, seeds: np.ndarray, rng: np.random.Generator, num_times: int | None = None) -> np.ndarray:
        """Events at whose times chosen seeds (int64, [B]) are asked for, drawn at random; int64, [B].

        Args:
            seeds: the chosen seeds.
            rng: where all chance comes from.
            num_times: about how many times the seeds share; None draws each its own.
        """
        earliest, latest = self._earliest[seeds], self._latest[seeds]
        query, left = np.empty(len(seeds), dtype=np.int64), np.arange(len(seeds))
        spacing = 1 if num_times is None else max(1, (self._num_train - self._start) // num_times)
        while len(left):
            first = earliest[left] + (rng.integers(spacing) - earliest[left]) % spacing
            number = (latest[left] - first) // spacing + 1  # of times it can be asked for at; none is 0 or less
            able = number > 0
            query[left[able]] = first[able] + spacing * rng.integers(number[able])
            left, spacing = left[~able], max(1, spacing // 2)
        return query

    def asked(self, seeds: np.ndarray, query: np.ndarray) -> Asked:
        """Chosen seeds at the times of events, two int64 arrays, [B]."""
        until = np.minimum(query + self._reach, self._num_train - 1)
        return Asked(
            user=self._user[seeds],
            content=self._content[seeds],
            label=self._label[seeds],
            time=self._log.time[query],
            until=self._log.time[until],
        )

    def comes_by(self, user: np.ndarray, content: np.ndarray, until: np.ndarray) -> np.ndarray:
        """Whether pairs have a target event in training up to and including a time (ns); all arguments broadcast."""
        keys = user * len(self._log.contents) + content
        place = place_in(keys, self._pairs)
        comes: np.ndarray = (place >= 0) & (self._first_time[place] <= until)
        return comes
