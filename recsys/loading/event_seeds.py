"""What training by neighbour sampling asks the model to predict: pairs to come, at times drawn for every epoch.

`recsys.loading.seeds` has the seeds of snapshot training, whose query times are the same in every epoch.
"""

import logging
from dataclasses import dataclass

import numpy as np

from recsys.checks import check_number
from recsys.data.event_log import EventLog
from recsys.errors import UserError
from recsys.loading.seeds import place_in
from recsys.loading.stated_moods import ContentMoods, StatedMoods

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

    Seeds share a few times, evenly spread over the training period from a random first one on, as those of a snapshot
    do. Each pair is given one of those in the horizon before it, and is a seed if it can be asked for then. So it is
    drawn the more often the longer it can be asked for: as in evaluation, which seldom meets a content between its
    creation and its first events. Where this gives too few seeds, the other pairs are given one of twice as many times,
    and so on.

    Args:
        log: the event log.
        horizon: share of the training events, in [0, 1).
        start_share: share of the training events that only serve as history, in [0, 1).

    Raises:
        UserError: for arguments out of range, or if there is no seed.
    """

    def __init__(self, log: EventLog, *, horizon: float, start_share: float) -> None:
        for name, share in (("horizon", horizon), ("start_share", start_share)):
            check_number(f"loader.{name}", share, 0, 1, below=True)
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
        user, content = np.divmod(self._pairs, len(log.contents))
        self._moods = StatedMoods(ContentMoods(log), user, content, event)
        label = np.zeros(len(event), dtype=np.float32)
        near = target <= event[pair] + self._reach
        np.maximum.at(label, pair[near], log.label[target[near]])

        meeting = first_met[np.searchsorted(met, self._pairs)]
        born = np.searchsorted(log.time, log.contents.exists_from[log.content[event]], side="right")
        self._start = int(start_share * self._num_train)
        earliest = np.maximum(np.maximum(event - self._reach, self._start), born)
        latest = np.minimum(event, np.searchsorted(log.time, log.time[meeting], side="right") - 1)
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
        self._earliest, self._latest, self._event = earliest[able], latest[able], event[able]

    def __len__(self) -> int:
        """Seeds that a draw may be expected to find at once."""
        return max(1, int((self._latest - self._earliest + 1).sum() / (self._reach + 1)))

    def draw(self, size: int, num_times: int | None, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Different seeds, and the events at whose times they are asked for.

        Args:
            size: how many.
            num_times: about how many times they share; None draws each its own.
            rng: where all chance comes from.

        Returns:
            Two int64 arrays, [size], in random order.
        """
        left, query = rng.permutation(len(self._user)), np.full(len(self._user), -1)
        spacing = 1 if num_times is None else max(1, (self._num_train - self._start) // num_times)
        drawn: list[np.ndarray] = []
        while sum(map(len, drawn)) < size:
            first = self._event[left] - self._reach
            first += (rng.integers(spacing) - first) % spacing
            number = np.maximum((self._event[left] - first) // spacing + 1, 0)  # of times in the horizon
            query[left] = first + spacing * rng.integers(np.maximum(number, 1))
            able = (number > 0) & (self._earliest[left] <= query[left]) & (query[left] <= self._latest[left])
            drawn.append(left[able])
            left, spacing = left[~able], max(1, spacing // 2)
        seeds = np.concatenate(drawn)[:size]
        return seeds, query[seeds]

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

    def moods(self, asked: Asked, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Moods of contents that the users of seeds come to act on up to `until`; see `StatedMoods.draw`."""
        since = np.searchsorted(self._log.time, asked.time)
        until = np.searchsorted(self._log.time, asked.until, side="right")
        return self._moods.draw(asked.user, since, until, rng)

    def comes_by(self, user: np.ndarray, content: np.ndarray, until: np.ndarray) -> np.ndarray:
        """Whether pairs have a target event in training up to and including a time (ns); all arguments broadcast."""
        keys = user * len(self._log.contents) + content
        place = place_in(keys, self._pairs)
        comes: np.ndarray = (place >= 0) & (self._first_time[place] <= until)
        return comes
