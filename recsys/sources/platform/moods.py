"""Folds the many mood words that contents carry into a few named moods, by a table that a person can read."""

import re
from collections.abc import Mapping, Sequence
from itertools import takewhile

from recsys.errors import UserError

LEAST_SHARED = 5  # letters at the beginning that make a word a form of another: "inspirational", "inspiring"
LEAST_SHARE = 0.6  # of the shorter of both words


class MoodTable:
    """Which mood each word belongs to.

    A word that the table lacks goes where the word of the table goes with which it shares the longest beginning (of
    at least five letters and 60% of the shorter word; of several the first of the alphabet), so that "wistfulness" goes
    where "wistful" does. A word that resembles none has no mood.

    Args:
        words: mood -> its words, the mood's own name not needed.

    Raises:
        UserError: a word stands under two moods.
    """

    def __init__(self, words: Mapping[str, Sequence[str]]) -> None:
        self.names = tuple(words)
        self._mood_of: dict[str, str] = {}
        for mood, listed in words.items():
            for word in {_plain(mood), *map(_plain, listed or ())}:
                if self._mood_of.setdefault(word, mood) != mood:
                    raise UserError(f"The moods have {word!r} under {self._mood_of[word]} and {mood}: decide for one.")
        self._folded: dict[str, str | None] = {}

    def fold(self, word: str) -> str | None:
        """Mood of a word, None for a word without one."""
        plain = _plain(word)
        if plain not in self._folded:
            self._folded[plain] = self._mood_of.get(plain) or self._relative(plain)
        return self._folded[plain]

    def knows(self, word: str) -> bool:
        """Whether the table has the word itself."""
        return _plain(word) in self._mood_of

    def _relative(self, word: str) -> str | None:
        """Mood of the word with the longest common beginning."""
        best, longest = None, 0
        for other in sorted(self._mood_of):
            shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(word, other, strict=False)))
            enough = shared >= LEAST_SHARED and shared >= LEAST_SHARE * min(len(word), len(other))
            if enough and shared > longest:
                best, longest = self._mood_of[other], shared
        return best


def _plain(word: str) -> str:
    """Small letters, single blanks: " Light-Heartedness" as "light heartedness"."""
    return re.sub(r"[\s_-]+", " ", str(word)).strip().casefold()
