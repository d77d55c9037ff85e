"""Weights, recency, strength and labels by hand."""

import math

import numpy as np
import pytest

from recsys.data.strength import TypeWeight, event_weights, recency, strength, type_weights
from recsys.errors import UserError

NAN = math.nan


def test_recency_and_strength_by_hand() -> None:
    """A log that begins at 100, seen from 300: weights 1, 3 and 4."""
    time = np.array([100, 150, 250, 300, 350, 50])
    late = recency(time, first=100, t=300)
    assert late.tolist() == [0, 0.25, 0.75, 1, 1, 0]  # clipped outside [100, 300]
    weight = np.array([1, 3, 4, 1, 3, 4], dtype=np.float32)
    assert strength(weight, late).tolist() == [1, 3 * 1.25, 4 * 1.75, 2, 6, 4]


def test_recency_is_relative_to_the_time_of_asking() -> None:
    assert recency(np.array([150]), first=100, t=150).tolist() == [1]
    assert recency(np.array([150]), first=100, t=200).tolist() == [0.5]
    assert recency(np.array([150]), first=100, t=600).tolist() == [np.float32(0.1)]


def test_recency_is_one_where_the_span_is_zero() -> None:
    assert recency(np.array([100, 100]), first=100, t=100).tolist() == [1, 1]


def test_recency_keeps_nanoseconds_apart() -> None:
    start = 1_700_000_000_000_000_000
    assert recency(start + np.array([0, 1, 2, 4]), first=start, t=start + 4).tolist() == [0, 0.25, 0.5, 1]


def test_weights_of_the_report() -> None:
    weights = type_weights(("inspire", "like", "purchase", "rating", "view"), None)
    assert weights == (TypeWeight(4), TypeWeight(3), TypeWeight(1), TypeWeight(1, by_value=True), TypeWeight(1))


def test_weights_of_the_user() -> None:
    given = {"like": 5, "view": {"weight": 2, "by_value": True}, "buy": "value", "rating": {"weight": 0.5}}
    weights = type_weights(("buy", "like", "rating", "view"), given)
    assert weights == (TypeWeight(1, True), TypeWeight(5), TypeWeight(0.5), TypeWeight(2, True))


def test_types_that_are_codes_are_named_by_words_or_numbers() -> None:
    for given in ({0: 2, 1.0: "value"}, {"0": 2, "1": "value"}):
        assert type_weights(("0", "1", "10"), given) == (TypeWeight(2), TypeWeight(1, True), TypeWeight(1))
    with pytest.raises(UserError, match=r"event type 2, .*only 0, 1"):
        type_weights(("0", "1"), {2: 1})


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"veiw": 1}, "event type veiw.*only like, view"),
        ({"view": -1}, "weight of view is -1"),
        ({"view": NAN}, "weight of view is nan"),
        ({"view": math.inf}, "weight of view is inf"),
        ({"view": True}, "weight of view is True"),
        ({"view": "much"}, "weight of view is 'much'"),
        ({"view": None}, "weight of view is None"),
        ({"view": {"wieght": 1}}, "unknown entry wieght"),
        ({"view": {"by_value": "none"}}, r"data\.weights\.view\.by_value is none: it must be true or false"),
        ({"view": 0, "like": 0}, "All weights.* are 0"),
    ],
)
def test_bad_weights(given: dict[str, object], says: str) -> None:
    with pytest.raises(UserError, match=says):
        type_weights(("like", "view"), given)


def test_weight_by_value_by_hand() -> None:
    """Ratings 1..5 before validation and 0, 6 after it; a rating without a value counts as their mean, 3."""
    value = np.array([1, NAN, 5, 2, 4, NAN, 0, 6, 4], dtype=np.float32)
    type_ = np.array([0, 1, 0, 0, 0, 0, 0, 0, 0])
    weight = event_weights(type_, value, 6, ("rating", "view"), (TypeWeight(2, True), TypeWeight(1)))
    assert weight.tolist() == [0, 1, 2, 0.5, 1.5, 1, 0, 2, 1.5]
    assert weight.dtype == np.float32


def test_equal_values_weigh_fully() -> None:
    weight = event_weights(np.zeros(3, dtype=int), np.array([7, 7, 3]), 2, ("rating",), (TypeWeight(2, True),))
    assert weight.tolist() == [2, 2, 2]


def test_a_type_by_value_needs_values_before_validation() -> None:
    with pytest.raises(UserError, match=r"data\.weights\.rating"):
        event_weights(np.zeros(3, dtype=int), np.array([NAN, NAN, 3]), 2, ("rating",), (TypeWeight(1, True),))
