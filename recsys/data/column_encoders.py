"""Encoders of single attribute columns, one class a kind; `text_encoder` has the one of texts, `features` uses all.

Each `fit_...` function sees only the values of nodes that exist before validation begins, and gives None where these
do not tell the nodes apart.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd

from recsys.sources.base import Kind

CLIP = 5.0
SKEWED = 2.0  # skewness from which non-negative numbers are taken for counts and log-scaled
MAX_CATEGORIES = 1000
MAX_ITEMS = 32  # most frequent items of a list column that become columns
LEAST_COUNT = 2  # an item or category seen less often than this is unknown


@dataclass(frozen=True)
class NumberColumn:
    """z-score of a number, of log(1 + number) for skewed counts, 0 where missing (report, section II.C).

    Attributes:
        name: the column.
        log: whether log1p is taken first; values below 0 then count as 0.
        mean, deviation: of the fitted values; deviation 0 for a column of which only `missing` is encoded.
        missing: whether a second column tells which values are missing.
    """

    kind: ClassVar[Kind] = "number"
    name: str
    log: bool
    mean: float
    deviation: float
    missing: bool

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the encoded columns."""
        return (self.name,) * (self.deviation > 0) + (f"{self.name} missing",) * self.missing

    def encode(self, values: pd.Series) -> np.ndarray:
        """float32 [n, len(names)]."""
        numbers = values.to_numpy(dtype=np.float64)
        columns = []
        if self.deviation > 0:
            scaled = (_logged(numbers) if self.log else numbers) - self.mean
            columns.append(np.nan_to_num(scaled / self.deviation).clip(-CLIP, CLIP))
        if self.missing:
            columns.append(np.isnan(numbers).astype(np.float64))
        return np.stack(columns, axis=1).astype(np.float32)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Self:
        """Inverse of `to_json`."""
        return cls(**plain)


@dataclass(frozen=True)
class CategoryColumn:
    """Index into a vocabulary, 0 for values that are missing or not in it (report, section II.C)."""

    name: str
    vocabulary: tuple[str, ...]

    def encode(self, values: pd.Series) -> np.ndarray:
        """int64 [n]."""
        places = pd.Index(np.array(self.vocabulary, dtype=object)).get_indexer(pd.Index(values.to_numpy(dtype=object)))
        return np.asarray(places + 1, dtype=np.int64)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"name": self.name, "vocabulary": list(self.vocabulary)}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Self:
        """Inverse of `to_json`."""
        return cls(plain["name"], tuple(plain["vocabulary"]))


@dataclass(frozen=True)
class ListColumn:
    """Multi-hot: for each item of the vocabulary whether the list has it."""

    kind: ClassVar[Kind] = "list"
    name: str
    vocabulary: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the encoded columns."""
        return tuple(f"{self.name}={item}" for item in self.vocabulary)

    def encode(self, values: pd.Series) -> np.ndarray:
        """float32 [n, len(names)], 0 or 1."""
        rows = np.repeat(np.arange(len(values)), values.map(len).to_numpy(dtype=np.int64))
        items = np.fromiter(chain.from_iterable(values), dtype=object, count=len(rows))
        places = pd.Index(np.array(self.vocabulary, dtype=object)).get_indexer(pd.Index(items))
        known = places >= 0
        hot = np.zeros((len(values), len(self.vocabulary)), dtype=np.float32)
        hot[rows[known], places[known]] = 1.0
        return hot

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"name": self.name, "vocabulary": list(self.vocabulary)}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Self:
        """Inverse of `to_json`."""
        return cls(plain["name"], tuple(plain["vocabulary"]))


def fit_number(name: str, values: pd.Series) -> NumberColumn | None:
    """Scale of the values; None where they are all equal and none or all are missing."""
    numbers = values.to_numpy(dtype=np.float64)
    given = numbers[~np.isnan(numbers)]
    if not len(given):
        return None
    log = bool(given.min() >= 0 and _skewness(given) > SKEWED)
    scaled = _logged(given) if log else given
    varies = given.min() < given.max()
    column = NumberColumn(
        name=name,
        log=log,
        mean=float(scaled.mean()),
        deviation=float(scaled.std()) if varies else 0.0,
        missing=len(given) < len(numbers),
    )
    return column if column.names else None


def fit_category(name: str, values: pd.Series) -> CategoryColumn | None:
    """The most frequent values; None where all nodes have the same index."""
    vocabulary = _most_frequent(values.dropna(), MAX_CATEGORIES)
    column = CategoryColumn(name, vocabulary)
    return column if len(np.unique(column.encode(values))) > 1 else None


def fit_list(name: str, values: pd.Series) -> ListColumn | None:
    """The most frequent items that some lists have and some have not; None where there is none."""
    lists = [set(items) for items in values]
    counts = Counter(chain.from_iterable(lists))
    varying = [item for item in chain.from_iterable(map(sorted, lists)) if counts[item] < len(lists)]
    vocabulary = _most_frequent(varying, MAX_ITEMS)
    return ListColumn(name, vocabulary) if vocabulary else None


def _most_frequent(values: Sequence[str] | pd.Series, most: int) -> tuple[str, ...]:
    """Values seen at least twice, most frequent first, ties by name."""
    counts = sorted(Counter(values).items(), key=lambda item: (-item[1], item[0]))
    return tuple(value for value, count in counts[:most] if count >= LEAST_COUNT)


def _logged(numbers: np.ndarray) -> np.ndarray:
    logged: np.ndarray = np.log1p(np.maximum(numbers, 0.0))
    return logged


def _skewness(numbers: np.ndarray) -> float:
    """Third standardised moment; 0 for equal numbers."""
    deviation = numbers.std()
    return float((((numbers - numbers.mean()) / deviation) ** 3).mean()) if deviation > 0 else 0.0
