"""Ranking a block of users' candidates by a scorer's scores; metrics of the result are in `recsys.evaluation`."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from recsys.data.ranking_task import RankingBatch
from recsys.errors import UserError
from recsys.models.scorer import Scorer


class Ranked(NamedTuple):
    """The best candidates of a `RankingBatch` with U users and P positive pairs.

    Attributes:
        content: contents in falling order of score, -1 where a user has fewer candidates, int64, [U, K].
        score: their scores, -inf where there is no content, float32, [U, K].
        positive_score: score of each positive pair, float32, [P].
        negative_score: score of each positive pair's fixed negative, NaN where there is none, float32, [P].
    """

    content: np.ndarray
    score: np.ndarray
    positive_score: np.ndarray
    negative_score: np.ndarray


def rank(scorer: Scorer, batch: RankingBatch, k: int) -> Ranked:
    """Rank each user's candidates: the contents that exist at the batch's time, less the user's history.

    Args:
        scorer: the model.
        batch: whom to rank for and when.
        k: most contents for a user.

    Raises:
        UserError: if a score is NaN.
    """
    scores = scorer.score(batch.user, np.arange(batch.num_contents), batch.time)
    if any(bool(extreme.isnan()) for extreme in torch.aminmax(scores)):  # NaN is passed on
        raise UserError(
            "The model's scores are not numbers (NaN), so its training has diverged: lower optimizer.lr or "
            "trainer.gradient_clip_val and train again."
        )
    row, content = torch.from_numpy(batch.positive)
    negative = torch.from_numpy(batch.negative)
    positive_score = scores[row, content].numpy()
    negative_score = scores[row, negative].masked_fill(negative < 0, torch.nan).numpy()
    scores = scores.clone()  # the scorer may still hold it
    scores[tuple(torch.from_numpy(batch.seen))] = -torch.inf
    return Ranked(*top_k(scores, k), positive_score, negative_score)


def top_k(scores: Tensor, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k best contents of each row in falling order of score; of equal scores the lower content comes first.

    Args:
        scores: float32 without NaN, -inf for what is no candidate, [U, C].
        k: number of contents.

    Returns:
        Contents int64 [U, k], -1 where a row has fewer candidates, and their scores float32 [U, k], -inf there.
    """
    num_contents = scores.shape[1]
    width = min(k, num_contents)
    # One more than asked for, to see whether the last place is a tie with what was left out.
    value, content = scores.topk(min(width + 1, num_contents), dim=1)
    if 0 < width < num_contents:
        least = value[:, width - 1]
        tied = (least == value[:, width]) & (least > -torch.inf)
        if bool(tied.any()):
            content[tied, :width] = _first_of_ties(scores[tied], value[tied, :width], content[tied, :width])
    content = content[:, :width]
    content, _ = content.sort(dim=1)
    value = scores.gather(1, content)
    value, order = value.sort(dim=1, descending=True, stable=True)
    content = content.gather(1, order).masked_fill_(value == -torch.inf, -1)
    missing = (0, k - width)
    return (
        torch.nn.functional.pad(content, missing, value=-1).numpy(),
        torch.nn.functional.pad(value, missing, value=-torch.inf).numpy(),
    )


def _first_of_ties(scores: Tensor, value: Tensor, content: Tensor) -> Tensor:
    """The same best contents [U, k], where those that tie with the last place are the lowest of all that do."""
    least = value[:, -1:]
    falling = torch.arange(scores.shape[1], 0, -1, dtype=torch.int32)
    first = ((scores == least) * falling).topk(content.shape[1], dim=1).indices  # those that tie, ascending
    above = (value > least).sum(dim=1, keepdim=True)
    place = torch.arange(content.shape[1]).expand_as(content)
    return torch.where(place < above, content, first.gather(1, (place - above).clamp(min=0)))
