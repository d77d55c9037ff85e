"""The compiled part of the neighbourhood peers: the nearest rows of a sparse matrix by cosine, without their product.

It runs without the interpreter's lock; `neighbours.py` calls it on parts of the rows.
"""

from typing import NamedTuple

import numpy as np

from recsys.compiled import outer


class Rows(NamedTuple):
    """A sparse matrix in CSR form: `start` int64 [rows + 1], `column` int64 and `value` float64 [entries]."""

    start: np.ndarray
    column: np.ndarray
    value: np.ndarray


@outer
def nearest_rows(
    asked: np.ndarray,
    matrix: Rows,
    transposed: Rows,
    norm: np.ndarray,
    shrinkage: float,
    neighbour: np.ndarray,
    similarity: np.ndarray,
) -> None:
    """Write the nearest other rows of each row asked for, in no order; of equally near ones the first are taken.

    Args:
        asked: rows of the matrix, int64, [n].
        matrix: the matrix, non-negative, with `m` rows.
        transposed: its transpose.
        norm: Euclidean norm of each row, [m].
        shrinkage: added to the denominator of the cosine.
        neighbour: written; int64 [n, k], filled with -1.
        similarity: written; float64 [n, k], filled with 0.
    """
    k = neighbour.shape[1]
    product, cosine = np.zeros(len(norm)), np.empty(len(norm))
    near = np.empty(len(norm), dtype=np.int64)
    for i in range(len(asked)):
        row, count = asked[i], 0
        for entry in range(matrix.start[row], matrix.start[row + 1]):
            column, value = matrix.column[entry], matrix.value[entry]
            for other_entry in range(transposed.start[column], transposed.start[column + 1]):
                other = transposed.column[other_entry]
                if product[other] == 0.0 and other != row:
                    near[count] = other
                    count += 1
                product[other] += value * transposed.value[other_entry]
        for j in range(count):
            cosine[j] = product[near[j]] / (norm[row] * norm[near[j]] + shrinkage)
            product[near[j]] = 0.0
        product[row] = 0.0
        least = np.partition(cosine[:count], count - k)[count - k] if count > k else -1.0
        found = 0
        for j in range(count):
            if cosine[j] > least:
                neighbour[i, found], similarity[i, found] = near[j], cosine[j]
                found += 1
        if count > k:
            equal = np.sort(near[:count][cosine[:count] == least])
            neighbour[i, found:], similarity[i, found:] = equal[: k - found], least
