"""Attributes of nodes as model inputs: scaled numbers, category indices, times; fitted before validation begins only.

`kinds` has brought the values into one form before; the graph adds counters as of a time and turns times into ages.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from recsys.data.column_encoders import CategoryColumn, ListColumn, NumberColumn, fit_category, fit_list, fit_number
from recsys.data.event_log import EventLog, NodeTable
from recsys.data.text_encoder import TextColumn, fit_text
from recsys.errors import UserError
from recsys.sources.base import Kind


@dataclass(frozen=True)
class EncodedAttributes:
    """Encoded attributes of n nodes.

    Attributes:
        numbers: scaled to about unit spread and clipped to [-5, 5], float32, [n, d].
        categories: index into each column's vocabulary, 0 for unknown or missing, int64, [n, c].
        times: ns, NEVER where missing, int64, [n, k].
    """

    numbers: np.ndarray
    categories: np.ndarray
    times: np.ndarray


@dataclass(frozen=True)
class AttributeEncoder:
    """Encodes the attributes of one node type.

    Attributes:
        numbers: columns that become numbers, one or several each.
        categories: columns that become an index into a vocabulary.
        time_names: columns that are times.
    """

    numbers: tuple[NumberColumn | ListColumn | TextColumn, ...]
    categories: tuple[CategoryColumn, ...]
    time_names: tuple[str, ...]

    @classmethod
    def fit(cls, table: NodeTable, t_val: int) -> Self:
        """Encoder fitted on the nodes that exist strictly before `t_val` (ns)."""
        count = table.count_before(t_val)
        known = table.attributes.iloc[:count]
        fits = {"number": fit_number, "list": fit_list, "text": fit_text}
        numbers = (fits[kind](name, known[name]) for name, kind in table.kinds.items() if kind in fits)
        categories = (fit_category(name, known[name]) for name, kind in table.kinds.items() if kind == "category")
        return cls(
            numbers=tuple(column for column in numbers if column is not None),
            categories=tuple(column for column in categories if column is not None),
            time_names=tuple(name for name, kind in table.kinds.items() if kind == "time"),
        )

    @property
    def number_names(self) -> tuple[str, ...]:
        """Names of the columns of `EncodedAttributes.numbers`."""
        return tuple(name for column in self.numbers for name in column.names)

    @property
    def category_names(self) -> tuple[str, ...]:
        """Names of the columns of `EncodedAttributes.categories`."""
        return tuple(column.name for column in self.categories)

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """Sizes of the vocabularies, with the index for unknown."""
        return tuple(len(column.vocabulary) + 1 for column in self.categories)

    def encode(self, table: NodeTable) -> EncodedAttributes:
        """Encode all nodes of a table; a node's outcome depends on its own attributes only.

        Raises:
            UserError: the table lacks a column the encoder was fitted on, or has it with another kind.
        """
        count, attributes = len(table), table.attributes
        for name, kind in self._kinds().items():
            if table.kinds.get(name) != kind:
                has = f"of kind {table.kinds[name]}" if name in table.kinds else "missing"
                raise UserError(
                    f"The attribute {name} is {has}, but the model was fitted on it as {kind}: give it as such."
                )
        numbers = [column.encode(attributes[column.name]) for column in self.numbers]
        categories = [column.encode(attributes[column.name]) for column in self.categories]
        times = [attributes[name].to_numpy(dtype=np.int64) for name in self.time_names]
        return EncodedAttributes(
            numbers=np.concatenate([np.empty((count, 0), dtype=np.float32), *numbers], axis=1, dtype=np.float32),
            categories=_side_by_side(categories, count),
            times=_side_by_side(times, count),
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file, from which `from_json` gives an encoder with bit-equal outcomes."""
        return {
            "numbers": [{"kind": column.kind, **column.to_json()} for column in self.numbers],
            "categories": [column.to_json() for column in self.categories],
            "time_names": list(self.time_names),
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Self:
        """Inverse of `to_json`."""
        kinds = {column.kind: column for column in (NumberColumn, ListColumn, TextColumn)}

        def number_column(entry: Mapping[str, Any]) -> NumberColumn | ListColumn | TextColumn:
            return kinds[entry["kind"]].from_json({key: value for key, value in entry.items() if key != "kind"})

        return cls(
            numbers=tuple(number_column(entry) for entry in plain["numbers"]),
            categories=tuple(CategoryColumn.from_json(entry) for entry in plain["categories"]),
            time_names=tuple(plain["time_names"]),
        )

    def _kinds(self) -> dict[str, Kind]:
        """Kind of each column the encoder reads."""
        kinds: dict[str, Kind] = {column.name: column.kind for column in self.numbers}
        kinds |= {column.name: "category" for column in self.categories}
        return kinds | dict.fromkeys(self.time_names, "time")


@dataclass(frozen=True)
class FeatureEncoders:
    """Encoders of the users' and the contents' attributes."""

    user: AttributeEncoder
    content: AttributeEncoder

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return {"user": self.user.to_json(), "content": self.content.to_json()}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Self:
        """Inverse of `to_json`."""
        return cls(AttributeEncoder.from_json(plain["user"]), AttributeEncoder.from_json(plain["content"]))


def fit_encoders(log: EventLog) -> FeatureEncoders:
    """Encoders fitted on the users and contents that exist before validation begins."""
    t_val = log.boundaries.t_val
    return FeatureEncoders(AttributeEncoder.fit(log.users, t_val), AttributeEncoder.fit(log.contents, t_val))


def _side_by_side(columns: Sequence[np.ndarray], count: int) -> np.ndarray:
    """Columns as int64 [count, num_columns], also where there are none."""
    return np.stack(columns, axis=1) if columns else np.empty((count, 0), dtype=np.int64)
