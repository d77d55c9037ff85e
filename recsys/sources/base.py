"""What every source gives: `Tables`, with the project's own column names. Cleaning happens in `recsys.data`."""

from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
import pandas as pd

# Column names of the four tables, in this one place.
USER, CONTENT, TYPE, VALUE, TIME = "user_id", "content_id", "type", "value", "timestamp"
TITLE, CATEGORY, CREATOR, CREATED, TAGS, MOODS = "title", "category", "creator_id", "created_at", "tags", "moods"
TAG, TAG_KIND = "tag", "kind"

READ_AT = "read_at"
LEAK = "LEAK"  # how a note begins that every report must repeat as a warning

Kind = Literal["number", "category", "list", "text", "time"]
Outcome = Literal["read", "used", "merged", "set aside", "kept", "made missing"]
Note = tuple[str, Outcome, str, int]  # table, what happened to its rows, why, how many


class Oracle(Protocol):
    """The true preferences behind a generated platform."""

    def probability(self, user_ids: np.ndarray, content_ids: np.ndarray, t: int) -> np.ndarray:
        """True chance that each user acts on each content at time `t` (ns), float32 [num_users, num_contents]."""
        ...


@dataclass(frozen=True)
class Tables:
    """Tables as a source read them, with columns renamed to the project's names and values left as they are.

    Attributes:
        name: short name of the data set, used for run folders.
        interactions: `user_id, content_id, timestamp`, and where the source has them `type, value`.
            Times may be any of the forms that `recsys.data.timestamps` reads.
        users: `user_id` and any further columns (features), optionally `created_at`; None if there is none.
        contents: `content_id`, optionally `title, category, creator_id, created_at, tags, moods`, and any
            further columns (features); None if there is none. `tags` and `moods` hold lists of strings.
        content_tags: `content_id, tag`, optionally `kind` ("tag" or "mood"); None if there is none.
        kinds: table name -> column -> kind, for every feature column the user fixed; the rest are inferred.
        readings: "users" or "contents" -> numbers that were read about them and know everything before that moment,
            such as totals: the table's id, `read_at` (a time) and one column a number; several rows of one id are
            several readings.
        notes: what the source did with rows before they came into the tables, for the cleaning report.
        oracle: the true probabilities, for generated data only.
    """

    name: str
    interactions: pd.DataFrame
    users: pd.DataFrame | None = None
    contents: pd.DataFrame | None = None
    content_tags: pd.DataFrame | None = None
    kinds: dict[str, dict[str, Kind]] = field(default_factory=dict)
    readings: dict[str, pd.DataFrame] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()
    oracle: Oracle | None = None


class Source(Protocol):
    """Anything that can load `Tables`."""

    def load(self) -> Tables:
        """Read, download or generate the tables; raises `UserError` on bad input."""
        ...
