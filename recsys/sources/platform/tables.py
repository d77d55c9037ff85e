"""Makes the tables of a platform's pages: `frames` has the rows, `versions` what is newest, `posts` the contents."""

import logging
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from recsys.sources.base import CONTENT, LEAK, READ_AT, TIME, TYPE, USER, VALUE, Kind, Tables
from recsys.sources.platform import posts
from recsys.sources.platform.api import ENDPOINTS, Endpoint
from recsys.sources.platform.frames import Notes, changes_of, last_of_each, plain, rows_of_pages
from recsys.sources.platform.moods import MoodTable
from recsys.sources.platform.pages import Page
from recsys.sources.platform.versions import newest, runs

logger = logging.getLogger(__name__)

# What the platform states of a user as of the moment of asking.
USER_TOTALS = ("post_count", "following_count", "follower_count", "share_count", "is_verified", "has_wallet")
_LEAKS = f"{LEAK}: totals at download time used as if always known, so no metric can be trusted"


def build_tables(
    pages: Iterable[Page], moods: MoodTable, *, pruned: Mapping[str, int] | None = None, leaky_totals: bool = False
) -> Tables:
    """Tables of all pages.

    Of rows with one id the newest counts. A change that did not change the row's time is known only since it was
    read, so the event then has the time of reading.

    Args:
        pages: in the order in which they were read.
        moods: folds mood words.
        pruned: endpoint -> rows among them that the platform no longer has.
        leaky_totals: put totals among the attributes, which are taken to be known always, instead of the readings.
    """
    gathered: dict[str, list[Page]] = {name: [] for name in ENDPOINTS}
    for page in pages:
        gathered[page.endpoint].append(page)
    frames = {name: rows_of_pages(of_endpoint) for name, of_endpoint in gathered.items()}
    notes = Notes()
    parts = [_events(frames[e.name], e, notes) for e in ENDPOINTS.values() if e.event]
    interactions = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
    _note_pairs(interactions, notes)
    for name, rows in (pruned or {}).items():
        notes.add(name, "kept", "no longer on the platform", rows)
    contents, of_contents = posts.contents_of(frames["posts"], moods, notes)
    users, of_users = _users(frames["users"], notes)
    kinds: dict[str, dict[str, Kind]] = {"contents": dict.fromkeys(posts.NUMBERS, "number")} if len(contents) else {}
    if leaky_totals:
        logger.warning("%s (data.leaky_totals=true)", _LEAKS)
        contents, users = _with_last(contents, of_contents, CONTENT), _with_last(users, of_users, USER)
        for table, readings in (("contents", of_contents), ("users", of_users)):
            kinds[table] = kinds.get(table, {}) | dict.fromkeys(readings.columns[2:], "number")
        notes.add("posts", "kept", _LEAKS, len(contents))
        notes.add("users", "kept", _LEAKS, len(users))
    return Tables(
        name="platform",
        interactions=interactions,
        users=users if len(users) else None,
        contents=contents if len(contents) else None,
        kinds=kinds,
        readings={} if leaky_totals else {"users": of_users, "contents": of_contents},
        notes=notes.all(),
    )


def _events(frame: pd.DataFrame, endpoint: Endpoint, notes: Notes) -> pd.DataFrame:
    """Events of one endpoint, each row's newest version."""
    fields = ["post_id", "user_id", endpoint.time, *([endpoint.value] if endpoint.value else [])]
    rows = plain(frame, ["id", *fields])
    versions = runs(rows, "id", fields)
    latest = newest(versions)
    retimed = (latest["version"] > 0) & (latest[endpoint.time] == latest[f"{endpoint.time} before"])
    name = endpoint.name
    notes.add(name, "read", "", len(rows))
    notes.add(name, "merged", "the same row again", len(rows) - len(versions))
    notes.add(name, "merged", "older version of a row that was changed", len(versions) - len(latest))
    notes.add(name, "kept", "changed without a new time: counts since it was read", int(retimed.sum()))
    notes.add(name, "used", "", len(latest))
    seen_at = pd.to_datetime(latest[READ_AT]).astype(str)
    events = {
        USER: latest["user_id"],
        CONTENT: latest["post_id"],
        TYPE: endpoint.event,
        VALUE: latest[endpoint.value] if endpoint.value else np.nan,
        TIME: latest[endpoint.time].where(~retimed, seen_at),
    }
    return pd.DataFrame(events).astype({TYPE: object, VALUE: object})


def _note_pairs(interactions: pd.DataFrame, notes: Notes) -> None:
    """Count likes and ratings that no view of the same pair explains, which is usual and no reason to drop any."""
    pair = interactions[USER].astype(str) + " " + interactions[CONTENT].astype(str)
    viewed = pair.isin(set(pair[interactions[TYPE] == "view"]))
    for name in ("likes", "inspires", "ratings"):
        unseen = (interactions[TYPE] == ENDPOINTS[name].event) & ~viewed
        notes.add(name, "kept", "no view of the same user and post", int(unseen.sum()))


def _users(frame: pd.DataFrame, notes: Notes) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Users, of whom the platform states nothing that was always so, and all readings of their totals."""
    notes.add("users", "read", "", len(frame))
    users = last_of_each(frame)[["id"]]
    notes.add("users", "merged", "the same user again", len(frame) - len(users))
    notes.add("users", "used", "", len(users))
    readings = changes_of(frame, USER, USER_TOTALS)
    if len(readings):
        last = readings.drop_duplicates(USER, keep="last")
        zero = (last.reindex(columns=USER_TOTALS[:3]) == 0).all(axis=1)
        notes.add("users", "kept", "posts, followers and following are all 0", int(zero.sum()))
    return users.rename(columns={"id": USER}), readings


def _with_last(table: pd.DataFrame, readings: pd.DataFrame, key: str) -> pd.DataFrame:
    """The table with the last reading of each row as columns."""
    last = readings.drop_duplicates(key, keep="last").drop(columns=READ_AT)
    return table.merge(last, on=key, how="left") if len(last) else table
