"""Reads one answer of the API: the rows of a page, or what is wrong with it. `client` asks, `saved` reads files."""

import json
import re
from collections.abc import Sequence
from typing import Any

from recsys.errors import UserError
from recsys.sources.platform.api import ENDPOINTS, Endpoint
from recsys.surrogates import writable

Row = dict[str, Any]

_HALF = re.compile(rb"\\u[dD][89a-fA-F]|\xed[\xa0-\xbf]")  # one of two surrogates, escaped or in bytes


class AnswerError(Exception):
    """An answer without its rows; the next attempt may have them.

    Attributes:
        retry_after: s that the server asks to wait, None where it does not say.
    """

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


def rows_of(body: bytes, endpoint: Endpoint, where: str) -> list[Row]:
    """Rows of an answer of `endpoint`.

    Args:
        body: JSON as the server gave it.
        endpoint: what was asked for.
        where: what the answer is called in messages, such as "/posts/view page 3".

    Raises:
        AnswerError: it is no JSON, states no success, or has no rows.
        UserError: its rows are not those of the endpoint, which no further attempt would mend.
    """
    try:
        answer = json.loads(body)
        if _HALF.search(body):
            answer = json.loads(writable(json.dumps(answer, ensure_ascii=False)))
    except ValueError as error:
        what = "HTML instead of JSON" if body.lstrip()[:1] == b"<" else "JSON that is cut off or damaged"
        raise AnswerError(what) from error
    if not isinstance(answer, dict):
        raise AnswerError("JSON that is no object")
    if answer.get("status", "success") != "success":
        raise AnswerError(f"status {_shown(answer['status'])}, {_shown(answer.get('message'))}")
    rows = answer.get(endpoint.rows)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise AnswerError(f"no list of rows under {endpoint.rows!r}")
    _check_shape(rows, endpoint, where)
    return rows


def shape(rows: Sequence[Row]) -> Endpoint | None:
    """The endpoint whose fields most of the rows have; None where there is none or there are no rows."""
    for endpoint in ENDPOINTS.values():
        if rows and not _lacking(rows, endpoint):
            return endpoint
    return None


def row_key(row: Row) -> int | str:
    """What makes a row the same one: its id, or else all of it."""
    found = row.get("id")
    return found if isinstance(found, int | str) else row_text(row)


def row_text(row: Row) -> str:
    """All of a row, whatever the order of its fields."""
    return repr(sorted(row.items()))


def _check_shape(rows: Sequence[Row], endpoint: Endpoint, where: str) -> None:
    lacking = _lacking(rows, endpoint)
    if not lacking:
        return
    found = shape(rows)
    what = f"{found.name} instead of {endpoint.name}" if found else f"rows that are no {endpoint.name}"
    raise UserError(
        f"{where} gave {what}: they lack {', '.join(lacking)}; a token or a query parameter that the platform expects "
        "may be missing (api.params), or the path is wrong (api.paths)."
    )


def _lacking(rows: Sequence[Row], endpoint: Endpoint) -> list[str]:
    """Fields that more than half of the rows are without; a few such rows are for cleaning to set aside."""
    return [name for name in endpoint.fields if sum(name in row for row in rows) * 2 < len(rows)]


def _shown(value: object) -> str:
    text = " ".join(str(value).split())
    return repr(text if len(text) <= 100 else f"{text[:97]}...")
