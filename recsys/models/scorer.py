"""What evaluation, serving and export ask of every model: scores at a time t from events strictly before t."""

from typing import Protocol, runtime_checkable

import numpy as np
from torch import Tensor


@runtime_checkable
class Scorer(Protocol):
    """A trained model or a classical peer, behind one interface.

    Attributes:
        gives_logits: whether sigmoid(score) is the model's probability; if not, scores only rank.
    """

    gives_logits: bool

    def score(self, users: np.ndarray, contents: np.ndarray, t: int) -> Tensor:
        """Scores of each user for each content at time `t` (ns), from events strictly before `t`.

        Args:
            users: rows in `log.users`, int64, [U]. Users that do not exist yet at `t` are newcomers: they are
                scored from their attributes alone.
            contents: rows in `log.contents` that exist at `t`, int64, [C].
            t: the query time, ns.

        Returns:
            float32 [U, C] on the CPU.
        """
        ...


@runtime_checkable
class MoodScorer(Scorer, Protocol):
    """A scorer that can also recommend from a stated mood, without any history."""

    def score_moods(self, moods: np.ndarray, contents: np.ndarray, t: int) -> Tensor:
        """Scores of each content for each mood (positions in `log.moods`, int64, [M]), float32 [M, C]."""
        ...
