"""Row by row: which rows of the tables can be used, with ids, times, values and words in one form.

`schema` has checked the columns before; `preparation` orders, numbers and weights what is left.
"""

import logging
from dataclasses import dataclass

import numpy as np
import pandas as pd

from recsys.data.cleaning_report import Findings
from recsys.data.event_log import NEVER
from recsys.data.ids import Ids, read_ids, unite
from recsys.data.plain_values import as_words, read_numbers, word_codes
from recsys.data.readings import Readings
from recsys.data.timestamps import EARLIEST_EVENT, Times, read_times
from recsys.errors import UserError
from recsys.sources.base import (
    CATEGORY,
    CONTENT,
    CREATED,
    CREATOR,
    READ_AT,
    TAG,
    TAG_KIND,
    TIME,
    TYPE,
    USER,
    VALUE,
    Tables,
)

logger = logging.getLogger(__name__)

DEFAULT_TYPE = "interaction"  # the type of all events where the table has no column for it


@dataclass(frozen=True)
class Entities:
    """Users or contents: their ids and the usable rows of their table.

    Attributes:
        name: name of the table, "users" or "contents".
        ids: all ids of the tables and events, ascending, int64 or object array of str, [m].
        table: usable rows, one an id, with `created_at` in ns (int64, NEVER for none) and the other columns as they
            came; without rows where the source has no such table.
        codes: place in `ids` of each row of `table`, int64, [n].
    """

    name: str
    ids: np.ndarray
    table: pd.DataFrame
    codes: np.ndarray


@dataclass(frozen=True)
class CleanTables:
    """Usable rows, in the order they came.

    Attributes:
        events: int64 columns user and content (places in the ids of `users` and `contents`), type (place in `types`),
            timestamp (ns) and row (position in the source's table); value is float64, NaN for none.
        types: names of the event types, ascending.
        users: the users.
        contents: the contents; their column `category` is text or None.
        creators: creator of each row of `contents.table`.
        content_tags: content (place in the ids of `contents`), tag (str), kind ("tag" or "mood") and row; without the
            contents' own tags and moods.
        user_readings, content_readings: rows in the order of reading, whose nodes are still places in the ids of
            `users` and `contents`.
    """

    events: pd.DataFrame
    types: tuple[str, ...]
    users: Entities
    contents: Entities
    creators: Ids
    content_tags: pd.DataFrame
    user_readings: Readings
    content_readings: Readings


def clean_tables(tables: Tables, now: int, findings: Findings) -> CleanTables:
    """Usable rows of `tables`; what cannot be used is set aside in `findings` with its reason.

    Args:
        tables: tables that passed `check_tables`.
        now: times later than this (ns) cannot be true.
        findings: collects the counts and the rows set aside.

    Raises:
        UserError: a column cannot be read at all, or no event is usable.
    """
    users, contents, tags = (_or_empty(t) for t in (tables.users, tables.contents, tables.content_tags))
    of_users, of_contents = (_or_empty(tables.readings.get(name)) for name in ("users", "contents"))
    event_users, user_ids, read_users = unite(
        [
            _ids(tables.interactions, "interactions", USER),
            _ids(users, "users", USER),
            _ids(of_users, "readings of users", USER),
        ]
    )
    event_contents, content_ids, tagged, read_contents = unite(
        [
            _ids(tables.interactions, "interactions", CONTENT),
            _ids(contents, "contents", CONTENT),
            _ids(tags, "content_tags", CONTENT),
            _ids(of_contents, "readings of contents", CONTENT),
        ]
    )
    events, types = _clean_events(tables.interactions, event_users, event_contents, now, findings)
    clean_users = _clean_nodes(users, "users", user_ids, now, findings)
    clean_contents = _clean_nodes(contents, "contents", content_ids, now, findings)
    if CATEGORY in clean_contents.table:
        names = clean_contents.table[CATEGORY].map(_nested_name)
        clean_contents.table[CATEGORY] = pd.Series(as_words(names, "category of contents"), dtype=object)
    return CleanTables(
        events=events,
        types=types,
        users=clean_users,
        contents=clean_contents,
        creators=_ids(clean_contents.table, "contents", CREATOR),
        content_tags=_clean_content_tags(tags, tagged, findings),
        user_readings=_clean_readings(of_users, "readings of users", read_users, now, findings),
        content_readings=_clean_readings(of_contents, "readings of contents", read_contents, now, findings),
    )


def _or_empty(table: pd.DataFrame | None) -> pd.DataFrame:
    return pd.DataFrame() if table is None else table


def _ids(table: pd.DataFrame, name: str, column: str) -> Ids:
    """Ids of a column, all missing where the table has no such column."""
    values = table[column] if column in table else pd.Series([None] * len(table), dtype=object)
    return read_ids(values, f"{column} of {name}")


def _clean_events(
    table: pd.DataFrame, users: Ids, contents: Ids, now: int, findings: Findings
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    findings.count("interactions", "read", "", len(table))
    times = _stated(read_times(table[TIME], "timestamp of interactions"), "timestamp of interactions")
    early, future = times.known & (times.ns < EARLIEST_EVENT), times.known & (times.ns > now)
    if early.any() and (early == times.known).all():
        raise UserError(
            f"All events lie before {pd.Timestamp(EARLIEST_EVENT):%Y-%m-%d}, where times are taken for missing ones: "
            "correct the timestamps."
        )
    if future.any() and (future == times.known).all():
        raise UserError(
            f"All events lie after {pd.Timestamp(now)} UTC: correct the timestamps or this machine's clock."
        )
    value, no_number = _read_values(table)
    if TYPE in table:
        type_codes, types = word_codes(table[TYPE], "type of interactions")
    else:
        type_codes, types = np.zeros(len(table), dtype=np.int64), np.array([DEFAULT_TYPE], dtype=object)
    usable = np.ones(len(table), dtype=bool)
    for wrong, reason in (
        (users.missing, "no user_id"),
        (contents.missing, "no content_id"),
        (times.missing, "no timestamp"),
        (times.bad | early, "timestamp is no time"),
        (future, "timestamp in the future"),
        (type_codes < 0, "no type"),
        (no_number, "value is no number"),
        (np.abs(value) > np.finfo(np.float32).max, "value is infinite"),
    ):
        findings.set_aside("interactions", table, np.flatnonzero(usable & wrong), reason)
        usable &= ~wrong
    if not usable.any():
        raise UserError(
            "No row of the interactions table can be used: each lacks an id, a time, a type or a sound value."
        )
    row = np.flatnonzero(usable)
    events = {
        "user": users.codes[row],
        "content": contents.codes[row],
        "type": type_codes[row],
        "value": value[row],
        "timestamp": times.ns[row],
        "row": row,
    }
    return pd.DataFrame(events), tuple(types)


def _read_values(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Values [n] and the rows [n] whose value is something else than a number."""
    if VALUE not in table:
        return np.full(len(table), np.nan), np.zeros(len(table), dtype=bool)
    value = read_numbers(table[VALUE])
    given = table[VALUE].notna().to_numpy(dtype=bool)
    no_number = given & np.isnan(value)
    if no_number.sum() * 2 > given.sum():
        raise UserError(
            f"The value of interactions must be a number but most are none, such as "
            f"{table[VALUE][no_number].iloc[0]}: map another column with data.columns.value=NAME."
        )
    return value, no_number


def _clean_nodes(table: pd.DataFrame, name: str, ids: Ids, now: int, findings: Findings) -> Entities:
    repeated = pd.Series(ids.codes).duplicated().to_numpy() & ~ids.missing
    row = np.flatnonzero(~(ids.missing | repeated))
    if len(table):
        key = ids.where.split()[0]
        findings.count(name, "read", "", len(table))
        findings.set_aside(name, table, np.flatnonzero(ids.missing), f"no {key}")
        findings.set_aside(name, table, np.flatnonzero(repeated), f"{key} repeated: the first row counts")
        findings.count(name, "used", "", len(row))
    clean = table.iloc[row].reset_index(drop=True)
    clean[CREATED] = _created(clean, name, now, findings)
    return Entities(name, ids.distinct, clean, ids.codes[row])


def _created(table: pd.DataFrame, name: str, now: int, findings: Findings) -> np.ndarray:
    if CREATED not in table:
        return np.full(len(table), NEVER, dtype=np.int64)
    times = _stated(read_times(table[CREATED], f"created_at of {name}"), f"created_at of {name}")
    future = times.known & (times.ns > now)
    findings.count(name, "made missing", "created_at is no time", times.bad.sum())
    findings.count(name, "made missing", "created_at in the future", future.sum())
    return np.where(future, NEVER, times.ns)


def _clean_content_tags(table: pd.DataFrame, ids: Ids, findings: Findings) -> pd.DataFrame:
    nothing = pd.Series([None] * len(table), dtype=object)
    tag = as_words(table.get(TAG, nothing), "tag of content_tags")
    kind = as_words(table.get(TAG_KIND, nothing), "kind of content_tags")
    kind[pd.isna(kind)] = "tag"
    clean = pd.DataFrame({"content": ids.codes, "tag": tag, "kind": kind, "row": np.arange(len(table))})
    if not len(table):
        return clean
    findings.count("content_tags", "read", "", len(table))
    usable = np.ones(len(table), dtype=bool)
    for wrong, reason in (
        (ids.missing, "no content_id"),
        (pd.isna(tag), "no tag"),
        (~np.isin(kind.astype(str), ("tag", "mood")), "kind is neither tag nor mood"),
        (clean.duplicated(["content", "tag", "kind"]).to_numpy(), "tag repeated: the first row counts"),
    ):
        findings.set_aside("content_tags", table, np.flatnonzero(usable & wrong), reason)
        usable &= ~wrong
    return clean[usable].reset_index(drop=True)


def _clean_readings(table: pd.DataFrame, name: str, ids: Ids, now: int, findings: Findings) -> Readings:
    if not len(table):
        return Readings.none()
    findings.count(name, "read", "", len(table))
    times = read_times(table[READ_AT], f"{READ_AT} of {name}")
    usable = np.ones(len(table), dtype=bool)
    for wrong, reason in (
        (ids.missing, f"no {ids.where.split()[0]}"),
        (~times.known, f"no {READ_AT}"),
        (times.known & (times.ns > now), f"{READ_AT} in the future"),
    ):
        findings.set_aside(name, table, np.flatnonzero(usable & wrong), reason)
        usable &= ~wrong
    rows = np.flatnonzero(usable)
    rows = rows[np.argsort(times.ns[rows], kind="stable")]
    names = tuple(column for column in table.columns if column not in (USER, CONTENT, READ_AT))
    numbers = np.column_stack([np.empty((len(table), 0)), *(read_numbers(table[column]) for column in names)])
    numbers[~(np.abs(numbers) <= np.finfo(np.float32).max)] = np.nan
    findings.count(name, "used", "", len(rows))
    return Readings(names, ids.codes[rows], times.ns[rows], numbers[rows])


def _stated(times: Times, where: str) -> Times:
    if times.form:
        logger.info("%s: %s", where, times.form)
    return times


def _nested_name(category: object) -> object:
    """The name (or else the id) within a nested category such as {"id": 3, "name": "Music"}; an empty list is none."""
    if isinstance(category, list | tuple | np.ndarray):
        category = category[0] if len(category) else None
    if isinstance(category, dict):
        category = category.get("name") or category.get("id")
    return category
