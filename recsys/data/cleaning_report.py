"""What cleaning did with every row: counts by reason, and the rows set aside; `cleaning` and `preparation` fill it."""

import logging
from dataclasses import dataclass

import numpy as np
import pandas as pd

from recsys.sources.base import Outcome

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CleaningReport:
    """Counts of rows by what happened to them and why.

    For each table, rows read = used + merged + set aside. The outcomes "kept" and "made missing" are remarks
    on rows that were used; one row can have several.

    Attributes:
        lines: (table, outcome, reason, rows) in the order in which they came up.
    """

    lines: tuple[tuple[str, Outcome, str, int], ...]

    def to_frame(self) -> pd.DataFrame:
        """One row a line, with the columns table, outcome, reason, rows."""
        return pd.DataFrame(self.lines, columns=["table", "outcome", "reason", "rows"])

    def rows(self, table: str, outcome: Outcome, reason: str | None = None) -> int:
        """Number of rows of `table` with this outcome, for one reason or for all."""
        return sum(n for t, o, r, n in self.lines if (t, o) == (table, outcome) and reason in (None, r))

    def log(self) -> None:
        """Write the counts to the log as a small table."""
        frame = self.to_frame()
        frame["rows"] = [f"{rows:,}" for rows in frame["rows"]]
        logger.info("cleaning:\n%s", frame.to_string(index=False, justify="left"))


class Findings:
    """Collects what cleaning finds, for a `CleaningReport` and a quarantine."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, Outcome, str], int] = {}
        self._aside: list[pd.DataFrame] = []

    def count(self, table: str, outcome: Outcome, reason: str, rows: int) -> None:
        """Add `rows` to a line; a line without rows is left out, except for "read" and "used"."""
        if rows or outcome in ("read", "used"):
            key = (table, outcome, reason)
            self._counts[key] = self._counts.get(key, 0) + int(rows)

    def set_aside(self, table: str, frame: pd.DataFrame, rows: np.ndarray, reason: str) -> None:
        """Count rows that cannot be used and keep them as they came.

        Args:
            table: name of the table.
            frame: the table as the source gave it.
            rows: positions of the rows in `frame`, int64, [n].
            reason: why they cannot be used.
        """
        self.count(table, "set aside", reason, len(rows))
        if len(rows):
            lines = frame.iloc[rows].to_json(orient="records", lines=True, date_format="iso", default_handler=str)
            aside = {"table": table, "reason": reason, "row_number": rows, "row": lines.rstrip("\n").split("\n")}
            self._aside.append(pd.DataFrame(aside))

    def report(self) -> CleaningReport:
        """The counts so far."""
        return CleaningReport(tuple((*key, rows) for key, rows in self._counts.items()))

    def quarantine(self) -> pd.DataFrame:
        """The rows set aside so far: table, reason, row_number (position in its table, from 0), row (JSON text)."""
        empty = pd.DataFrame({"table": [], "reason": [], "row_number": np.empty(0, dtype=np.int64), "row": []})
        frames = self._aside or [empty]
        return pd.concat(frames, ignore_index=True).astype({"table": str, "reason": str, "row": str})
