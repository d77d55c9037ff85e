"""Reads a folder of saved answers, one a file, `.json` or `.json.gz`; `pages` reads what was downloaded here."""

import gzip
import json
import re
import time
import zlib
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from recsys.errors import UserError
from recsys.sources.platform.answers import AnswerError, Row, rows_of, shape
from recsys.sources.platform.api import ENDPOINTS, Endpoint
from recsys.sources.platform.pages import Page


def read_saved(folder: Path, read_at: int | None) -> list[Page]:
    """All answers of a folder, ordered by name (page2 before page10).

    A file's name tells what was asked for, by a word such as `view`, `rating`, `summary` or `users`; if it has none of
    them, the rows tell.

    Args:
        folder: where the files are.
        read_at: when they were read from the platform, ns. If None, the latest time that any row states: the totals
            were read after everything that they count.

    Raises:
        UserError: there is no such folder or file, or one holds something else.
    """
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}: give one with saved answers as data.raw=DIR.")
    files = sorted(
        (path for path in folder.iterdir() if path.name.lower().endswith((".json", ".json.gz"))),
        key=lambda path: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.name)],
    )
    if not files:
        raise UserError(f"{folder} has no saved answers (.json or .json.gz): give the folder that holds them.")
    answers = [_read(path) for path in files]
    if read_at is None:
        read_at = max((_latest(endpoint, rows) for endpoint, rows in answers), default=0)
    return [Page(endpoint.name, rows, read_at) for endpoint, rows in answers if rows]


def _read(path: Path) -> tuple[Endpoint, list[Row]]:
    try:
        content = path.read_bytes()
        body = gzip.decompress(content) if path.name.lower().endswith(".gz") else content
        endpoint = _asked(path) or _told_by_rows(body)
        if endpoint is None:
            raise UserError(f"{path} holds no rows of {', '.join(ENDPOINTS)}: take it out of the folder.")
        return endpoint, rows_of(body, endpoint, str(path))
    except (OSError, EOFError, zlib.error, AnswerError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path} cannot be used ({reason}): save this answer again or take it out.") from error


def _asked(path: Path) -> Endpoint | None:
    """The endpoint that a file's name speaks of."""
    words = set(re.findall(r"[a-z]+", path.name.lower()))
    found = [endpoint for endpoint in ENDPOINTS.values() if words.intersection(endpoint.words)]
    return found[0] if len(found) == 1 else None


def _told_by_rows(body: bytes) -> Endpoint | None:
    try:
        answer = json.loads(body)
    except ValueError:
        raise AnswerError("JSON that is cut off or damaged") from None
    lists = [value for value in answer.values() if isinstance(value, list)] if isinstance(answer, dict) else []
    rows: Sequence[Row] = next((rows for rows in lists if rows and all(isinstance(row, dict) for row in rows)), [])
    return shape(rows)


def _latest(endpoint: Endpoint, rows: Sequence[Row]) -> int:
    """Latest time of the rows that is not in the future, ns; 0 for none."""
    now = time.time_ns()
    # Every ISO form is read: to miss a late time written otherwise would show totals before they were read.
    if endpoint.event:
        stated = pd.to_datetime(
            pd.Series([str(row.get(endpoint.time)) for row in rows]), format="ISO8601", errors="coerce", utc=True
        )
    elif endpoint.name == "posts":
        milliseconds = pd.to_numeric(pd.Series([row.get("created_at") for row in rows], dtype=object), errors="coerce")
        stated = pd.to_datetime(milliseconds, unit="ms", errors="coerce", utc=True)
    else:
        stated = pd.to_datetime(
            pd.Series([row.get("last_login") for row in rows]), format="ISO8601", errors="coerce", utc=True
        )
    past = stated[stated <= pd.Timestamp(now, tz="UTC")]
    return int(past.max().value) if len(past) else 0
