"""Makes tables of the pages of a platform, and counts what was odd about them; `versions` tells what is newest."""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from recsys.sources.base import (
    CATEGORY,
    CONTENT,
    CREATED,
    CREATOR,
    LEAK,
    MOODS,
    READ_AT,
    TAGS,
    TIME,
    TITLE,
    TYPE,
    USER,
    VALUE,
    Kind,
    Note,
    Outcome,
    Tables,
)
from recsys.sources.platform.answers import Row
from recsys.sources.platform.api import ENDPOINTS, Endpoint
from recsys.sources.platform.moods import MoodTable
from recsys.sources.platform.pages import Page
from recsys.sources.platform.versions import newest, runs

logger = logging.getLogger(__name__)

# What the platform states as of the moment of asking: seen only from later times, unless one asks for the leak.
USER_TOTALS = ("post_count", "following_count", "follower_count", "share_count", "is_verified", "has_wallet")
POST_TOTALS = (
    *("view_count", "upvote_count", "comment_count", "exit_count", "share_count"),
    *("rating_count", "average_rating", "is_locked", "has_token"),
)
POST_NUMBERS = ("title_length", "hashtag_count")  # what its creator fixed
_LEAKS = f"{LEAK}: totals at download time used as if always known, so no metric can be trusted"


class _Notes:
    """Counts for the cleaning report, under the name of the endpoint."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, Outcome, str]] = Counter()

    def add(self, endpoint: str, outcome: Outcome, reason: str, rows: int) -> None:
        if rows:
            self._counts[(f"platform {endpoint}", outcome, reason)] += int(rows)

    def list(self) -> tuple[Note, ...]:
        return tuple((*key, rows) for key, rows in self._counts.items())


def build_tables(pages: Iterable[Page], moods: MoodTable, *, leaky_totals: bool = False) -> Tables:
    """Tables of all pages.

    Of rows with one id the newest counts. A change that did not change the row's time is known only since it was
    read, so the event then has the time of reading.

    Args:
        pages: in the order in which they were read.
        moods: folds mood words.
        leaky_totals: put totals among the attributes, which are taken to be known always, instead of the readings.
    """
    gathered: dict[str, list[Page]] = {name: [] for name in ENDPOINTS}
    for page in pages:
        gathered[page.endpoint].append(page)
    frames = {name: _frame(of_endpoint) for name, of_endpoint in gathered.items()}
    notes = _Notes()
    parts = [_events(frames[e.name], e, notes) for e in ENDPOINTS.values() if e.event]
    interactions = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
    _note_pairs(interactions, notes)
    contents, of_contents = _contents(frames["posts"], moods, notes)
    users, of_users = _users(frames["users"], notes)
    kinds: dict[str, dict[str, Kind]] = {"contents": dict.fromkeys(POST_NUMBERS, "number")} if len(contents) else {}
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
        notes=notes.list(),
    )


def _frame(pages: Sequence[Page]) -> pd.DataFrame:
    """Rows of all pages as they are, with `read_at` (ns) of their page."""
    rows: list[Row] = [row for page in pages for row in page.rows]
    frame = pd.DataFrame(rows, dtype=object)
    frame["id"] = _plain_values(frame["id"]) if "id" in frame else None
    frame[READ_AT] = np.repeat(
        np.array([page.read_at for page in pages], dtype=np.int64), [len(page.rows) for page in pages]
    )
    return frame


def _plain(frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """The columns, missing ones included, with None for everything nested: a missing object is given as []."""
    plain = frame.reindex(columns=[*columns, READ_AT])
    for column in columns:
        plain[column] = _plain_values(plain[column])
    return plain


def _plain_values(column: pd.Series) -> pd.Series:
    nested = column.map(lambda value: isinstance(value, list | dict)).to_numpy(dtype=bool)
    return column.astype(object).where(~nested & column.notna(), None)


def _last_of_each(frame: pd.DataFrame) -> pd.DataFrame:
    """The newest row of each id, and all rows without an id, for cleaning to set aside."""
    older = frame.duplicated("id", keep="last") & frame["id"].notna()
    return frame[~older].reset_index(drop=True)


def _events(frame: pd.DataFrame, endpoint: Endpoint, notes: _Notes) -> pd.DataFrame:
    """Events of one endpoint, each row's newest version."""
    fields = ["post_id", "user_id", endpoint.time, *([endpoint.value] if endpoint.value else [])]
    rows = _plain(frame, ["id", *fields])
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


def _note_pairs(interactions: pd.DataFrame, notes: _Notes) -> None:
    """Count likes and ratings that no view of the same pair explains, which is usual and no reason to drop any."""
    pair = interactions[USER].astype(str) + " " + interactions[CONTENT].astype(str)
    viewed = pair.isin(set(pair[interactions[TYPE] == "view"]))
    for name in ("likes", "inspires", "ratings"):
        unseen = (interactions[TYPE] == ENDPOINTS[name].event) & ~viewed
        notes.add(name, "kept", "no view of the same user and post", int(unseen.sum()))


def _contents(frame: pd.DataFrame, moods: MoodTable, notes: _Notes) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Contents as their posts were last read, and all readings of their totals."""
    notes.add("posts", "read", "", len(frame))
    posts = _last_of_each(frame)
    notes.add("posts", "merged", "the same post again: the newest answer counts", len(frame) - len(posts))
    notes.add("posts", "used", "", len(posts))
    nothing = pd.Series([None] * len(posts), dtype=object)
    for name in ("category", "post_summary", "topic"):
        empty = posts.get(name, nothing).map(lambda value: value == [])
        notes.add("posts", "made missing", f"{name} is []", int(empty.sum()))
    summaries = posts.get("post_summary", nothing)
    words = [_mood_words(summary) for summary in summaries]
    contents = _plain(posts, ["id", "owner_id", "created_at", *POST_NUMBERS]).drop(columns=READ_AT)
    contents = contents.rename(columns={"id": CONTENT, "owner_id": CREATOR, "created_at": CREATED})
    contents[CATEGORY] = pd.Series(list(map(_category, posts.get("category", nothing))), dtype=object)
    contents[TAGS] = pd.Series(list(map(_genres, summaries)), dtype=object)
    contents[MOODS] = pd.Series([_folded(of_post, moods) for of_post in words], dtype=object)
    if "title" in posts:
        contents[TITLE] = _plain(posts, ["title"])["title"]
    _note_words(words, moods, notes)
    of_creator = contents[CREATOR].value_counts()
    if len(of_creator) and of_creator.iloc[0] * 2 > len(contents):
        notes.add("posts", "kept", f"by one creator, {of_creator.index[0]}", int(of_creator.iloc[0]))
    return contents, _readings(_sound(frame, notes), CONTENT, POST_TOTALS)


def _users(frame: pd.DataFrame, notes: _Notes) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Users, of whom the platform states nothing that was always so, and all readings of their totals."""
    notes.add("users", "read", "", len(frame))
    users = _last_of_each(frame)[["id"]]
    notes.add("users", "merged", "the same user again", len(frame) - len(users))
    notes.add("users", "used", "", len(users))
    readings = _readings(frame, USER, USER_TOTALS)
    if len(readings):
        last = readings.drop_duplicates(USER, keep="last")
        zero = (last[list(USER_TOTALS[:3])] == 0).all(axis=1)
        notes.add("users", "kept", "posts, followers and following are all 0", int(zero.sum()))
    return users.rename(columns={"id": USER}), readings


def _sound(frame: pd.DataFrame, notes: _Notes) -> pd.DataFrame:
    """Posts without average ratings that cannot be."""
    if not len(frame):
        return frame
    numbers = {name: _numbers(frame, name) for name in ("average_rating", "rating_count", "upvote_count", "view_count")}
    below = numbers["average_rating"] < 0
    unfounded = (numbers["average_rating"] > 0) & (numbers["rating_count"] == 0)
    notes.add("posts", "made missing", "average_rating below 0", int(below.sum()))
    notes.add("posts", "made missing", "average_rating without a rating", int(unfounded.sum()))
    more = (numbers["upvote_count"] > numbers["view_count"]).sum()
    notes.add("posts", "kept", "more upvotes than views", int(more))
    return frame.assign(average_rating=np.where(below | unfounded, np.nan, numbers["average_rating"]))


def _readings(frame: pd.DataFrame, key: str, names: Sequence[str]) -> pd.DataFrame:
    """What changed in the totals from one reading to the next: id, `read_at` (ns) and the totals that are given."""
    given = [name for name in names if name in frame]
    table = pd.DataFrame({key: _plain(frame, ["id"])["id"], READ_AT: frame[READ_AT]})
    for name in given:
        table[name] = _numbers(frame, name)
    table = runs(table[table[key].notna()], key, given)[[key, READ_AT, *given]]
    return table.sort_values(READ_AT, kind="stable", ignore_index=True)


def _with_last(table: pd.DataFrame, readings: pd.DataFrame, key: str) -> pd.DataFrame:
    """The table with the last reading of each row as columns."""
    last = readings.drop_duplicates(key, keep="last").drop(columns=READ_AT)
    return table.merge(last, on=key, how="left") if len(last) else table


def _numbers(frame: pd.DataFrame, name: str) -> np.ndarray:
    """A column as float64, NaN for everything that is no number; true is 1."""
    values = _plain(frame, [name])[name]
    return pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)


def _category(value: Any) -> str | None:
    """Name of a category (else its id), None for the empty list that stands for none."""
    if not isinstance(value, dict):
        return None
    found = value.get("name") or value.get("id")
    return None if found is None else str(found)


def _genres(summary: Any) -> list[str]:
    """Genres of a post: "Educational / Inspirational" as two."""
    genre = summary.get("genre") if isinstance(summary, dict) else None
    parts = str(genre).casefold().split("/") if isinstance(genre, str) else []
    return sorted({part.strip() for part in parts} - {"", "not available", "none", "n", "a", "unknown"})


def _mood_words(summary: Any) -> list[str]:
    """The words for moods in a post's summary."""
    emotions = summary.get("emotions") if isinstance(summary, dict) else None
    words = emotions.get("moods") if isinstance(emotions, dict) else None
    return [word for word in words if isinstance(word, str) and word.strip()] if isinstance(words, list) else []


def _folded(words: Sequence[str], moods: MoodTable) -> list[str]:
    """Moods of a post, each once."""
    return sorted({mood for mood in map(moods.fold, words) if mood is not None})


def _note_words(words: Sequence[Sequence[str]], moods: MoodTable, notes: _Notes) -> None:
    """Count, and name in the log, the mood words that the table does not have."""
    counts = Counter(word for of_post in words for word in of_post)
    related = {word: count for word, count in counts.items() if not moods.knows(word) and moods.fold(word)}
    strange = {word: count for word, count in counts.items() if moods.fold(word) is None}
    placed = [f"{word} ({moods.fold(word)})" for word in sorted(related)]
    for what, found in (("folded by likeness", placed), ("without a mood", sorted(strange))):
        if found:
            logger.info("platform: mood words %s: %s", what, ", ".join(found))
    notes.add("posts", "kept", "mood words that the table lacks, folded by likeness", sum(related.values()))
    notes.add("posts", "made missing", "mood words without a mood", sum(strange.values()))
