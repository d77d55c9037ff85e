"""Whom and what an export holds: the contents of a device's catalogue, and the users with a place in its table."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from recsys.data.event_log import EventLog, NodeTable
from recsys.errors import UserError
from recsys.models.baselines.popularity import Popularity
from recsys.sources.base import CATEGORY

ALL, NONE = "all", "none"


def choose_contents(log: EventLog, t: int, subset: Sequence[str]) -> np.ndarray:
    """The contents of a catalogue, rows in `log.contents` that exist at `t` (ns), ascending, int64, [N].

    Args:
        log: the event log.
        t: the query time, ns.
        subset: conditions, each narrowing what the ones before have left: `popular:N`, the N contents with the most
            target events before `t`; `category:NAME`; `list:FILE`, a file with an id a line. None keeps all.

    Raises:
        UserError: for a condition that says something else or leaves nothing.
    """
    rows = np.arange(log.contents.count_before(t))
    for condition in subset:
        kind, _, value = condition.partition(":")
        if kind not in _CONDITIONS or not value:
            raise UserError(f"--subset {condition}: say popular:N, category:NAME or list:FILE.")
        rows = _CONDITIONS[kind](log, t, rows, value)
        if not len(rows):
            raise UserError(f"--subset {condition} leaves no content: choose a wider one.")
    if not len(rows):
        raise UserError("No content exists at this time, so there is nothing to export: choose a later --at.")
    return rows


def choose_users(log: EventLog, t: int, chosen: str) -> np.ndarray:
    """The users of a table, rows in `log.users`, ascending, int64, [U].

    Args:
        log: the event log.
        t: the query time, ns.
        chosen: `all` who exist at `t`, `none`, or `list:FILE`, a file with an id a line; it may name users who do not
            exist yet at `t`.

    Raises:
        UserError: for anything else, or an unknown id.
    """
    if chosen == ALL:
        return np.arange(log.users.count_before(t))
    if chosen == NONE:
        return np.empty(0, dtype=np.int64)
    kind, _, value = chosen.partition(":")
    if kind != "list" or not value:
        raise UserError(f"--users {chosen}: say all, none or list:FILE.")
    return _listed(log.users, Path(value), f"--users {chosen}")


def _popular(log: EventLog, t: int, rows: np.ndarray, value: str) -> np.ndarray:
    if not re.fullmatch("[1-9][0-9]{0,9}", value):
        raise UserError(f"--subset popular:{value}: say how many contents, such as popular:1000.")
    counts = Popularity(log).score(np.zeros(1, dtype=np.int64), rows, t)[0].numpy()
    return np.sort(rows[np.argsort(-counts, kind="stable")[: int(value)]])


def _of_category(log: EventLog, t: int, rows: np.ndarray, value: str) -> np.ndarray:
    if CATEGORY not in log.contents.attributes:
        raise UserError(f"--subset category:{value}: the contents of this data have no category.")
    categories = log.contents.attributes[CATEGORY].iloc[rows]
    if not (categories == value).any():
        known = ", ".join(map(str, sorted(categories.dropna().unique())[:20]))
        raise UserError(f"--subset category:{value}: there is no such category; choose among {known}.")
    return rows[(categories == value).to_numpy()]


def _of_list(log: EventLog, t: int, rows: np.ndarray, value: str) -> np.ndarray:
    listed = _listed(log.contents, Path(value), f"--subset list:{value}")
    if len(listed) and listed[-1] >= log.contents.count_before(t):
        late = log.contents.ids[listed[-1]]
        raise UserError(f"--subset list:{value}: content {late} does not exist yet at the time of the export.")
    return np.intersect1d(rows, listed)


_CONDITIONS: dict[str, Callable[[EventLog, int, np.ndarray, str], np.ndarray]] = {
    "popular": _popular,
    "category": _of_category,
    "list": _of_list,
}


def _listed(nodes: NodeTable, path: Path, option: str) -> np.ndarray:
    """Rows of the nodes whose ids stand in a file, ascending, int64, [n]."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{option}: {path} cannot be read as text ({error}).") from error
    ids = [line.strip() for line in lines if line.strip()]
    rows = pd.Index(nodes.ids.astype(str)).get_indexer(pd.Index(ids, dtype=object))
    if (rows < 0).any():
        raise UserError(f"{option}: there is no {ids[int(np.argmin(rows))]!r} in the bundle.")
    return np.unique(rows)
