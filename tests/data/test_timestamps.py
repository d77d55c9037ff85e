"""Times of every form become ns UTC, in one way only."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.data.event_log import NEVER
from recsys.data.timestamps import read_time, read_times
from recsys.errors import UserError

WHERE = "timestamp of interactions"
SECOND = 1_000_000_000
T = 1_649_346_288  # 2022-04-07 15:44:48 UTC


@pytest.mark.parametrize(
    ("values", "ns", "form"),
    [
        ([T, T + 1], [T * SECOND, (T + 1) * SECOND], "unix seconds"),
        ([T + 0.5, float(T)], [T * SECOND + SECOND // 2, T * SECOND], "unix seconds"),
        ([T * 1000 + 123], [T * SECOND + 123_000_000], "unix milliseconds"),
        ([T * 10**6 + 123_456], [T * SECOND + 123_456_000], "unix microseconds"),
        ([T * SECOND + 123_456_789], [T * SECOND + 123_456_789], "unix nanoseconds"),
        ([str(T), f"{T}.25"], [T * SECOND, T * SECOND + SECOND // 4], "unix seconds"),
        ([str(T * SECOND + 1), "x", str(T * SECOND + 3)], [T * SECOND + 1, NEVER, T * SECOND + 3], "unix nanoseconds"),
        (["2022-04-07 15:44:48"], [T * SECOND], "ISO dates and times"),
        (["2022-04-07T17:44:48+02:00"], [T * SECOND], "ISO dates and times"),
        (
            ["2022-04-07T15:44:48.25Z", " 1970-01-02 "],
            [T * SECOND + SECOND // 4, 86_400 * SECOND],
            "ISO dates and times",
        ),
        (
            ["2022-04-07 15:44:48 UTC", "2022-04-07 15:44:48.25 UTC"],
            [T * SECOND, T * SECOND + SECOND // 4],
            "ISO dates and times",
        ),
        (["2022-04-07 UTC"], [pd.Timestamp("2022-04-07").value], "ISO dates and times"),
        ([dt.date(1970, 1, 2)], [86_400 * SECOND], "ISO dates and times"),
        (pd.to_datetime(["2022-04-07 15:44:48"]), [T * SECOND], "dates and times"),
        (pd.to_datetime(["2022-04-07 17:44:48"]).tz_localize("Europe/Berlin"), [T * SECOND], "dates and times"),
    ],
)
def test_forms(values: list[object], ns: list[int], form: str) -> None:
    times = read_times(pd.Series(values), WHERE)
    assert times.ns.tolist() == ns
    assert times.form == form


def test_missing_and_bad_values_are_told_apart() -> None:
    times = read_times(pd.Series(["2024-01-31", None, "", "2024-02-30", "2024-01-01"]), WHERE)
    assert times.missing.tolist() == [False, True, True, False, False]
    assert times.bad.tolist() == [False, False, False, True, False]
    assert times.known.tolist() == [True, False, False, False, True]
    assert (times.ns[~times.known] == NEVER).all()


@given(
    ns=st.integers(300_000_000 * SECOND, 4_000_000_000 * SECOND),
    unit=st.sampled_from([SECOND, 10**6, 10**3, 1]),
    text=st.booleans(),
)
@settings(deadline=None, max_examples=50)
def test_no_unit_is_taken_for_another(ns: int, unit: int, text: bool) -> None:
    """Whatever the unit, a time of the last decades comes back exactly, so never as one of 1970."""
    number = ns // unit
    times = read_times(pd.Series([str(number) if text else number]), WHERE)
    assert times.ns.tolist() == [number * unit]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ([T, T * 1000], "mixes unix seconds and milliseconds"),
        ([str(T), f"{T * 1000}.5"], "mixes unix milliseconds and unix seconds"),
        ([0, 5, T], "such as 0: give"),
        ([20240131], "such as 20240131: give"),
        (["yesterday", "today", "2024-01-01"], "such as yesterday: give"),
        (["01/02/2024"], "such as 01/02/2024: give"),
        ([True], "such as True: give"),
    ],
)
def test_columns_that_cannot_be_times(values: list[object], says: str) -> None:
    with pytest.raises(UserError, match=says) as error:
        read_times(pd.Series(values), WHERE)
    assert str(error.value).startswith(f"The {WHERE}")


def test_missing_values_do_not_count_as_times() -> None:
    with pytest.raises(UserError, match="such as soon"):
        read_times(pd.Series(["soon", None, None, "2024-01-01", "later"]), WHERE)


@pytest.mark.parametrize("as_text", [False, True])
def test_years_out_of_range_are_not_wrapped_around(as_text: bool) -> None:
    """Long ago is bad; far ahead is the last time that fits, so that it counts as the future."""
    texts = ["0001-01-01", "2024-01-01", "9999-12-31"]
    times = read_times(pd.Series(texts if as_text else np.array(texts, dtype="datetime64[s]")), WHERE)
    assert times.bad.tolist() == [True, False, False]
    assert times.ns[2] == NEVER - 1


def test_one_time() -> None:
    assert read_time("2022-04-07 15:44:48", "boundaries") == read_time(T, "boundaries") == T * SECOND
    with pytest.raises(UserError, match="boundaries"):
        read_time("soon", "boundaries")
    with pytest.raises(UserError, match="boundaries is missing"):
        read_time(None, "boundaries")
