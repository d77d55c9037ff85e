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

    def last(self, node: np.ndarray, time: np.ndarray) -> np.ndarray:
        """The last numbers of each node that were read strictly before a time of its own.

        Args:
            node: int64, [n].
            time: ns, int64, [n].

        Returns:
            NaN where there is none, float64, [n, len(names)].
        """
        known = np.full((len(node), len(self.names)), np.nan)
        # Readings are numbered in the order of time, so that (node, number) sorts each node's by time.
        stride = len(self.time) + 1
        asked = node * stride + np.searchsorted(self.time, time, side="left")
        for column in range(len(self.names)):
            given = np.flatnonzero(~np.isnan(self.values[:, column]))
            keys = self.node[given] * stride + given
            order = np.argsort(keys)
            place = np.searchsorted(keys[order], asked, side="left") - 1
            found = place >= 0
            reading = given[order[place[found]]]
            own = self.node[reading] == node[found]
            known[np.flatnonzero(found)[own], column] = self.values[reading[own], column]
        return known

    def learnable(self, t_val: int, num_nodes: int) -> Self:
        """Only those names of which any of the first `num_nodes` nodes had a number strictly before `t_val` (ns).

        Any other would be constant while a model is trained, and then move its scores by weights never learned.
        """
        before = self.last(np.arange(num_nodes), np.full(num_nodes, t_val))
        kept = np.flatnonzero(~np.isnan(before).all(axis=0))
        return type(self)(tuple(self.names[i] for i in kept), self.node, self.time, self.values[:, kept])

    def renumbered(self, number: np.ndarray) -> Self:
        """The same readings of nodes with other numbers: `number[node]`, and without those of nodes numbered -1."""
        node = number[self.node]
        kept = node >= 0
        return type(self)(self.names, node[kept], self.time[kept], self.values[kept])
