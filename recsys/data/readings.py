"""Numbers read about nodes from time to time, such as totals of a platform, and what they were as of a time.

A total knows all events before it was read, so it may be seen only from times after that.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np


@dataclass(frozen=True)
class Readings:
    """Numbers read about nodes of one type, in the order of reading.

    Attributes:
        names: what was read, such as "view_count".
        node: whose numbers they are, int64, [m].
        time: when they were read, ns, ascending, int64, [m].
        values: NaN where a number was not given, float64, [m, len(names)].
    """

    names: tuple[str, ...]
    node: np.ndarray
    time: np.ndarray
    values: np.ndarray

    @classmethod
    def none(cls) -> Self:
        """No readings."""
        return cls((), np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), np.empty((0, 0)))

    def as_of(self, t: int, num_nodes: int) -> np.ndarray:
        """The last numbers of each of the first `num_nodes` nodes that were read strictly before `t` (ns).

        Returns:
            NaN where there is none, float64, [num_nodes, len(names)].
        """
        known = np.full((num_nodes, len(self.names)), np.nan)
        past = int(np.searchsorted(self.time, t, side="left"))
        node, values = self.node[:past], self.values[:past]
        for column in range(len(self.names)):
            given = (node < num_nodes) & ~np.isnan(values[:, column])
            known[node[given], column] = values[given, column]  # of repeated nodes numpy keeps the last, the latest
        return known

    def learnable(self, t_val: int, num_nodes: int) -> Self:
        """Only those names of which any of the first `num_nodes` nodes had a number strictly before `t_val` (ns).

        Any other would be constant while a model is trained, and then move its scores by weights never learned.
        """
        kept = np.flatnonzero(~np.isnan(self.as_of(t_val, num_nodes)).all(axis=0))
        return type(self)(tuple(self.names[i] for i in kept), self.node, self.time, self.values[:, kept])

    def renumbered(self, number: np.ndarray) -> Self:
        """The same readings of nodes with other numbers: `number[node]`, and without those of nodes numbered -1."""
        node = number[self.node]
        kept = node >= 0
        return type(self)(self.names, node[kept], self.time[kept], self.values[kept])
