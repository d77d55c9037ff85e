"""Paired comparisons: by hand, against every flip of the signs, and against a plain loop over resamples."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from recsys.evaluation import significance
from recsys.evaluation.significance import (
    bootstrap_means,
    compare_with_baseline,
    holm,
    interval,
    p_text,
    signed_rank_p,
    stars,
)


def test_signed_rank_by_hand() -> None:
    assert signed_rank_p(np.array([1.0, 2, 3, 4, 5])) == pytest.approx(2 / 32)  # one of 32 flips, both sides
    assert signed_rank_p(np.array([-1.0, 2, 3, 4, 5])) == pytest.approx(4 / 32)  # that one, and none flipped
    assert signed_rank_p(np.array([1.0, -2, -3, -4, -5])) == pytest.approx(4 / 32)
    assert signed_rank_p(np.array([-1.0, 2])) == 1


@settings(deadline=None)
@given(st.lists(st.integers(-4, 4).filter(bool), min_size=1, max_size=9))
def test_signed_rank_is_the_share_of_sign_flips_at_least_as_extreme(values: list[int]) -> None:
    differences = np.array(values, dtype=float)
    ranks = rankdata(np.abs(differences))
    flips = np.array(list(product((False, True), repeat=len(values)))) @ ranks  # rank sum of the positive ones
    positive = ranks[differences > 0].sum()
    extreme = flips >= positive - 1e-9 if differences.sum() > 0 else flips <= positive + 1e-9
    assert signed_rank_p(differences) == pytest.approx(min(1, 2 * extreme.mean()))


def test_users_without_a_difference_do_not_count() -> None:
    differences = np.array([0.3, -0.1, 0.2, 0.5, 0.7, 0.4])
    assert signed_rank_p(np.concatenate([differences, np.zeros(100)])) == signed_rank_p(differences)
    assert signed_rank_p(np.zeros(5)) == 1


def test_ranks_that_point_away_from_the_mean_are_no_evidence() -> None:
    differences = np.array([-1.0, -1.1, -1.2, -1.3, -1.4, -1.5, -1.6, 100])
    assert differences.mean() > 0
    assert signed_rank_p(differences[:-1]) < 0.05
    assert signed_rank_p(differences) == 1


def test_interval_equals_a_loop_over_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(1).normal(size=(7, 3))
    drawn = np.random.default_rng(5).integers(7, size=(significance.RESAMPLES, 7))
    means = np.array([values[users].mean(axis=0) for users in drawn])
    for cells in (significance._CELLS, 100):  # at once, and by blocks that do not divide the resamples
        monkeypatch.setattr(significance, "_CELLS", cells)
        low, high = interval(bootstrap_means(values, seed=5))
        np.testing.assert_allclose(low, np.quantile(means, 0.025, axis=0))
        np.testing.assert_allclose(high, np.quantile(means, 0.975, axis=0))


def test_interval_covers_the_true_mean_about_19_times_in_20() -> None:
    samples = np.random.default_rng(0).exponential(size=(80, 400))  # 400 samples of 80 users, of mean 1
    low, high = interval(bootstrap_means(samples))
    assert 0.90 < np.mean((low <= 1) & (high >= 1)) < 0.97


def test_users_with_several_rows_are_drawn_whole() -> None:
    rng = np.random.default_rng(3)
    user = np.array(["c", "a", "a", "b", "c", "c"])
    values = rng.normal(size=(6, 2))
    drawn = np.random.default_rng(5).integers(3, size=(significance.RESAMPLES, 3))
    rows_of = [np.flatnonzero(user == name) for name in "abc"]
    means = [values[np.concatenate([rows_of[n] for n in users])].mean(axis=0) for users in drawn]
    np.testing.assert_allclose(bootstrap_means(values, user, seed=5), means)


def test_users_who_are_alike_at_all_ends_are_no_more_evidence() -> None:
    rng = np.random.default_rng(4)
    rejected = 0
    for _ in range(100):  # 60 users at five ends, no true difference, each user's own part as large as the rest
        difference = np.repeat(rng.normal(size=60), 5) + rng.normal(size=300)
        per_row = pd.DataFrame({"base": np.zeros(300), "other": difference})
        found = compare_with_baseline(per_row, "base", test="bootstrap", user=np.repeat(np.arange(60), 5))
        rejected += found["other"].p_value < 0.05
    assert rejected <= 12  # every row by itself: about a third


def test_signed_ranks_take_one_row_a_user(per_user: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="one row a user"):
        compare_with_baseline(per_user, "base", user=np.zeros(200) + np.arange(200) // 2)


def test_holm_by_hand() -> None:
    # In order: .005 x 4, .01 x 3, .03 x 2, .04 x 1, and no smaller than the one before.
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03, 0.005])), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm(np.array([0.4, 0.9])), [0.8, 0.9])
    np.testing.assert_allclose(holm(np.array([0.7, 0.6, 0.8])), [1, 1, 1])
    assert holm(np.array([])).shape == (0,)


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_rejects_what_stepping_down_rejects(values: list[float]) -> None:
    p_values, level = np.array(values), 0.05
    rejected = np.zeros(len(values), dtype=bool)
    for step, place in enumerate(np.argsort(p_values, kind="stable")):
        if p_values[place] * (len(values) - step) > level:
            break
        rejected[place] = True
    np.testing.assert_array_equal(holm(p_values) <= level, rejected)


@pytest.mark.parametrize(
    ("p_value", "mark", "text"),
    [(0.0009, "***", "< 0.001"), (0.001, "**", "0.001"), (0.01, "*", "0.010"), (0.05, "", "0.050"), (1, "", "1.000")],
)
def test_stars(p_value: float, mark: str, text: str) -> None:
    assert stars(p_value) == mark
    assert p_text(p_value) == text


@pytest.fixture
def per_user() -> pd.DataFrame:
    rng = np.random.default_rng(2)
    base = rng.uniform(size=200)
    return pd.DataFrame(
        {
            "better": base + 0.02 + rng.normal(scale=0.05, size=200),
            "base": base,
            "same": base,
            "noise": base + rng.normal(scale=0.05, size=200),
            "worse": base - 0.02 + rng.normal(scale=0.05, size=200),
        },
        index=[f"user {n}" for n in range(200)],
    )


def test_models_are_compared_with_the_baseline(per_user: pd.DataFrame) -> None:
    found = compare_with_baseline(per_user, "base")
    assert list(found) == ["better", "same", "noise", "worse"]
    assert found["better"].mean == pytest.approx((per_user["better"] - per_user["base"]).mean())
    assert 0 < found["better"].low < found["better"].mean < found["better"].high
    assert found["worse"].low < found["worse"].mean < found["worse"].high < 0
    assert (found["better"].stars, found["worse"].stars) == ("***", "***")
    assert found["noise"].low < 0 < found["noise"].high
    assert found["noise"].stars == ""
    assert (found["same"].mean, found["same"].low, found["same"].high, found["same"].p_value) == (0, 0, 0, 1)
    p_values = np.array([difference.p_value for difference in found.values()])
    np.testing.assert_allclose([difference.p_holm for difference in found.values()], holm(p_values))


def test_more_comparisons_make_each_harder(per_user: pd.DataFrame) -> None:
    alone = compare_with_baseline(per_user[["base", "better"]], "base")["better"]
    among = compare_with_baseline(per_user, "base")["better"]
    assert alone.p_holm == alone.p_value == among.p_value < among.p_holm
    assert (alone.low, alone.high) == pytest.approx((among.low, among.high))


def test_swapping_the_models_swaps_the_sign(per_user: pd.DataFrame) -> None:
    forth = compare_with_baseline(per_user[["base", "better"]], "base")["better"]
    back = compare_with_baseline(per_user[["base", "better"]], "better")["base"]
    assert (back.mean, back.p_value) == (-forth.mean, forth.p_value)
    assert (back.low, back.high) == pytest.approx((-forth.high, -forth.low))


def test_rounding_is_no_difference() -> None:
    per_user = pd.DataFrame({"base": [0.3, 0.6, 0.5], "other": [0.1 + 0.2, 3 * 0.2, 0.5]})
    assert (per_user["base"] != per_user["other"]).any()
    found = compare_with_baseline(per_user, "base")["other"]
    assert (found.mean, found.low, found.high, found.p_value) == (0, 0, 0, 1)


def test_the_baseline_alone_is_compared_with_nothing() -> None:
    assert compare_with_baseline(pd.DataFrame({"base": [0.1, 0.2]}), "base") == {}


@pytest.mark.parametrize("values", [[0.5], [0.5, np.nan]], ids=["one user", "missing value"])
def test_what_cannot_be_compared(values: list[float]) -> None:
    with pytest.raises(ValueError, match="at least two users"):
        compare_with_baseline(pd.DataFrame({"base": [0.1] * len(values), "other": values}), "base")
