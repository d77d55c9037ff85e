"""Features of all nodes as of a time: encoded attributes beside scaled counters; `temporal_graph` uses them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from recsys.data.event_log import EventLog
from recsys.data.features import EncodedAttributes, FeatureEncoders
from recsys.data.readings import Readings
from recsys.graph.counters import Columns, Counters, log_age, span_before
from recsys.graph.schema import CONTENT, CREATOR, TAG, USER

TAG_KINDS = ("tag", "mood", "category")
CLIP = 5.0
CONSTANT = 1e-9  # a column that spreads less than this tells nodes apart by rounding only


@dataclass(frozen=True)
class Scaling:
    """Z-scores fitted on the nodes that exist at one time.

    Attributes:
        mean: float64 [num_columns].
        factor: 1 / standard deviation, 0 for a constant column, float64 [num_columns].
    """

    mean: np.ndarray
    factor: np.ndarray

    @classmethod
    def fit(cls, raw: np.ndarray) -> Self:
        """Scaling of the columns of `raw` [num_nodes, num_columns]."""
        if not len(raw):
            return cls(np.zeros(raw.shape[1]), np.zeros(raw.shape[1]))
        deviation = raw.std(axis=0)
        varies = deviation > CONSTANT
        return cls(raw.mean(axis=0), varies / np.where(varies, deviation, 1.0))

    def apply(self, raw: np.ndarray) -> np.ndarray:
        """Scaled columns clipped to [-5, 5], float32 [num_nodes, num_columns]."""
        scaled: np.ndarray = (raw - self.mean) * self.factor
        return scaled.clip(-CLIP, CLIP).astype(np.float32)


@dataclass(frozen=True)
class FeaturesBefore:
    """Features of the nodes that exist before one time.

    Attributes:
        numbers: node type -> `x`, float32 [num_nodes, numbers].
        categories: node type -> `x_cat`, int64 [num_nodes, vocabularies].
        user_scaling: how the users' counters were scaled, for newcomers.
    """

    numbers: dict[str, Tensor]
    categories: dict[str, Tensor]
    user_scaling: Scaling


class NodeFeatures:
    """Features of users, contents, creators and tags as of a time.

    `x` holds the encoded numbers, then z-scores, over the nodes that exist at that time, of the counters (see
    `Counters`), of the ages of time attributes and of the last readings before that time, and last for users the flag
    `cold`, 0 or 1. `x_cat` holds the
    encoded categories; a tag's are its kind and its own place among the tags known before t_val. Creators have no
    identity, so that a new one is seen like the others. Without time features, `x` is the encoded numbers alone.

    Args:
        log: the event log.
        encoders: encoders of the users' and contents' attributes.
        windows: ascending shares of the last events in which events are counted.
        time_features: whether `x` has what depends on the time: counters, ages and the flag `cold`.

    Attributes:
        number_names: node type -> names of the columns of `x`.
        cardinalities: node type -> sizes of the vocabularies behind the columns of `x_cat`, unknown included.
        windows: as given; None without time features.
        popularity: columns of contents' `x` that count events or compare such counts.
    """

    def __init__(
        self, log: EventLog, encoders: FeatureEncoders, windows: Sequence[float], *, time_features: bool = True
    ) -> None:
        self._log = log
        self.windows = tuple(windows) if time_features else None
        self._counters = Counters(log, windows) if time_features else None
        self._user, self._content = encoders.user.encode(log.users), encoders.content.encode(log.contents)
        self._time_names = {USER: encoders.user.time_names, CONTENT: encoders.content.time_names}
        self._nodes = {USER: log.users, CONTENT: log.contents, CREATOR: log.creators, TAG: log.tags}
        t_val = log.boundaries.t_val
        self.readings = {
            kind: nodes.readings.learnable(t_val, nodes.count_before(t_val))
            for kind, nodes in ((USER, log.users), (CONTENT, log.contents))
        }
        self._tag_categories = _tag_categories(log)
        self.cardinalities: dict[str, tuple[int, ...]] = {
            USER: tuple(encoders.user.cardinalities),
            CONTENT: tuple(encoders.content.cardinalities),
            CREATOR: (),
            TAG: (len(TAG_KINDS) + 1, log.tags.count_before(log.boundaries.t_val) + 1),
        }
        columns = self._columns(log.boundaries.t_val)  # their names are the same at any time
        self.number_names: dict[str, tuple[str, ...]] = {
            USER: (*_attribute_names(encoders.user.number_names), *columns[USER], *(["cold"] if time_features else [])),
            CONTENT: (*_attribute_names(encoders.content.number_names), *columns[CONTENT]),
            CREATOR: tuple(columns[CREATOR]),
            TAG: tuple(columns[TAG]),
        }
        self.popularity = tuple(
            i for i, name in enumerate(self.number_names[CONTENT]) if name.startswith(("log_", "trend_"))
        )

    def before(self, t: int) -> FeaturesBefore:
        """Features of all nodes that exist before `t` (ns), from events strictly before `t`."""
        raw = self._raw(t)
        count = {node_type: len(columns) for node_type, columns in raw.items()}
        scaling = {node_type: Scaling.fit(columns) for node_type, columns in raw.items()}
        scaled = {node_type: scaling[node_type].apply(columns) for node_type, columns in raw.items()}
        numbers = {
            USER: np.column_stack([self._user.numbers[: count[USER]], scaled[USER], self._cold(t, count[USER])]),
            CONTENT: np.column_stack([self._content.numbers[: count[CONTENT]], scaled[CONTENT]]),
            CREATOR: scaled[CREATOR],
            TAG: scaled[TAG],
        }
        categories = {
            USER: self._user.categories[: count[USER]],
            CONTENT: self._content.categories[: count[CONTENT]],
            CREATOR: np.zeros((count[CREATOR], 0), dtype=np.int64),
            TAG: self._tag_categories[: count[TAG]],
        }
        return FeaturesBefore(_tensors(numbers), _tensors(categories), scaling[USER])

    def newcomers(self, users: np.ndarray, t: int, scaling: Scaling) -> tuple[Tensor, Tensor]:
        """`x` and `x_cat` of users that do not exist yet at `t` (ns): attributes, readings, and counters of 0.

        Args:
            users: rows in `log.users`, int64, [U].
            t: the query time, ns.
            scaling: `user_scaling` of `before(t)`.
        """
        x, x_cat = self._user.numbers[users], self._user.categories[users]
        if self._counters is not None:
            stated = _attribute_ages(self._time_names[USER], self._user.times[users], t, span_before(self._log, t))
            stated |= last_readings(self.readings[USER], users, np.full(len(users), t))
            raw = np.zeros((len(users), len(scaling.mean)))
            raw[:, raw.shape[1] - len(stated) :] = np.reshape(list(stated.values()), (len(stated), len(users))).T
            x = np.column_stack([x, scaling.apply(raw), np.ones(len(users), dtype=np.float32)])
        return torch.from_numpy(x), torch.from_numpy(x_cat)

    def _cold(self, t: int, num_users: int) -> np.ndarray:
        """Whether each user has no event before `t`, float32 [num_users, 1]; [num_users, 0] without time features."""
        if self._counters is None:
            return np.empty((num_users, 0), dtype=np.float32)
        num_events = np.bincount(self._log.user[: self._log.count_before(t)], minlength=num_users)
        cold: np.ndarray = (num_events == 0).astype(np.float32)[:, None]
        return cold

    def attributes(self, node_type: str) -> EncodedAttributes:
        """Encoded attributes of every node of a type."""
        if node_type in (USER, CONTENT):
            return self._user if node_type == USER else self._content
        count = len(self._log.creators if node_type == CREATOR else self._log.tags)
        none = np.zeros((count, 0), dtype=np.int64)
        return EncodedAttributes(none.astype(np.float32), self._tag_categories if node_type == TAG else none, none)

    def scaling(self, t: int) -> dict[str, Scaling]:
        """Scaling of the counters and ages as of `t` (ns), node type -> scaling."""
        return {kind: Scaling.fit(raw) for kind, raw in self._raw(t).items()}

    def _raw(self, t: int) -> dict[str, np.ndarray]:
        """The columns of each node type side by side, float64 [num_nodes, columns], also where there is no column."""
        return {
            node_type: np.column_stack([np.empty((self._nodes[node_type].count_before(t), 0)), *columns.values()])
            for node_type, columns in self._columns(t).items()
        }

    def _columns(self, t: int) -> dict[str, Columns]:
        """Raw counters, then ages of attributes, then readings; node type -> name -> float64 [num_nodes]."""
        if self._counters is None:
            return {node_type: {} for node_type in self._nodes}
        columns, span = self._counters.before(t), span_before(self._log, t)
        for node_type, encoded in ((USER, self._user), (CONTENT, self._content)):
            count = self._nodes[node_type].count_before(t)
            columns[node_type] |= _attribute_ages(self._time_names[node_type], encoded.times[:count], t, span)
            columns[node_type] |= last_readings(self.readings[node_type], np.arange(count), np.full(count, t))
        return columns


def _attribute_names(names: Sequence[str]) -> list[str]:
    """Names that no counter has."""
    return [f"attribute:{name}" for name in names]


def _attribute_ages(names: Sequence[str], times: np.ndarray, t: int, span: int) -> Columns:
    """Age of each time attribute and whether it lies before `t`; a missing or later time has age 0 and is unknown."""
    columns: Columns = {}
    for i, name in enumerate(_attribute_names(names)):
        columns[f"{name}:age"] = log_age(times[:, i], t, span)
        columns[f"{name}:is_past"] = (times[:, i] < t).astype(np.float64)
    return columns


def last_readings(readings: Readings, node: np.ndarray, time: np.ndarray) -> Columns:
    """The logarithm of each last number read strictly before a time and whether there is one; 0 where there is none.

    Args:
        readings: all readings.
        node: whose numbers are asked for, int64, [n].
        time: as of when, ns, int64, [n].
    """
    known = readings.last(node, time)
    columns: Columns = {}
    for i, name in enumerate(readings.names):
        given = ~np.isnan(known[:, i])
        numbers = np.where(given, known[:, i], 0.0)
        columns[f"reading:{name}"] = np.sign(numbers) * np.log1p(np.abs(numbers))
        columns[f"reading:{name}:is_known"] = given.astype(np.float64)
    return columns


def _tag_categories(log: EventLog) -> np.ndarray:
    """Kind of each tag and its own place, 0 for tags that did not exist before t_val; int64 [num_tags, 2]."""
    number = {name: i + 1 for i, name in enumerate(TAG_KINDS)}
    kinds = [number[kind] for kind in log.tags.attributes["kind"]] if len(log.tags) else []
    place = np.arange(1, len(log.tags) + 1)
    place[log.tags.count_before(log.boundaries.t_val) :] = 0
    return np.column_stack([np.asarray(kinds, dtype=np.int64), place])


def _tensors(arrays: dict[str, np.ndarray]) -> dict[str, Tensor]:
    return {node_type: torch.from_numpy(np.ascontiguousarray(array)) for node_type, array in arrays.items()}
