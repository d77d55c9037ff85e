"""Reads the times of any column as ns since 1970 UTC; `cleaning` decides what happens to the rows without one."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from recsys.data.event_log import NEVER
from recsys.errors import UserError

# Unit -> (least plausible value, first value too large, ns per unit). The ranges start in 1973, reach to 2286 or
# further and do not touch, so that a number can be read in one way only.
_UNITS = {
    "seconds": (10**8, 10**10, 1_000_000_000),
    "milliseconds": (10**11, 10**13, 1_000_000),
    "microseconds": (10**14, 10**16, 1_000),
    "nanoseconds": (10**17, 9 * 10**18, 1),
}
# Earlier than any event (1973-03-03, ns): what is written in place of a missing time, such as 0 or 1970-01-01, is less.
EARLIEST_EVENT = 10**8 * 1_000_000_000
_FORMS = (
    "unix seconds, milliseconds, microseconds or nanoseconds (from 1973 on) or like 2024-01-31 or 2024-01-31 18:30:00"
)


@dataclass(frozen=True)
class Times:
    """Times of one column.

    Attributes:
        ns: ns since 1970 UTC, NEVER where there is none, int64, [n].
        missing: rows without a value, bool, [n].
        bad: rows with a value that is no time, bool, [n].
        form: how the times were written, such as "unix seconds"; empty where there are none.
    """

    ns: np.ndarray
    missing: np.ndarray
    bad: np.ndarray
    form: str

    @property
    def known(self) -> np.ndarray:
        """Rows that have a time, bool, [n]."""
        return np.asarray(~(self.missing | self.bad))


def read_times(column: pd.Series, where: str) -> Times:
    """Times in any of the usual forms, as ns UTC.

    Numbers (or texts of digits) are unix times whose unit is told by their size; texts are ISO dates or times, UTC
    where they name no zone or end in " UTC"; pandas and Python dates and times are taken as they are.

    Args:
        column: the values, [n].
        where: what the column is called in messages, such as "timestamp of interactions".

    Raises:
        UserError: more than half of the values are no times, or the numbers are of different units.
    """
    missing = column.isna().to_numpy(dtype=bool)
    if isinstance(column.dtype, pd.DatetimeTZDtype) or column.dtype.kind == "M":
        ns, form = _from_datetimes(column), "dates and times"
    elif column.dtype.kind in "iuf":
        ns, form = _from_numbers(column, ~missing, where)
    elif column.dtype.kind == "b":
        ns, form = np.full(len(column), NEVER), ""
    else:
        text = column.astype(object).where(~missing, "").astype(str).str.strip()
        missing = missing | (text == "").to_numpy(dtype=bool)
        ns, form = _from_texts(text, ~missing, where)
    bad = (ns == NEVER) & ~missing
    if bad.sum() * 2 > (~missing).sum():
        raise UserError(f"The {where} has values that are no times, such as {column[bad].iloc[0]}: give {_FORMS}.")
    return Times(np.where(missing, NEVER, ns).astype(np.int64), missing, bad, form)


def read_time(value: object, where: str) -> int:
    """One time in any of the forms of `read_times`, as ns UTC; raises `UserError` where it is none."""
    times = read_times(pd.Series([value], dtype=object), where)
    if not times.known[0]:
        raise UserError(f"The {where} is missing: give {_FORMS}.")
    return int(times.ns[0])


def _from_datetimes(column: pd.Series) -> np.ndarray:
    """Times as ns; those that 64 bits cannot hold are the last one that fits (after 2262) or none (before 1678)."""
    utc = column.dt.tz_localize("UTC") if column.dt.tz is None else column.dt.tz_convert("UTC")
    last = pd.Timestamp(NEVER - 1, tz="UTC")
    fits = utc > pd.Timestamp.min.tz_localize("UTC")
    late = fits & (utc > last)
    ns = utc.where(fits & ~late).dt.as_unit("ns").dt.tz_localize(None).to_numpy(dtype="datetime64[ns]")
    return np.where(late, NEVER - 1, np.where(np.isnat(ns), NEVER, ns.astype(np.int64)))


def _from_numbers(column: pd.Series, present: np.ndarray, where: str) -> tuple[np.ndarray, str]:
    numbers = column.to_numpy(dtype=np.float64, na_value=np.nan) if column.hasnans else column.to_numpy()
    ns = np.full(len(numbers), NEVER, dtype=np.int64)
    found = []
    for unit, (least, first_above, factor) in _UNITS.items():
        inside = present & (numbers >= least) & (numbers < first_above)
        if not inside.any():
            continue
        found.append(unit)
        whole = numbers[inside].astype(np.int64)
        # Whole units stay exact in integers, where a float of ns would round.
        ns[inside] = whole * factor + np.round((numbers[inside] - whole) * factor).astype(np.int64)
    if len(found) > 1:
        raise UserError(
            f"The {where} mixes unix {' and '.join(found)}: convert the column to one unit before reading it."
        )
    return ns, f"unix {found[0]}" if found else ""


def _from_texts(text: pd.Series, present: np.ndarray, where: str) -> tuple[np.ndarray, str]:
    """Texts of whole numbers are read as integers, so that one odd value does not round all others to floats."""
    whole = text.str.fullmatch(r"[+-]?\d{1,18}|[+-]?[0-8]\d{18}").to_numpy(dtype=bool)
    decimal = ~whole & text.str.fullmatch(r"[+-]?\d+\.\d*([eE][+-]?\d+)?|[+-]?\d+[eE][+-]?\d+").to_numpy(dtype=bool)
    numbers = np.full(len(text), NEVER, dtype=np.int64)
    forms = set()
    for rows, dtype in ((whole, np.int64), (decimal, np.float64)):
        if rows.any():
            numbers[rows], form = _from_numbers(text[rows].astype(dtype), np.ones(rows.sum(), dtype=bool), where)
            forms.add(form)
    if len(forms - {""}) > 1:
        raise UserError(f"The {where} mixes {' and '.join(sorted(forms))}: convert the column to one unit.")
    # Left to itself, pandas also reads words such as "today".
    rest = present & text.str.match(r"\d{4}-\d{2}").to_numpy(dtype=bool)
    if rest.any():
        iso = text[rest].str.removesuffix(" UTC").to_numpy(dtype=object)
        parsed = pd.Series(pd.to_datetime(iso, format="ISO8601", utc=True, errors="coerce"))
        numbers[rest] = _from_datetimes(parsed)
        forms.add("ISO dates and times" if (numbers[rest] != NEVER).any() else "")
    return numbers, " and ".join(sorted(forms - {""}))
