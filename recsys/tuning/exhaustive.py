"""Trying every point of a space once, in place of a sampler."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recsys.tuning.space import Params, Space


@dataclass(frozen=True)
class Exhaustive:
    """Every point once, which Optuna's own grid only promises to a single process.

    Attributes:
        shuffle: in a random order (brute force), so that a part of the points is a fair sample, or in that of the
            space (grid).
    """

    shuffle: bool = False

    def points(self, space: Space, seed: int) -> Sequence[Params]:
        """The points in the order in which they are tried."""
        points = list(space.points())
        if self.shuffle:
            return [points[place] for place in np.random.default_rng(seed).permutation(len(points))]
        return points
