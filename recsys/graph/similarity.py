"""Cosine neighbours among nodes of one type, found by blocks; `recsys.graph.temporal_graph` makes them edges."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from recsys.compiled import outer

# A later row takes the place of an earlier neighbour only if it is nearer by more than this, so that rounding in
# the matrix product cannot choose between equal rows.
TIE = 1e-6

MOST_ONE_HOT = 32  # larger vocabularies take no part: sharing one of many values is rare, and the columns cost time


def profiles(x: Tensor, x_cat: Tensor, cardinalities: Sequence[int]) -> Tensor:
    """What nodes are compared by: their numbers, and their categories one-hot where the vocabulary is small.

    Args:
        x: numbers, float32 [n, numbers].
        x_cat: categories, int64 [n, vocabularies], 0 for unknown, which makes no two nodes alike.
        cardinalities: size of each vocabulary, unknown included.

    Returns:
        float32 [n, d].
    """
    parts = [x]
    for column, size in enumerate(cardinalities):
        if size <= MOST_ONE_HOT:
            parts.append(torch.nn.functional.one_hot(x_cat[:, column], size)[:, 1:].float())
    return torch.cat(parts, dim=1)


def similar_pairs(features: Tensor, k: int, threshold: float, block: int = 2048) -> tuple[Tensor, Tensor]:
    """The at most `k` nearest rows of every row with cosine >= `threshold` (report, section III.B).

    Of equally near rows the first are taken. A row of zeros is near to none, and no row is its own neighbour.
    The n x n matrix never exists: it is symmetric, so the blocks on and above its diagonal are computed, one at a
    time.

    Args:
        features: float32 [n, d].
        k: most neighbours of a row, at least 1.
        threshold: least cosine, in (0, 1].
        block: rows compared with as many others at once.

    Returns:
        edge_index: int64 [2, E], neighbour -> row, sorted by row, then nearest first.
        cosine: float32 [E].
    """
    n = len(features)
    unit = torch.nn.functional.normalize(features.float())
    nearest = _Nearest(
        neighbour=np.zeros((n, k), dtype=np.int64),
        cosine=np.zeros((n, k), dtype=np.float32),
        found=np.zeros(n, dtype=np.int64),
        least=np.full(n, threshold, dtype=np.float32),
    )
    for first_row in range(0, n, block):
        rows = unit[first_row : first_row + block]
        for first_column in range(first_row, n, block):
            scores = rows @ unit[first_column : first_column + block].T
            _take_block(scores.numpy(), first_row, first_column, nearest)
    row, place = np.nonzero(np.arange(k) < nearest.found[:, None])
    edge_index = torch.from_numpy(np.stack([nearest.neighbour[row, place], row]))
    return edge_index, torch.from_numpy(nearest.cosine[row, place]).clamp(max=1.0)


class _Nearest(NamedTuple):
    """The nearest rows so far of every row, nearest first.

    Attributes:
        neighbour: int64 [n, k].
        cosine: float32 [n, k].
        found: how many of the k places are taken, int64 [n].
        least: the cosine another row must have to be taken, float32 [n].
    """

    neighbour: np.ndarray
    cosine: np.ndarray
    found: np.ndarray
    least: np.ndarray


@outer
def _take_block(scores: np.ndarray, first_row: int, first_column: int, nearest: _Nearest) -> None:
    """Let every pair above the diagonal in a block of cosines be each other's neighbours if they are near enough.

    Every row meets the others in their order, so among equals the first ones come first.
    """
    for i in range(scores.shape[0]):
        row = first_row + i
        for j in range(max(0, row + 1 - first_column), scores.shape[1]):
            score, column = scores[i, j], first_column + j
            if score >= nearest.least[row]:
                _take(nearest, row, column, score)
            if score >= nearest.least[column]:
                _take(nearest, column, row, score)


@outer
def _take(nearest: _Nearest, row: int, neighbour: int, score: float) -> None:
    """Put `neighbour` among the nearest of `row`, in place of the last one where all places are taken."""
    k, count = nearest.cosine.shape[1], nearest.found[row]
    place = min(count, k - 1)
    while place > 0 and nearest.cosine[row, place - 1] + TIE < score:
        nearest.cosine[row, place] = nearest.cosine[row, place - 1]
        nearest.neighbour[row, place] = nearest.neighbour[row, place - 1]
        place -= 1
    nearest.cosine[row, place], nearest.neighbour[row, place] = score, neighbour
    nearest.found[row] = min(count + 1, k)
    if nearest.found[row] == k:
        # The threshold stays a bound: it was met by all that are taken.
        nearest.least[row] = max(nearest.least[row], nearest.cosine[row, k - 1] + TIE)
