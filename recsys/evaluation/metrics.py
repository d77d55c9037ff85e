"""Formulas of the evaluation, on arrays: ranked lists, what the lists have in common, and scored pairs.

Which users, contents and positives enter is decided in `recsys.evaluation.slices` and `protocol`.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import torch
from scipy.sparse import csr_array
from torchmetrics.functional.classification import binary_auroc, binary_average_precision, binary_f1_score


def ranking_metrics(relevant: np.ndarray, num_relevant: np.ndarray, ks: Sequence[int]) -> dict[str, np.ndarray]:
    """Quality of ranked lists, a value a user, named `ndcg@10`, `recall@20` and so on.

    With r(i) = 1 where the content at place i is relevant and R relevant contents in all:

    - ndcg@k = sum_{i<=k} r(i) / log2(i + 1), over the same sum for a list that begins with min(R, k) relevant ones
    - recall@k = hits / R; precision@k = hits / k; hit_rate@k = 1 if there is a hit
    - map@k = sum_{i<=k} r(i) precision@i / min(R, k)
    - mrr@k = 1 / place of the first hit, 0 without one

    These are the definitions of `torch_geometric.metrics.LinkPred*`, which give means only.

    Args:
        relevant: whether the content at each place is relevant, best place first, bool, [U, K].
        num_relevant: number of relevant contents of each user, at least 1, int64, [U].
        ks: list lengths, none above K.

    Returns:
        metric name -> float64 [U].
    """
    place = np.arange(1, relevant.shape[1] + 1)
    discount = 1 / np.log2(place + 1)
    hits = np.cumsum(relevant, axis=1)
    gain = np.cumsum(relevant * discount, axis=1)
    ideal_gain = np.cumsum(discount)
    precision_at_hits = np.cumsum(relevant * hits / place, axis=1)
    first_hit = np.where(relevant.any(axis=1), relevant.argmax(axis=1) + 1, np.inf)

    metrics: dict[str, np.ndarray] = {}
    for k in ks:
        reachable = np.minimum(num_relevant, k)
        metrics[f"ndcg@{k}"] = gain[:, k - 1] / ideal_gain[reachable - 1]
        metrics[f"recall@{k}"] = hits[:, k - 1] / num_relevant
        metrics[f"precision@{k}"] = hits[:, k - 1] / k
        metrics[f"map@{k}"] = precision_at_hits[:, k - 1] / reachable
        metrics[f"mrr@{k}"] = np.where(first_hit <= k, 1 / first_hit, 0.0)
        metrics[f"hit_rate@{k}"] = (first_hit <= k).astype(np.float64)
    return metrics


def coverage(content: np.ndarray, candidate: np.ndarray) -> float:
    """Share of the candidates that are recommended to anyone.

    Args:
        content: ranked lists of contents, -1 for an empty place, int64, [U, k].
        candidate: whether each content is a candidate, bool, [C].
    """
    return float((_counts(content, candidate) > 0).mean())


def gini(content: np.ndarray, candidate: np.ndarray) -> float:
    """Inequality of how often each candidate is recommended: 0 is even, 1 means one takes all. Arguments as above.

    With the counts x in ascending order: 2 sum_i i x_i / (n sum_i x_i) - (n + 1) / n.
    """
    counts = np.sort(_counts(content, candidate))
    n = len(counts)
    return float(2 * np.sum(np.arange(1, n + 1) * counts) / (n * counts.sum()) - (n + 1) / n)


def novelty(content: np.ndarray, surprise: np.ndarray) -> float:
    """Mean over users of the mean surprise of their lists.

    Args:
        content: ranked lists, -1 for an empty place, int64, [U, k].
        surprise: of each content, as `surprise` below gives it, float64, [C].
    """
    filled = content >= 0
    return float((np.where(filled, surprise[content], 0.0).sum(axis=1) / filled.sum(axis=1)).mean())


def surprise(audience: np.ndarray, num_users: int) -> np.ndarray:
    """-log2 of the share of users who had met each content, smoothed: -log2((audience + 1) / (num_users + 1)).

    Args:
        audience: distinct users with an event on the content before the query time, int64, [C].
        num_users: users that exist at the query time.
    """
    return np.asarray(-np.log2((audience + 1) / (num_users + 1)))


def diversity(content: np.ndarray, attributes: csr_array) -> float | None:
    """1 - mean similarity of the pairs in a list, mean over the users whose lists hold a pair; None without any.

    The similarity of two contents is the Jaccard overlap of their attributes; two contents without any attribute
    have nothing in common, so 0.

    Args:
        content: ranked lists, -1 for an empty place, int64, [U, k].
        attributes: 1 where a content has an attribute, [C, A].
    """
    size = np.asarray(attributes.sum(axis=1)).ravel()
    similarity = np.zeros(len(content))
    pairs = np.zeros(len(content), dtype=np.int64)
    for i, j in combinations(range(content.shape[1]), 2):
        rows = np.flatnonzero((content[:, i] >= 0) & (content[:, j] >= 0))
        left, right = content[rows, i], content[rows, j]
        common = np.asarray(attributes[left].multiply(attributes[right]).sum(axis=1)).ravel()
        similarity[rows] += common / np.maximum(size[left] + size[right] - common, 1)
        pairs[rows] += 1
    some = pairs > 0
    return float(1 - (similarity[some] / pairs[some]).mean()) if some.any() else None


def discovery(
    content: np.ndarray, relevant: np.ndarray, explored: csr_array, categories: csr_array
) -> tuple[np.ndarray, np.ndarray]:
    """How many hits each user's list has, and how many of them lie outside the categories of the user's history.

    A hit is outside if none of its categories is among those of the history. Hits without a category, and those of a
    user whose history has none (such as a cold user, to whom everything is new), are neither inside nor outside: they
    do not count.

    Args:
        content: ranked lists, -1 for an empty place, int64, [U, k].
        relevant: whether the content at each place is relevant, bool, [U, k].
        explored: above 0 where a user's history has a category, [U, A].
        categories: above 0 where a content has a category, [C, A].

    Returns:
        The counted hits and those outside, int64 [U] each.
    """
    row, place = np.nonzero(relevant)
    of_hit, of_history = categories[content[row, place]], explored[row]
    counted = (np.diff(of_hit.indptr) > 0) & (np.diff(of_history.indptr) > 0)
    outside = counted & (np.asarray(of_hit.multiply(of_history).sum(axis=1)).ravel() == 0)
    num_users = len(content)
    return np.bincount(row[counted], minlength=num_users), np.bincount(row[outside], minlength=num_users)


def linking_metrics(positive: np.ndarray, score: np.ndarray) -> dict[str, float]:
    """How well scores tell positive pairs from negative ones: `auroc`, `average_precision` (report, section VII.C).

    Args:
        positive: whether each pair is a positive, bool, [N]; there must be pairs of both kinds.
        score: float, [N].
    """
    # torchmetrics puts a sigmoid over scores outside [0, 1], which would tie large ones; ranks stay inside.
    distinct, rank = np.unique(score, return_inverse=True)
    ranks, truth = torch.from_numpy(rank / max(len(distinct) - 1, 1)), torch.from_numpy(positive.astype(np.int64))
    return {
        "auroc": float(binary_auroc(ranks, truth)),
        "average_precision": float(binary_average_precision(ranks, truth)),
    }


def f1(positive: np.ndarray, score: np.ndarray, threshold: float) -> float:
    """F1 of predicting "positive" where `score >= threshold`; arguments as above."""
    predicted = torch.from_numpy((score >= threshold).astype(np.int64))
    return float(binary_f1_score(predicted, torch.from_numpy(positive.astype(np.int64))))


def best_f1_threshold(positive: np.ndarray, score: np.ndarray) -> float:
    """The score from which on predicting "positive" gives the best F1; of equally good ones the highest.

    F1 = 2 true positives / (predicted positives + positives) (report, section VII.C). Arguments as above.
    """
    order = np.argsort(-score, kind="stable")
    descending, hits = score[order], np.cumsum(positive[order])
    quality = 2 * hits / (np.arange(1, len(order) + 1) + positive.sum())
    # A threshold takes in all pairs of its score, so only the last pair of each score counts.
    last_of_score = np.append(descending[1:] != descending[:-1], True)
    return float(descending[last_of_score][np.argmax(quality[last_of_score])])


def probability_metrics(label: np.ndarray, probability: np.ndarray) -> dict[str, float]:
    """Error of the probability against the soft label (report, section VII.C), and how far apart probabilities lie.

    Args:
        label: soft label of each pair, 0 for negatives, float64, [N].
        probability: float64, [N].

    Returns:
        mae, rmse; loss: the mean cross-entropy (report, Eq. 6); score_spread: 95th less 5th percentile (near 0 for a
        collapsed model); score_std.
    """
    error = probability - label
    sure = np.clip(probability, 1e-12, 1 - 1e-12)
    low, high = np.percentile(probability, [5, 95])
    return {
        "mae": float(np.abs(error).mean()),
        "rmse": float(np.sqrt(np.square(error).mean())),
        "loss": float(-(label * np.log(sure) + (1 - label) * np.log1p(-sure)).mean()),
        "score_spread": float(high - low),
        "score_std": float(probability.std()),
    }


def _counts(content: np.ndarray, candidate: np.ndarray) -> np.ndarray:
    """How often each candidate stands in the lists, int64, [num_candidates]."""
    counts = np.bincount(content[content >= 0], minlength=len(candidate))
    return np.asarray(counts[candidate])
