"""Ranks the candidates of a task's users in one pass of the scorer; `recsys.evaluation.protocol` measures the lists."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from recsys.data.interaction_index import InteractionIndex
from recsys.data.ranking_task import RankingBatch, RankingTask
from recsys.errors import UserError
from recsys.evaluation.slices import MoodUsers
from recsys.models.ranking import top_k
from recsys.models.scorer import MoodScorer, Scorer


@dataclass(frozen=True)
class RankedLists:
    """The best K candidates of U users, each with at least one positive.

    Attributes:
        row: the users, as places in `task.user`, int64, [U].
        content: best first, -1 where a user has fewer than K candidates, int64, [U, K].
        score: float32, [U, K].
        relevant: whether the content at each place is one of the user's positives, bool, [U, K].
        num_relevant: positives of each user, those out of reach included, int64, [U].
    """

    row: np.ndarray
    content: np.ndarray
    score: np.ndarray
    relevant: np.ndarray
    num_relevant: np.ndarray

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """The lists of all parts, one after the other."""
        return cls(**{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)})

    def of(self, wanted: np.ndarray) -> Self:
        """The lists of the wanted users; bool, [len(task.user)]."""
        kept = wanted[self.row]
        return type(self)(**{f.name: getattr(self, f.name)[kept] for f in fields(self)})


def rank_task(
    scorer: Scorer,
    index: InteractionIndex,
    task: RankingTask,
    *,
    cold_content: np.ndarray,
    moods: MoodUsers | None,
    k: int,
    block: int,
) -> tuple[dict[str, RankedLists], np.ndarray]:
    """Score each user once, by blocks, and rank the contents of each slice.

    Args:
        scorer: the model.
        index: the log's index.
        task: who is to be scored.
        cold_content: whether each content is cold, bool, [task.num_contents].
        moods: the cold users to rank once more, without the content that shows their mood.
        k: length of the lists.
        block: users scored at a time.

    Returns:
        The lists of slices all, warm_contents, cold_contents and, where `moods` has users, cold_users_regular and, of a
        scorer with a mood path, cold_users_mood; and the scores of the positive (row 0) and negative (row 1) pairs,
        float32, [2, P].
    """
    kinds = {"all": None, "warm_contents": np.flatnonzero(~cold_content), "cold_contents": np.flatnonzero(cold_content)}
    contents, rows = np.arange(task.num_contents), np.arange(len(task.user))
    moods = moods if moods is not None and len(moods.row) else None
    mood_scores = _mood_scores(scorer, task, moods) if moods is not None and isinstance(scorer, MoodScorer) else None
    pair_scores = np.empty((2, len(task.label)), dtype=np.float32)
    lists: dict[str, list[RankedLists]] = defaultdict(list)
    progress = tqdm(task.batches(index, block), f"Ranking {task.split}", -(-len(rows) // block), leave=False)
    for start, batch in zip(range(0, len(rows), block), progress, strict=True):
        block_rows = rows[start : start + block]
        scores = _checked(scorer.score(batch.user, contents, batch.time), task)
        pair_scores[:, batch.first : batch.first + len(batch.label)] = _pair_scores(scores, batch)
        scores[torch.from_numpy(batch.seen[0]), torch.from_numpy(batch.seen[1])] = -torch.inf
        for name, only in kinds.items():
            # An unborn content is neither warm nor cold.
            unborn = batch.unborn if only is None else np.zeros_like(batch.unborn)
            lists[name].append(rank_users(block_rows, scores, batch.positive, unborn, k=k, only=only))
        if moods is not None:
            for name, by_either in _rank_mood_users(moods, mood_scores, scores, start, batch, k=k).items():
                lists[name].append(by_either)
    return {name: RankedLists.join(parts) for name, parts in lists.items()}, pair_scores


def rank_users(
    users: np.ndarray,
    scores: Tensor,
    positive: np.ndarray,
    unborn: np.ndarray,
    *,
    k: int,
    only: np.ndarray | None = None,
) -> RankedLists:
    """Rank the candidates of the users that have a positive.

    Args:
        users: the users of `scores`, as places in `task.user`, int64, [U].
        scores: float32, [U, C]; -inf for what is no candidate.
        positive: (row in `scores`, content) pairs, int64, [2, P].
        unborn: positives of each user that are out of reach, int64, [U].
        k: length of the lists.
        only: the only contents to rank and to count as positives, ascending, int64; None for all.
    """
    if only is not None:
        positive = positive[:, np.isin(positive[1], only)]
    num_relevant = np.bincount(positive[0], minlength=len(users)) + unborn
    rows = np.flatnonzero(num_relevant)
    if len(rows) < len(users):
        scores = scores.index_select(0, torch.from_numpy(rows))
    if only is not None:
        scores = scores.index_select(1, torch.from_numpy(only))
    content, score = top_k(scores, k)
    if only is not None:
        content = np.append(only, -1)[content]  # an empty place, -1, stays -1
    # Contents are shifted by one, so that the key of an empty place belongs to its own row and to no positive.
    width = int(max(positive[1].max(initial=0), content.max(initial=0))) + 2
    relevant = np.isin(rows[:, None] * width + content + 1, positive[0] * width + positive[1] + 1)
    return RankedLists(users[rows], content, score, relevant, num_relevant[rows])


def _checked(scores: Tensor, task: RankingTask) -> Tensor:
    """A copy of the scores that may be masked; they must be finite."""
    # The extremes are finite only if all scores are; finding them is far quicker than testing each one.
    if not all(bool(torch.isfinite(extreme)) for extreme in torch.aminmax(scores)):
        raise UserError(
            f"The model gives scores on {task.split} that are NaN or infinite, so its training diverged; "
            "try a lower learning rate or stronger gradient clipping."
        )
    return scores.to(torch.float32, copy=True)


def _pair_scores(scores: Tensor, batch: RankingBatch) -> np.ndarray:
    """Scores of the block's positive and negative pairs, NaN where there is no negative, [2, P of the block]."""
    row, content = torch.from_numpy(batch.positive)
    negative = torch.from_numpy(batch.negative)
    of_negative = scores[row, negative].masked_fill(negative < 0, torch.nan)
    return torch.stack([scores[row, content], of_negative]).numpy()


def _mood_scores(scorer: MoodScorer, task: RankingTask, moods: MoodUsers) -> Tensor:
    """Scores of all contents for every mood up to the last one needed, [num_moods, C]."""
    asked = np.arange(moods.mood.max() + 1)
    return _checked(scorer.score_moods(asked, np.arange(task.num_contents), task.time), task)


def _rank_mood_users(
    moods: MoodUsers, mood_scores: Tensor | None, scores: Tensor, start: int, batch: RankingBatch, *, k: int
) -> dict[str, RankedLists]:
    """Rank the mood users of one block by mood and by the regular path, each without the content that gave the mood.

    Args:
        moods: all mood users.
        mood_scores: of all contents, [num_moods, C]; None for a scorer without a mood path.
        scores: of the block's users, -inf for their histories, [U, C].
        start: place of the block's first user in `task.user`.
        batch: the block.
        k: length of the lists.
    """
    of_block = (moods.row >= start) & (moods.row < start + len(scores))
    users, first = moods.row[of_block], moods.first[of_block]
    rest = _rest(batch.positive, users - start, first)
    by_path = {"cold_users_regular": scores[torch.from_numpy(users - start)]}
    if mood_scores is not None:
        by_path["cold_users_mood"] = mood_scores[torch.from_numpy(moods.mood[of_block])]
    for candidates in by_path.values():
        candidates[torch.arange(len(users)), torch.from_numpy(first)] = -torch.inf
    unborn = batch.unborn[users - start]
    return {name: rank_users(users, candidates, rest, unborn, k=k) for name, candidates in by_path.items()}


def _rest(positive: np.ndarray, row: np.ndarray, first: np.ndarray) -> np.ndarray:
    """The positives of the given rows less each one's first content, as (place in `row`, content) pairs."""
    positive = positive[:, np.isin(positive[0], row)]
    place = np.searchsorted(row, positive[0])
    rest = positive[1] != first[place]
    return np.stack([place[rest], positive[1, rest]])
