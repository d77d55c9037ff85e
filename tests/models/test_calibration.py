import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from recsys.models.calibration import LEAST, fit_calibration


def cross_entropy(logit: np.ndarray, label: np.ndarray, scale: float, shift: float) -> float:
    z = scale * logit + shift
    return float(np.mean(np.logaddexp(0, z) - label * z))


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 10_000), scale=st.floats(0.2, 5), shift=st.floats(-3, 3))
def test_no_other_scale_and_shift_fit_better(seed: int, scale: float, shift: float) -> None:
    rng = np.random.default_rng(seed)
    logit = rng.normal(rng.normal() * 3, 0.5 + rng.random() * 3, 400)
    label = (rng.random(400) < expit(scale * logit + shift)) * rng.choice([0.5, 1.0], 400)
    label[:2] = 0, 1
    a, b = fit_calibration(logit, label)
    assert a > 0
    moved = (label * 400 + 0.5) / 401
    least = cross_entropy(logit, moved, a, b)
    for factor in (0.95, 1.05):
        if factor > 1 or a * logit.std() > 1.001 * LEAST:
            assert cross_entropy(logit, moved, a * factor, b) >= least - 1e-6
        assert cross_entropy(logit, moved, a, b + factor - 1) >= least - 1e-6


def test_a_calibration_is_found_again() -> None:
    logit = np.random.default_rng(0).normal(2, 3, 200_000)
    assert fit_calibration(logit, expit(0.5 * logit - 1)) == pytest.approx((0.5, -1), abs=0.01)


def test_pairs_that_are_told_apart_without_error_have_a_finite_scale() -> None:
    a, b = fit_calibration(np.array([-2.0, -1.0, 1.0, 2.0]), np.array([0.0, 0.0, 1.0, 1.0]))
    assert 0 < a < 100
    assert b == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize(
    ("logit", "label"), [([], []), ([1.0, 2.0], [1.0, 1.0]), ([3.0, 3.0], [0.0, 1.0])], ids=["none", "label", "logit"]
)
def test_where_nothing_varies_nothing_is_changed(logit: list[float], label: list[float]) -> None:
    assert fit_calibration(np.array(logit), np.array(label)) == (1.0, 0.0)


@pytest.mark.parametrize("slope", [-0.01, -0.5, -5.0])
def test_no_order_is_lost_where_positives_lie_no_higher(slope: float) -> None:
    logit = np.random.default_rng(0).normal(3, 0.7, 4000)
    a, b = fit_calibration(logit, expit(slope * (logit - 3) - 1))
    calibrated = logit.astype(np.float32) * np.float32(a) + np.float32(b)
    assert len(np.unique(calibrated)) > 3900
    assert expit(calibrated).std() < 0.01
