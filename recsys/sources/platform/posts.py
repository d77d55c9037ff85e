"""Makes the table of contents from the rows of posts, whose category, genre and moods are nested."""

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from recsys.sources.base import CATEGORY, CONTENT, CREATED, CREATOR, MOODS, READ_AT, TAGS, TITLE
from recsys.sources.platform.frames import Notes, changes_of, last_of_each, numbers, plain
from recsys.sources.platform.moods import MoodTable

logger = logging.getLogger(__name__)

# What the platform states as of the moment of asking, and what the creator fixed.
TOTALS = (
    *("view_count", "upvote_count", "comment_count", "exit_count", "share_count"),
    *("rating_count", "average_rating", "is_locked", "has_token"),
)
NUMBERS = ("title_length", "hashtag_count")


def contents_of(frame: pd.DataFrame, moods: MoodTable, notes: Notes) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Contents as their posts were last read, and all readings of their totals."""
    notes.add("posts", "read", "", len(frame))
    posts = last_of_each(frame)
    notes.add("posts", "merged", "the same post again: the newest answer counts", len(frame) - len(posts))
    notes.add("posts", "used", "", len(posts))
    nothing = pd.Series([None] * len(posts), dtype=object)
    for name in ("category", "post_summary", "topic"):
        empty = posts.get(name, nothing).map(lambda value: value == [])
        notes.add("posts", "made missing", f"{name} is []", int(empty.sum()))
    summaries = posts.get("post_summary", nothing)
    words = [_mood_words(summary) for summary in summaries]
    contents = plain(posts, ["id", "owner_id", "created_at", *NUMBERS]).drop(columns=READ_AT)
    contents = contents.rename(columns={"id": CONTENT, "owner_id": CREATOR, "created_at": CREATED})
    contents[CATEGORY] = pd.Series(list(map(_category, posts.get("category", nothing))), dtype=object)
    contents[TAGS] = pd.Series(list(map(_genres, summaries)), dtype=object)
    contents[MOODS] = pd.Series([_folded(of_post, moods) for of_post in words], dtype=object)
    if "title" in posts:
        contents[TITLE] = plain(posts, ["title"])["title"]
    _note_words(words, moods, notes)
    of_creator = contents[CREATOR].value_counts()
    if len(of_creator) and of_creator.iloc[0] * 2 > len(contents):
        notes.add("posts", "kept", f"by one creator, {of_creator.index[0]}", int(of_creator.iloc[0]))
    return contents, changes_of(_sound(frame, notes), CONTENT, TOTALS)


def _sound(frame: pd.DataFrame, notes: Notes) -> pd.DataFrame:
    """Posts without average ratings that cannot be."""
    if not len(frame):
        return frame
    average, count = numbers(frame, "average_rating"), numbers(frame, "rating_count")
    below, unfounded = average < 0, (average > 0) & (count == 0)
    notes.add("posts", "made missing", "average_rating below 0", int(below.sum()))
    notes.add("posts", "made missing", "average_rating without a rating", int(unfounded.sum()))
    more = numbers(frame, "upvote_count") > numbers(frame, "view_count")
    notes.add("posts", "kept", "more upvotes than views", int(more.sum()))
    return frame.assign(average_rating=np.where(below | unfounded, np.nan, average))


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


def _note_words(words: Sequence[Sequence[str]], moods: MoodTable, notes: Notes) -> None:
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
