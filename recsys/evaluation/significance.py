"""Whether models really differ: paired comparisons over the same users, corrected for how many are made at once.

Each user's metric comes from `Evaluation.per_user`; two models are paired by user, so that easy and hard users cancel.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy.stats import wilcoxon

RESAMPLES = 10_000
CONFIDENCE = 0.95
LEVELS = ((0.001, "***"), (0.01, "**"), (0.05, "*"))
_DECIMALS = 12  # means of the same numbers in another order differ in the last bits: that is no difference
_CELLS = 4_000_000  # resampled users held at a time


@dataclass(frozen=True)
class PairedDifference:
    """What separates a model from the baseline it was compared with.

    Attributes:
        mean: over the users, of the model's value less the baseline's.
        low, high: ends of the 95% interval of `mean`, by `interval`.
        p_value: by `signed_rank_p` or `bootstrap_p`.
        p_holm: `p_value` corrected by `holm` for all models that were compared together.
        stars: of `p_holm`, see `stars`.
    """

    mean: float
    low: float
    high: float
    p_value: float
    p_holm: float
    stars: str


def compare_with_baseline(
    per_user: pd.DataFrame,
    baseline: str,
    *,
    test: Literal["signed_rank", "bootstrap"] = "signed_rank",
    user: np.ndarray | None = None,
    seed: int = 0,
) -> dict[str, PairedDifference]:
    """Compare every model with the baseline, user by user.

    Intervals and p-values say how far the difference would hold for other users like these, not for the same models
    trained with other seeds. The intervals are not corrected for the number of models.

    Args:
        per_user: a metric of each user (rows, at least two) under each model (columns).
        baseline: the column that the others are compared with.
        test: whether p-values are those of the signed ranks, or of the mean under the bootstrap behind the intervals.
        user: whose each row is, if a user may have several, one at each end of the log; for the bootstrap only.
        seed: of the resampling.

    Returns:
        Model -> its difference, in the order of the columns, without the baseline.

    Raises:
        ValueError: if there are fewer than two users, a value is missing, or ranks are asked for of users with several.
    """
    num_users = len(per_user) if user is None else len(np.unique(user))
    if num_users < 2 or per_user.isna().to_numpy().any():
        raise ValueError("a comparison takes at least two users and the value of each under every model")
    if test == "signed_rank" and num_users < len(per_user):
        raise ValueError("signed ranks take one row a user")
    models = per_user.drop(columns=baseline)
    differences = models.sub(per_user[baseline], axis="index").to_numpy(np.float64).round(_DECIMALS)
    means = bootstrap_means(differences, user, seed=seed)
    low, high = interval(means)
    ranks = test == "signed_rank"
    p_values = np.array([signed_rank_p(column) for column in differences.T]) if ranks else bootstrap_p(means)
    corrected = holm(p_values)
    return {
        name: PairedDifference(
            mean=float(differences[:, place].mean()),
            low=float(low[place]),
            high=float(high[place]),
            p_value=float(p_values[place]),
            p_holm=float(corrected[place]),
            stars=stars(corrected[place]),
        )
        for place, name in enumerate(models.columns)
    }


def bootstrap_means(values: np.ndarray, user: np.ndarray | None = None, *, seed: int = 0) -> np.ndarray:
    """Each column's mean under 10,000 resamples of the users (Efron, 1979).

    A resample draws users with all their rows, since what one user gets at several ends of a log is much alike (Field
    and Welsh, Bootstrapping clustered data, 2007); one drawing serves all columns.

    Args:
        values: [num_rows, num_models].
        user: whose each row is, [num_rows]; None if every row is another user's.
        seed: of the resampling.

    Returns:
        [10,000, num_models].
    """
    if user is None:
        sums, size = values, np.ones(len(values))
    else:
        _, row = np.unique(user, return_inverse=True)
        size = np.bincount(row).astype(np.float64)
        sums = np.zeros((len(size), values.shape[1]))
        np.add.at(sums, row, values)
    num_users = len(size)
    rng = np.random.default_rng(seed)
    means = np.empty((RESAMPLES, values.shape[1]))
    block = max(1, _CELLS // num_users)
    for start in range(0, RESAMPLES, block):
        count = min(block, RESAMPLES - start)
        drawn = rng.integers(num_users, size=(count, num_users))
        drawn += np.arange(count)[:, np.newaxis] * num_users
        times = np.bincount(drawn.ravel(), minlength=count * num_users).reshape(count, num_users)
        means[start : start + count] = times @ sums / (times @ size)[:, np.newaxis]
    return means


def interval(means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """95% percentile interval of each column of `bootstrap_means`: lower and upper ends, [num_models] each."""
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, (tail, 1 - tail), axis=0)
    return low, high


def bootstrap_p(means: np.ndarray) -> np.ndarray:
    """Two-sided p-value that the mean is zero: the level at which the percentile interval just leaves zero out.

    2 min(#(mean <= 0), #(mean >= 0)) over the resamples, each count with one added, so that no p-value is 0 (Efron and
    Tibshirani, An Introduction to the Bootstrap, 1993, section 15.4; Davison and Hinkley, 1997, section 4.2).

    Args:
        means: of `bootstrap_means`, [resamples, num_models].

    Returns:
        [num_models].
    """
    rarer = np.minimum((means <= 0).sum(axis=0), (means >= 0).sum(axis=0))
    p_values: np.ndarray = np.minimum(1.0, 2 * (rarer + 1) / (len(means) + 1))
    return p_values


def signed_rank_p(differences: np.ndarray) -> float:
    """p-value of the Wilcoxon signed-rank test (Wilcoxon, 1945) that the differences lie symmetrically about zero.

    Users without a difference are left out, as Wilcoxon does; without any other the p-value is 1. The test is
    two-sided, in the direction of the mean: where the ranks point away from the mean, it is 1 rather than a small
    p-value of a difference with the other sign.

    Args:
        differences: [num_users].
    """
    changed = differences[differences != 0]
    if not len(changed):
        return 1.0
    in_direction = wilcoxon(changed, alternative="greater" if changed.sum() > 0 else "less", axis=None)
    return min(1.0, 2 * float(in_direction.pvalue))


def holm(p_values: np.ndarray) -> np.ndarray:
    """Holm's step-down correction: the chance of any false discovery in the family stays below the level.

    The k-th smallest of m p-values is multiplied by m - k + 1, and none may be below a smaller one's (Holm, 1979).

    Args:
        p_values: [m].

    Returns:
        [m], in the order of `p_values`.
    """
    order = np.argsort(p_values)
    factors = np.arange(len(p_values), 0, -1)
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(np.maximum.accumulate(p_values[order] * factors), 1)
    return corrected


def stars(p_value: float) -> str:
    """`***`, `**`, `*` for a p-value below .001, .01, .05, else nothing."""
    return next((mark for level, mark in LEVELS if p_value < level), "")


def p_text(p_value: float) -> str:
    """A p-value for a table."""
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"
