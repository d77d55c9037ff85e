"""The one protocol for every model: rank each user's candidates at a boundary, then measure by slices.

The formulas are in `recsys.evaluation.metrics`, the slices in `recsys.evaluation.slices`; who is asked for what is
`recsys.data.ranking_task`.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from scipy.sparse import csr_array
from scipy.special import expit

from recsys.data.event_log import EventLog, Split
from recsys.data.interaction_index import InteractionIndex
from recsys.data.ranking_task import RankingTask
from recsys.evaluation import metrics
from recsys.evaluation.ranking import RankedLists, rank_task
from recsys.evaluation.slices import (
    MoodUsers,
    audience_of,
    content_attributes,
    content_categories,
    mood_users,
)
from recsys.models.scorer import MoodScorer, Scorer

logger = logging.getLogger(__name__)

Metrics = dict[str, dict[str, float]]  # slice -> metric -> value

COLD_CONTENTS = "cold_contents"
KS = (5, 10, 20, 50)
SHOWN = 10  # length of the lists whose coverage, novelty, diversity, Gini and discovery are measured


@dataclass(frozen=True)
class Evaluation:
    """What one model is worth on one split.

    Attributes:
        split: "validation" or "test".
        metrics: slice -> metric -> value; a slice without users is absent.
        threshold: the probability (for models without logits: the score) from which a pair is predicted positive.
        gives_logits: whether `pairs.probability` is known.
        recommendations: `user, content` (rows in the log), `rank` from 1, `score`: the top of every evaluated user.
        pairs: `user, content, positive, label, score, probability`: first each positive, then in the same order each
            one's fixed negative (label 0), if the user has any. `probability` is NaN for a model without logits.
        per_user: `user, cold, positives` and each user's ranking metrics in slice "all".
    """

    split: Split
    metrics: Metrics
    threshold: float
    gives_logits: bool
    recommendations: pd.DataFrame
    pairs: pd.DataFrame
    per_user: pd.DataFrame


@dataclass(frozen=True)
class _Known:
    """What is known at the query time of the contents that exist then, and of the users of a task.

    Attributes:
        cold: whether a content has no event, bool, [C].
        surprise: see `metrics.surprise`, float64, [C].
        attributes: see `content_attributes`.
        categories: see `content_categories`.
        explored: above 0 where a user's history has a category, [len(task.user), categories]; None without categories.
    """

    cold: np.ndarray
    surprise: np.ndarray
    attributes: csr_array | None
    categories: csr_array | None
    explored: csr_array | None

    @classmethod
    def before(cls, log: EventLog, index: InteractionIndex, task: RankingTask) -> Self:
        """What is known before the task's time."""
        audience = audience_of(log, task.time)
        categories = content_categories(log, task.time)
        explored = None
        if categories is not None:
            row, content = index.history(task.user, task.time)
            shape = (len(task.user), task.num_contents)
            explored = csr_array((np.ones(len(row)), (row, content)), shape=shape) @ categories
        return cls(
            cold=audience == 0,
            surprise=metrics.surprise(audience, log.users.count_before(task.time)),
            attributes=content_attributes(log, task.time),
            categories=categories,
            explored=explored,
        )


def evaluate(
    scorer: Scorer,
    log: EventLog,
    index: InteractionIndex,
    task: RankingTask,
    *,
    threshold: float | None = None,
    ks: Sequence[int] = KS,
    top: int = 100,
    block: int = 512,
) -> Evaluation:
    """Score every user of `task` once, by blocks, and measure.

    A positive whose content does not exist yet at the query time (`task.unborn`) counts as one that every list missed.

    Slices:

    - `all`; `warm_users`, `cold_users`: with and without any event before the query time.
    - `warm_contents`, `cold_contents`: positives and candidates are only the contents with and without any event before
      the query time, ranked among themselves; unborn ones are neither. No linking metrics: a positive's fixed negative
      may be of either kind.
    - `cold_users_mood`, for scorers with a mood path: lists from the mood that the user's first positive shows, judged
      on the user's other positives (`slices.MoodUsers`). `cold_users_regular` ranks and judges the same users,
      candidates and positives by the regular path of any scorer, so these two compare, also with other scorers. Ranking
      metrics only. `users_without_mood` and `users_without_rest` count the cold users left out of both.

    Every slice has `users` and `positives`, and coverage, novelty, diversity (where contents have attributes) and
    Gini of the lists of 10; where contents have categories and a user of the slice has a history of them, also

    - `discovery@10`: the share of a user's hits that lie outside the categories of its history (`metrics.discovery`),
      mean over the `discovery_users@10` users that have a hit that counts; absent if there is none;
    - `discovery_hits@10`: the number of such hits, mean over all users of the slice, 0 for one without any.

    Args:
        scorer: the model.
        log: the whole log; it is for the scorer to look only at events before the query time.
        index: the log's index.
        task: who is to be scored for what, and when.
        threshold: for F1. When None it is chosen here, on validation only; test must be given validation's.
        ks: list lengths of the ranking metrics.
        top: recommendations to keep for each user.
        block: users scored at a time; memory grows with block x contents.

    Raises:
        ValueError: if `threshold` is missing on a split other than validation.
        UserError: if a score is NaN or infinite.
    """
    if threshold is None and task.split != "validation":
        raise ValueError(f"evaluating {task.split} needs the threshold that the validation split has chosen")

    known = _Known.before(log, index, task)
    cold_user = index.is_cold(task.user, task.time)
    moods = mood_users(log, task, cold_user) if len(log.moods) else None
    lists, pair_scores = rank_task(
        scorer, index, task, cold_content=known.cold, moods=moods, k=max(*ks, top, SHOWN), block=block
    )
    everyone = lists["all"]
    lists |= {"warm_users": everyone.of(~cold_user), "cold_users": everyone.of(cold_user)}

    pairs = _pairs(task, pair_scores, scorer.gives_logits)
    judged = pairs["probability" if scorer.gives_logits else "score"].to_numpy()
    if threshold is None:
        threshold = metrics.best_f1_threshold(pairs["positive"].to_numpy(), judged)

    candidates = {"warm_contents": ~known.cold, COLD_CONTENTS: known.cold}
    linked = {"all": np.ones_like(cold_user), "warm_users": ~cold_user, "cold_users": cold_user}
    by_slice: Metrics = {}
    for name in (*linked, *candidates, "cold_users_mood", "cold_users_regular"):
        if name not in lists or not len(lists[name].row):
            continue
        candidate = candidates.get(name, np.ones_like(known.cold))
        by_slice[name] = _list_metrics(lists[name], ks, candidate, known)
        if name in linked:
            of_slice = pairs["user"].isin(task.user[linked[name]])
            by_slice[name] |= _pair_metrics(
                pairs[of_slice], judged[of_slice.to_numpy()], threshold, scorer.gives_logits
            )
    if moods is not None:
        _count_left_out(by_slice, moods)
        if isinstance(scorer, MoodScorer) and "cold_users_mood" not in by_slice:
            logger.info("No cold user to judge the mood path on.")

    return Evaluation(
        split=task.split,
        metrics=by_slice,
        threshold=threshold,
        gives_logits=scorer.gives_logits,
        recommendations=_recommendations(everyone, task.user, top),
        pairs=pairs,
        per_user=_per_user(everyone, task.user, cold_user, ks),
    )


def evaluate_cold_contents(
    scorer: Scorer,
    log: EventLog,
    index: InteractionIndex,
    task: RankingTask,
    *,
    ks: Sequence[int] = KS,
    block: int = 512,
) -> dict[str, float] | None:
    """Slice `cold_contents` of `evaluate` alone, for which only the users with a positive there are scored.

    Args:
        scorer: the model.
        log: the whole log.
        index: the log's index.
        task: who is to be scored for what, and when.
        ks: list lengths of the ranking metrics.
        block: users scored at a time.

    Returns:
        metric -> value; None if no user has a positive that is cold.

    Raises:
        UserError: if a score is NaN or infinite.
    """
    is_cold = audience_of(log, task.time)[task.positive[1]] == 0
    task = task.of_users(np.unique(task.positive[0, is_cold]))
    if not len(task.user):
        return None
    known = _Known.before(log, index, task)
    lists, _ = rank_task(scorer, index, task, cold_content=known.cold, moods=None, k=max(*ks, SHOWN), block=block)
    return _list_metrics(lists[COLD_CONTENTS], ks, known.cold, known)


def _list_metrics(lists: RankedLists, ks: Sequence[int], candidate: np.ndarray, known: _Known) -> dict[str, float]:
    """Counts, mean ranking metrics, and what the lists of a slice have in common."""
    quality = metrics.ranking_metrics(lists.relevant, lists.num_relevant, ks)
    values: dict[str, float] = {"users": len(lists.row), "positives": int(lists.num_relevant.sum())}
    values |= {name: float(of_users.mean()) for name, of_users in quality.items()}
    values |= _discovery(lists, known)
    shown = lists.content[:, :SHOWN]
    shown = shown[(shown >= 0).any(axis=1)]  # a user who has met everything gets no list
    if not len(shown):
        return values
    values[f"coverage@{SHOWN}"] = metrics.coverage(shown, candidate)
    values[f"novelty@{SHOWN}"] = metrics.novelty(shown, known.surprise)
    values[f"gini@{SHOWN}"] = metrics.gini(shown, candidate)
    diversity = None if known.attributes is None else metrics.diversity(shown, known.attributes)
    if diversity is not None:
        values[f"diversity@{SHOWN}"] = diversity
    return values


def _discovery(lists: RankedLists, known: _Known) -> dict[str, float]:
    """The hits outside the categories of the users' histories; nothing where no user has a history of categories."""
    if known.categories is None or known.explored is None:
        return {}
    explored = known.explored[lists.row]
    if not explored.nnz:
        return {}
    content, relevant = lists.content[:, :SHOWN], lists.relevant[:, :SHOWN]
    hits, outside = metrics.discovery(content, relevant, explored, known.categories)
    some = hits > 0
    values: dict[str, float] = {
        f"discovery_hits@{SHOWN}": float(outside.mean()),
        f"discovery_users@{SHOWN}": int(some.sum()),
    }
    if some.any():
        values[f"discovery@{SHOWN}"] = float((outside[some] / hits[some]).mean())
    return values


def _pairs(task: RankingTask, scores: np.ndarray, gives_logits: bool) -> pd.DataFrame:
    """The positive and negative pairs of `Evaluation.pairs`; `scores` [2, P]."""
    score = scores.ravel().astype(np.float64)
    row, content = task.positive
    pairs = pd.DataFrame(
        {
            "user": np.tile(task.user[row], 2),
            "content": np.concatenate([content, task.negative]),
            "positive": np.repeat([True, False], len(row)),
            "label": np.concatenate([task.label, np.zeros_like(task.label)]).astype(np.float64),
            "score": score,
            "probability": expit(score) if gives_logits else np.nan,
        }
    )
    return pairs[pairs["content"] >= 0].reset_index(drop=True)  # -1: no candidate of the user is a negative


def _pair_metrics(pairs: pd.DataFrame, judged: np.ndarray, threshold: float, gives_logits: bool) -> dict[str, float]:
    """Linking metrics, none without a negative; errors and spread of the probability only where there is one."""
    positive = pairs["positive"].to_numpy()
    if positive.all():
        return {}
    values = metrics.linking_metrics(positive, pairs["score"].to_numpy())
    values["f1"] = metrics.f1(positive, judged, threshold)
    if gives_logits:
        values |= metrics.probability_metrics(pairs["label"].to_numpy(), pairs["probability"].to_numpy())
    return values


def _recommendations(lists: RankedLists, user: np.ndarray, top: int) -> pd.DataFrame:
    """The first `top` places of every list as rows of `Evaluation.recommendations`."""
    content, score = lists.content[:, :top], lists.score[:, :top]
    row, place = np.nonzero(content >= 0)
    return pd.DataFrame(
        {
            "user": user[lists.row[row]],
            "content": content[row, place],
            "rank": place + 1,
            "score": score[row, place],
        }
    )


def _per_user(lists: RankedLists, user: np.ndarray, cold: np.ndarray, ks: Sequence[int]) -> pd.DataFrame:
    """Each user's ranking metrics, for `Evaluation.per_user`."""
    known = {"user": user[lists.row], "cold": cold[lists.row], "positives": lists.num_relevant}
    return pd.DataFrame(known | metrics.ranking_metrics(lists.relevant, lists.num_relevant, ks))


def _count_left_out(by_slice: Metrics, moods: MoodUsers) -> None:
    """Say of how many cold users the mood path could not be judged."""
    left_out = {"users_without_mood": moods.without_mood, "users_without_rest": moods.without_rest}
    for name in ("cold_users_mood", "cold_users_regular"):
        if name in by_slice:
            by_slice[name] |= left_out
