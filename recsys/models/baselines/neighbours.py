"""The nearest rows of a sparse matrix by shrunk cosine, the heart of item-kNN and user-kNN."""

import numpy as np
from scipy.sparse import csr_array

from recsys.models.baselines.neighbour_kernel import Rows, nearest_rows
from recsys.threads import in_parts

MOST_NEIGHBOURS = 10_000


class Neighbours:
    """Finds each row's nearest other rows: x_i . x_j / (|x_i| |x_j| + shrinkage), of the positive ones the k largest.

    Shrinkage pulls down cosines that rest on few events (Koren and Bell, Advances in Collaborative Filtering).

    Args:
        matrix: non-negative, float64 [m, columns].
        k: most neighbours of a row.
        shrinkage: at least 0.
    """

    def __init__(self, matrix: csr_array, k: int, shrinkage: float) -> None:
        self._matrix, self._transposed = _rows(matrix), _rows(csr_array(matrix.T))
        self._norm = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)))
        self._k, self._shrinkage = min(k, max(len(self._norm) - 1, 1)), shrinkage

    def of(self, rows: np.ndarray) -> csr_array:
        """The similarities of the rows asked for (int64, [n]) to their neighbours; float64 [n, m]."""
        neighbour = np.full((len(rows), self._k), -1, dtype=np.int64)
        similarity = np.zeros((len(rows), self._k))

        def find(first: int, last: int) -> None:
            part = slice(first, last)
            nearest_rows(
                rows[part],
                self._matrix,
                self._transposed,
                self._norm,
                self._shrinkage,
                neighbour[part],
                similarity[part],
            )

        for _ in in_parts(find, len(rows)):
            pass
        row, place = np.nonzero(neighbour >= 0)
        entries = similarity[row, place], (row, neighbour[row, place])
        return csr_array(entries, shape=(len(rows), len(self._norm)))


def _rows(matrix: csr_array) -> Rows:
    return Rows(matrix.indptr.astype(np.int64), matrix.indices.astype(np.int64), matrix.data.astype(np.float64))
