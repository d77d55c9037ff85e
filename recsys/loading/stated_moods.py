"""Which mood the user of a seed would have stated as a newcomer; the loaders train the mood path on it."""

import numpy as np

from recsys.data.event_log import EventLog


class ContentMoods:
    """The moods of contents, as positions in `log.moods`.

    Attributes:
        number: of moods of each content, int64, [len(log.contents)].
    """

    def __init__(self, log: EventLog) -> None:
        mood_of_tag = np.full(len(log.tags), -1)
        mood_of_tag[log.moods] = np.arange(len(log.moods))
        content, mood = log.content_tags[0], mood_of_tag[log.content_tags[1]]
        content, self._mood = np.unique(np.stack([content, mood])[:, mood >= 0], axis=1)
        self.number = np.bincount(content, minlength=len(log.contents))
        self._first = np.cumsum(self.number) - self.number

    def draw(self, content: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """One mood of each content at random, int64, [n]; every content must have one."""
        drawn: np.ndarray = self._mood[self._first[content] + rng.integers(self.number[content])]
        return drawn


class StatedMoods:
    """Moods for seeds, as evaluation finds them for cold users (`recsys.evaluation.slices.MoodUsers`).

    There one of the contents that a user comes to act on shows the mood it would have stated, and the mood path is
    judged on the others. So here a seed's user states, anew in every epoch, a mood of any content that it acts on in
    the time asked about. A head that always saw moods of the positive itself would learn little more than which
    contents carry a mood.

    Args:
        moods: the moods of contents.
        user, content: the distinct pairs that the moods may come from, rows in the log, int64, [P].
        when: when each came about, as any number from 0, int64, [P].
    """

    def __init__(self, moods: ContentMoods, user: np.ndarray, content: np.ndarray, when: np.ndarray) -> None:
        self._moods = moods
        self._end = int(when.max(initial=0)) + 1
        keys = self._key(user, when)
        order = np.argsort(keys, kind="stable")
        order = order[moods.number[content[order]] > 0]
        self._keys, self._content = keys[order], content[order]

    def draw(
        self,
        user: np.ndarray,
        since: np.ndarray | int,
        until: np.ndarray | int,
        rng: np.random.Generator,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Moods that the users of seeds state.

        Args:
            user: of each seed, int64, [B].
            since: from which `when` on the moods' pairs come about; a number, or int64 [B].
            until: before which they do.
            rng: where all chance comes from.

        Returns:
            The rows of the seeds whose users state a mood, ascending, and the moods, int64, [M] each.
        """
        first = np.searchsorted(self._keys, self._key(user, since))
        number = np.searchsorted(self._keys, self._key(user, until)) - first
        row = np.flatnonzero(number > 0)
        first, number = first[row], number[row]
        return row, self._moods.draw(self._content[first + rng.integers(number)], rng)

    def _key(self, user: np.ndarray, when: np.ndarray | int) -> np.ndarray:
        key: np.ndarray = user * self._end + np.minimum(when, self._end)
        return key
