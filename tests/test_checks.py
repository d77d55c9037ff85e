"""Settings that mean nothing are one sentence that names the bounds."""

from typing import Any

import pytest

from recsys.checks import check_count, check_number, check_switch
from recsys.errors import UserError


@pytest.mark.parametrize("value", ["none", "off", "no", "true", 0, 1, None])
def test_a_word_is_no_switch(value: Any) -> None:
    for switch in (True, False):
        check_switch("a.b", switch)
    with pytest.raises(UserError, match=f"^a.b is {value}: it must be true or false.$"):
        check_switch("a.b", value)


@pytest.mark.parametrize("value", [0, 4, 1.0, 2.5, "2", True, None, float("nan")])
def test_counts(value: Any) -> None:
    for count in (1, 3):
        check_count("a.b", count, 1, 3)
    check_count("a.b", None, 1, optional=True)
    with pytest.raises(UserError, match=f"^a.b is {value}: it must be a whole number of at least 1 and at most 3.$"):
        check_count("a.b", value, 1, 3)


@pytest.mark.parametrize("value", [0, 1, -0.5, "a", True, float("nan"), float("inf")])
def test_numbers(value: Any) -> None:
    check_number("a.b", 0, 0, 1)
    check_number("a.b", 1, 0, 1)
    bounds = {"above": True, "below": True, "optional": True}
    check_number("a.b", 0.5, 0, 1, **bounds)
    check_number("a.b", None, 0, 1, **bounds)
    with pytest.raises(UserError, match=f"^a.b is {value}: it must be a number above 0 and below 1, or null.$"):
        check_number("a.b", value, 0, 1, **bounds)


def test_large_bounds_are_written_out() -> None:
    with pytest.raises(UserError, match="of at least 0 and at most 4294967295"):
        check_count("seed", -1, 0, 2**32 - 1)
    with pytest.raises(UserError, match=r"is None: it must be a number of at least 0\.005 and at most 1"):
        check_number("half_life", None, 0.005, 1)
