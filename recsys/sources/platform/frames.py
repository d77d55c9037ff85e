"""Rows of pages as data frames, and what was odd about them; `posts` and `tables` make the project's tables."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd

from recsys.sources.base import READ_AT, Note, Outcome
from recsys.sources.platform.answers import Row
from recsys.sources.platform.pages import Page
from recsys.sources.platform.versions import runs


class Notes:
    """Counts for the cleaning report, under the name of the endpoint."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, Outcome, str]] = Counter()

    def add(self, endpoint: str, outcome: Outcome, reason: str, rows: int) -> None:
        """Add `rows` to a line; there is no line without rows."""
        if rows:
            self._counts[(f"platform {endpoint}", outcome, reason)] += int(rows)

    def all(self) -> tuple[Note, ...]:
        """All lines, in the order in which they came up."""
        return tuple((*key, rows) for key, rows in self._counts.items())


def rows_of_pages(pages: Sequence[Page]) -> pd.DataFrame:
    """Rows of all pages as they are, with `read_at` (ns) of their page."""
    rows: list[Row] = [row for page in pages for row in page.rows]
    frame = pd.DataFrame(rows, dtype=object)
    frame["id"] = _plain_values(frame["id"]) if "id" in frame else None
    frame[READ_AT] = np.repeat(
        np.array([page.read_at for page in pages], dtype=np.int64), [len(page.rows) for page in pages]
    )
    return frame


def plain(frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """The columns, missing ones included, with None for everything nested: a missing object is given as []."""
    plain = frame.reindex(columns=[*columns, READ_AT])
    for column in columns:
        plain[column] = _plain_values(plain[column])
    return plain


def last_of_each(frame: pd.DataFrame) -> pd.DataFrame:
    """The newest row of each id, and all rows without an id, for cleaning to set aside."""
    older = frame.duplicated("id", keep="last") & frame["id"].notna()
    return frame[~older].reset_index(drop=True)


def numbers(frame: pd.DataFrame, name: str) -> np.ndarray:
    """A column as float64, NaN for everything that is no number; true is 1."""
    values = plain(frame, [name])[name]
    return pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)


def changes_of(frame: pd.DataFrame, key: str, names: Sequence[str]) -> pd.DataFrame:
    """What changed in the totals from one reading to the next: id, `read_at` (ns) and the totals that are given."""
    given = [name for name in names if name in frame]
    table = pd.DataFrame({key: plain(frame, ["id"])["id"], READ_AT: frame[READ_AT]})
    for name in given:
        table[name] = numbers(frame, name)
    table = runs(table[table[key].notna()], key, given)[[key, READ_AT, *given]]
    return table.sort_values(READ_AT, kind="stable", ignore_index=True)


def _plain_values(column: pd.Series) -> pd.Series:
    nested = column.map(lambda value: isinstance(value, list | dict)).to_numpy(dtype=bool)
    return column.astype(object).where(~nested & column.notna(), None)
