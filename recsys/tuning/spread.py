"""Numbers over seeds, as the end of a sweep and the leaderboard state them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A number over seeds.

    Attributes:
        mean: over the seeds.
        std: of the sample; 0 for a single seed.
        values: of each seed.
    """

    mean: float
    std: float
    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """The spread of some values."""
        numbers = tuple(float(value) for value in values)
        std = float(np.std(numbers, ddof=1)) if len(numbers) > 1 else 0.0
        return cls(mean=float(np.mean(numbers)), std=std, values=numbers)


def over_seeds(of_seeds: Sequence[Mapping[str, float]]) -> dict[str, Spread]:
    """The spread of each metric that all seeds have."""
    shared = [name for name in of_seeds[0] if all(name in other for other in of_seeds)]
    return {name: Spread.of([of_seed[name] for of_seed in of_seeds]) for name in shared}
