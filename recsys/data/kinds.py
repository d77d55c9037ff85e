"""What kind of feature a column holds, and its values in the one form that kind has; `features` encodes them."""

import re
from collections.abc import Mapping
from typing import get_args

import numpy as np
import pandas as pd

from recsys.data.event_log import NEVER
from recsys.data.plain_values import as_words, read_numbers
from recsys.data.timestamps import read_times
from recsys.errors import UserError
from recsys.sources.base import Kind

SEPARATOR = "|"  # between the items of a list written as text
_MOST = 0.95  # share of the values that must fit a kind for it to be inferred
_TIME_NAME = re.compile(r"(^|_)(time|date|datetime|timestamp|dt|ts|at|on|day)$", re.IGNORECASE)
_ID_NAME = re.compile(r"(^|_)ids?$", re.IGNORECASE)
_DATE = r"\d{4}-\d{2}(-\d{2})?([T ].*)?"


def check_kinds(kinds: Mapping[str, str], table: str, columns: list[str]) -> None:
    """Check the kinds that a user fixed for a table; raises `UserError` for an unknown column or kind."""
    for column, kind in kinds.items():
        if column not in columns:
            raise UserError(
                f"The kinds name {column}, but {table} has only the feature columns {', '.join(columns) or '(none)'}."
            )
        if kind not in get_args(Kind):
            raise UserError(f"The kind of {column} in {table} is {kind}: choose one of {', '.join(get_args(Kind))}.")


def infer_kind(column: pd.Series) -> Kind | None:
    """Kind of a column, from the values that it had before validation begins; None for one that holds no feature.

    Lists (also as text with `|` between items) are lists, dates are times, numbers numbers, and so are texts
    that can be read as such. Truth values, and texts of which most occur more than once, are categories. Other texts
    with blanks inside are texts, without them they are taken for identifiers and are no feature. Numbers are times only
    where the column is named like one (`created_at`, `upload_dt`, `date`), and read like texts where it is named like
    ids (`music_id`).
    """
    values = column.dropna()
    if values.empty:
        return None
    what = pd.api.types.infer_dtype(values)
    if what in ("boolean", "date", "datetime", "datetime64"):
        return "category" if what == "boolean" else "time"
    if values.dtype == object and _share(values.map(_is_list)) > 0.5:
        return "list"
    return _kind_of_plain(str(column.name), values)


def read_attribute(column: pd.Series, kind: Kind, where: str) -> tuple[pd.Series, int]:
    """Values in the form of their kind, and how many values did not fit it and are missing now.

    Args:
        column: the values, [n].
        kind: number (float64, NaN for missing and beyond float32), category or text (str, None for missing), list (list
            of str, empty for missing) or time (ns, int64, NEVER for missing).
        where: what the column is called in messages.
    """
    if kind == "number":
        numbers = read_numbers(column)
        # The bound that values of events have: the deviation of larger ones is infinite.
        unfit = ~(np.abs(numbers) <= np.finfo(np.float32).max) & column.notna().to_numpy(dtype=bool)
        return pd.Series(np.where(unfit, np.nan, numbers)), int(unfit.sum())
    if kind == "time":
        times = read_times(column, where)
        return pd.Series(times.ns), int(times.bad.sum())
    if kind == "list":
        return pd.Series(word_lists(column, where), dtype=object), 0
    return pd.Series(as_words(column, where), dtype=object), 0


def missing_value(kind: Kind) -> object:
    """What stands for a missing value of a kind; for lists it is an empty one each."""
    return {"number": np.nan, "category": None, "text": None, "time": NEVER}[kind]


def word_lists(column: pd.Series, where: str) -> list[list[str]]:
    """Each value as a list of words: a list of its items, a text split at `|`, a missing value the empty list; [n]."""
    rows, words = exploded_words(column, where)
    ends = np.cumsum(np.bincount(rows, minlength=len(column)))
    flat = words.tolist()
    return [flat[start:end] for start, end in zip(np.r_[0, ends[:-1]], ends, strict=True)] if len(column) else []


def exploded_words(column: pd.Series, where: str) -> tuple[np.ndarray, np.ndarray]:
    """All words of a column of lists: (row, word), ordered by row; int64 [m] and str objects [m]."""
    values = column.reset_index(drop=True).astype(object)
    text = values.map(lambda value: isinstance(value, str)).to_numpy(dtype=bool)
    values[text] = values[text].astype(str).str.split(SEPARATOR, regex=False)
    items = values.explode()
    words = as_words(items, where)
    given = ~pd.isna(words)
    return items.index.to_numpy(dtype=np.int64)[given], words[given]


def _kind_of_plain(name: str, values: pd.Series) -> Kind | None:
    """Kind of numbers and texts."""
    text = values.astype(object).astype(str).str.strip()
    numbers = read_numbers(values)
    codes = values.dtype.kind not in "iuf" and text.str.fullmatch(r"0\d+").any()
    if _share(~np.isnan(numbers)) >= _MOST and not codes and not _ID_NAME.search(name):
        return "time" if _TIME_NAME.search(name) and _all_times(values, name) else "number"
    if _share(text.str.fullmatch(_DATE)) >= _MOST and _all_times(text, name):
        return "time"
    if _share(text.str.contains(SEPARATOR, regex=False)) >= 0.1:
        return "list"
    if text.nunique() * 2 <= len(text):
        return "category"
    return "text" if _share(text.str.contains(r"\S\s+\S")) >= 0.5 else None


def _all_times(values: pd.Series, name: str) -> bool:
    try:
        return bool(_share(read_times(values, name).known) >= _MOST)
    except UserError:
        return False


def _share(flags: pd.Series | np.ndarray) -> float:
    return float(np.mean(np.asarray(flags, dtype=bool)))


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple | set | np.ndarray)
