"""The clean log of timed events and the nodes it speaks of. `recsys.data.preparation` builds it."""

from dataclasses import dataclass, field, replace
from typing import Literal, Self

import numpy as np
import pandas as pd

from recsys.data.readings import Readings
from recsys.sources.base import TITLE, Kind, Oracle

Split = Literal["train", "validation", "test"]
NEVER = np.iinfo(np.int64).max  # the time from which something exists that the log never shows


@dataclass(frozen=True)
class NodeTable:
    """Nodes of one type, numbered by the time from which they exist (ties by id).

    So the nodes that exist at a time t are always the first `count_before(t)` rows, and nothing that
    happens at or after t can change their numbers.

    Attributes:
        ids: original ids, int64 or str, [n].
        exists_from: creation time or first event, whichever is earlier; ns, int64, ascending, [n].
        attributes: further columns of the source, a row a node, RangeIndex, [n rows].
        kinds: kind of each attribute column.
        readings: numbers that may be seen only after the time at which they were read.
    """

    ids: np.ndarray
    exists_from: np.ndarray
    attributes: pd.DataFrame
    kinds: dict[str, Kind]
    readings: Readings = field(default_factory=Readings.none)

    def __len__(self) -> int:
        return len(self.ids)

    def count_before(self, t: int) -> int:
        """Number of nodes that exist strictly before `t` (ns); they are rows [0, count)."""
        return int(np.searchsorted(self.exists_from, t, side="left"))


@dataclass(frozen=True)
class Boundaries:
    """Times (ns) that split the log: train = [start, t_val), validation = [t_val, t_test), test = [t_test, end].

    Events at a boundary's exact time belong to the later part (report, section III.C).

    Attributes:
        t_val, t_test, end: see above.
        chosen_at: where validation began before it joined the training part; None while it has not. What training goes
            by, such as its number of windows, was chosen with it.
    """

    t_val: int
    t_test: int
    end: int
    chosen_at: int | None = None

    def period(self, split: Split) -> tuple[int, int]:
        """First time of `split` and the first time after it (ns)."""
        spans = {
            "train": (np.iinfo(np.int64).min, self.t_val),
            "validation": (self.t_val, self.t_test),
            "test": (self.t_test, self.end + 1),
        }
        return spans[split]


@dataclass(frozen=True)
class EventLog:
    """All events in time order, with everything as integers.

    Attributes:
        name: short name of the data set.
        types: event types seen before t_val, sorted by name.
        user, content: row in `users` / `contents`, int64, [num_events].
        type: index into `types`, int64, [num_events].
        value: the event's value (rating, seconds, ...), NaN for none, float32, [num_events].
        weight: weight(type, value) of the report, section II.B, float32, [num_events].
        time: ns since 1970 UTC, ascending, int64, [num_events].
        is_target: whether the event counts as a positive when ranking, bool, [num_events].
        users, contents, creators, tags: the nodes; creators and tags may be empty. `tags.attributes` has the
            column `kind` ("tag", "mood" or "category").
        creator_of: creator of each content, -1 for none, int64, [num_contents].
        user_of_creator: the user with the creator's id, -1 for none, int64, [num_creators].
        content_tags: (content, tag) pairs sorted by content, then tag; int64, [2, num_pairs].
        moods: the tags a newcomer can choose from, rows in `tags`, int64, [num_moods].
        max_weight: the largest weight any event can have: the constant behind soft labels.
        boundaries: where validation and test begin.
        oracle: the true probabilities, for generated data only.
    """

    name: str
    types: tuple[str, ...]
    user: np.ndarray
    content: np.ndarray
    type: np.ndarray
    value: np.ndarray
    weight: np.ndarray
    time: np.ndarray
    is_target: np.ndarray
    users: NodeTable
    contents: NodeTable
    creators: NodeTable
    tags: NodeTable
    creator_of: np.ndarray
    user_of_creator: np.ndarray
    content_tags: np.ndarray
    moods: np.ndarray
    max_weight: float
    boundaries: Boundaries
    oracle: Oracle | None = None

    def __len__(self) -> int:
        return len(self.time)

    def count_before(self, t: int) -> int:
        """Number of events strictly before `t` (ns); they are events [0, count)."""
        return int(np.searchsorted(self.time, t, side="left"))

    def title(self, content: int) -> str:
        """The title of the content in this row, or its id where it has none."""
        title = self.contents.attributes[TITLE].iloc[content] if TITLE in self.contents.attributes else None
        return str(self.contents.ids[content] if title is None or pd.isna(title) or not str(title).strip() else title)

    def with_validation_in_training(self) -> Self:
        """The same log with everything before test as its training part, for a model that is to be tested.

        Its validation part is empty. Whatever was chosen when the log was prepared (event types, kinds of columns,
        scales of values, moods) stays as it is; what is fitted to a log (encoders, readings, training windows) then
        follows `boundaries.t_val`. How many windows suit a log is still told by the training part it had.
        """
        t_val, t_test = self.boundaries.t_val, self.boundaries.t_test
        return replace(self, boundaries=replace(self.boundaries, t_val=t_test, chosen_at=t_val))

    @property
    def label(self) -> np.ndarray:
        """Soft label of each event: strength seen from its own time over the largest strength, float32, [num_events].

        strength = weight x (1 + recency) (report, section II.B) and recency is 1 at the event's own time, so the
        label is weight x 2 / (max_weight x 2): one constant for all splits.
        """
        return (self.weight / self.max_weight).astype(np.float32)

    @property
    def mood_names(self) -> tuple[str, ...]:
        """Names of the moods, in the order of `moods`."""
        return tuple(str(name) for name in self.tags.ids[self.moods])
