"""What `recommender` answers: a page of recommendations with what was left out and why."""

from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd


@dataclass(frozen=True)
class Recommendation:
    """One content on one rank.

    Attributes:
        rank: from 1, over all pages.
        content_id: original id.
        title: None where the data has none.
        score: the model's score.
        probability: that the user acts on the content; None for models that only rank.
    """

    rank: int
    content_id: int | str
    title: str | None
    score: float
    probability: float | None


@dataclass(frozen=True, kw_only=True)
class Recommendations:
    """One page for one user or mood.

    Attributes:
        user_id, mood: who was asked for; the other one is None.
        time: the query time, ns; only events strictly before it count.
        has_history: whether the user has events before `time`.
        k, page: contents on a page, and which page, from 1.
        candidates: number of contents that were ranked, over all pages.
        items: best first; empty past the last page.
        excluded: reason -> number of contents left out for it.
        notes: sentences on what is special about this answer.
    """

    user_id: int | str | None
    mood: str | None
    time: int
    has_history: bool
    k: int
    page: int
    candidates: int
    items: tuple[Recommendation, ...]
    excluded: dict[str, int]
    notes: tuple[str, ...]

    @property
    def iso_time(self) -> str:
        """The query time as an ISO text, UTC."""
        return str(pd.Timestamp(self.time, tz="UTC").isoformat())

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON document; `time` as an ISO text."""
        return {**asdict(self), "time": self.iso_time}
