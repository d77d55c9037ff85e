"""Ids of users, contents and creators: whole numbers or text, numbered in their own order, the same in all tables."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from recsys.errors import UserError

_PLAIN = re.compile(r"0|-?[1-9]\d{0,99}", re.ASCII)  # how whole numbers are written


@dataclass(frozen=True)
class Ids:
    """Ids of one column.

    Attributes:
        codes: place of each row's id in `distinct`, -1 where it is missing, int64, [n].
        distinct: the ids, ascending (see `_ascending`), int64 or an object array of str, [m].
        where: what the column is called in messages, such as "user_id of interactions".
    """

    codes: np.ndarray
    distinct: np.ndarray
    where: str

    @property
    def missing(self) -> np.ndarray:
        """Rows without an id, bool, [n]."""
        return self.codes < 0

    @property
    def kind(self) -> Literal["whole numbers", "text"]:
        """What the ids are."""
        return "text" if self.distinct.dtype == object else "whole numbers"


def read_ids(column: pd.Series, where: str) -> Ids:
    """Ids as int64 where all are whole numbers (2.0 is 2), else as text; an empty text is missing.

    Args:
        column: the ids, [n].
        where: what the column is called in messages.

    Raises:
        UserError: whole numbers and texts in one column, fractions, numbers beyond 64 bits, or something else.
    """
    try:
        codes, found = pd.factorize(column.astype(object) if isinstance(column.dtype, pd.CategoricalDtype) else column)
    except TypeError:
        raise UserError(f"The {where} holds nested values: ids must be whole numbers or text.") from None
    values = pd.Series(found)
    kind = pd.api.types.infer_dtype(values, skipna=True)
    if kind in ("integer", "floating", "mixed-integer-float"):
        distinct = _whole(values, where)
    elif kind in ("string", "empty"):
        distinct = values.to_numpy(dtype=object if kind == "string" else np.int64)
    elif kind.startswith("mixed"):
        raise UserError(f"The {where} mixes text with other values: write all ids as text or all as whole numbers.")
    else:
        raise UserError(f"The {where} has values such as {values[0]!r}: ids must be whole numbers or text.")
    if distinct.dtype == object and "" in distinct:
        given = distinct != ""
        codes, distinct = np.append(np.where(given, np.cumsum(given) - 1, -1), -1)[codes], distinct[given]
    return Ids(*_numbered(codes, distinct), where)


def unite(columns: Sequence[Ids]) -> list[Ids]:
    """The columns with their ids numbered alike: all get the same `distinct`.

    Raises:
        UserError: some columns hold whole numbers and others text.
    """
    given = [ids for ids in columns if len(ids.distinct)]
    for ids in given[1:]:
        if ids.kind != given[0].kind:
            raise UserError(
                f"The {given[0].where} is made of {given[0].kind} but the {ids.where} of {ids.kind}, so none can "
                "match: write the ids alike in both tables."
            )
    if not given:
        return list(columns)
    codes, distinct = _numbered(*pd.factorize(np.concatenate([ids.distinct for ids in given])))
    ends = np.cumsum([len(ids.distinct) for ids in given])
    place = {id(ids): part for ids, part in zip(given, np.split(codes, ends[:-1]), strict=True)}
    return [
        replace(ids, codes=np.append(place.get(id(ids), []), -1).astype(np.int64)[ids.codes], distinct=distinct)
        for ids in columns
    ]


def _numbered(codes: np.ndarray, distinct: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ids in ascending order, [m], and the codes [n] of their places in it; -1 stays -1."""
    order = _ascending(distinct)
    place = np.empty(len(order) + 1, dtype=np.int64)
    place[order] = np.arange(len(order))
    place[-1] = -1  # of code -1, a missing id
    return place[codes], distinct[order]


def _ascending(ids: np.ndarray) -> np.ndarray:
    """Order of distinct ids, int64, [m]: numbers by value; of texts first those that are plain whole numbers, likewise.

    So the order of whole numbers stays as it is where one further id makes text of them all.
    """
    if ids.dtype != object:
        return np.argsort(ids, kind="stable")
    keys = [(0, int(text), "") if _PLAIN.fullmatch(text) else (1, 0, text) for text in ids]
    return np.array(sorted(range(len(keys)), key=keys.__getitem__), dtype=np.int64)


def _whole(numbers: pd.Series, where: str) -> np.ndarray:
    """Numbers of any width as int64."""
    fraction = numbers != np.floor(numbers)
    if fraction.any():
        raise UserError(f"The {where} has the fraction {numbers[fraction].iloc[0]}: ids must be whole numbers or text.")
    if (numbers > np.iinfo(np.int64).max).any() or (numbers < np.iinfo(np.int64).min).any():
        raise UserError(f"The {where} has numbers that do not fit 64 bits with a sign: give these ids as text.")
    # From here on a float has no place for every whole number.
    if numbers.dtype.kind == "f" and (numbers.abs() >= 2 ** (np.finfo(numbers.to_numpy().dtype).nmant + 1)).any():
        raise UserError(f"The {where} has numbers that lost digits when read as fractions: give these ids as text.")
    return numbers.to_numpy(dtype=np.int64)
