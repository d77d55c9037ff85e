"""Names and lists of names from nested columns or the texts that stand for them; `columns` has all other columns."""

import ast
import json
import re
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from recsys.errors import UserError
from recsys.surrogates import writable

_BRACKET = r"^\s*[\[{]"  # how a written list or object begins


def as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Strings, with null for the empty ones."""
    text = column.cast(pa.string())
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)


def is_list(kind: pa.DataType) -> bool:
    """Whether a column of this type holds lists."""
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def holds_names(kind: pa.DataType) -> bool:
    """Whether a column of this type holds texts or objects with a name, or lists of such."""
    inner = kind.value_type if is_list(kind) else kind
    named = _name_field(inner) is not None if pa.types.is_struct(inner) else False
    return bool(named or pa.types.is_string(inner) or pa.types.is_large_string(inner))


def names(column: pa.ChunkedArray, where: str) -> pd.Series:
    """One name a row, str: plain values as text, of objects the `name` (else the `id`), also where they are JSON text.

    Null, "" and `[]` are missing values; of a list written as text the first name counts.

    Args:
        column: the values, [n].
        where: what the column is called in messages.

    Raises:
        UserError: if the column is nested in another way.
    """
    if is_list(column.type):
        raise UserError(f"{where} holds lists where one value is needed: map it to tags instead.")
    found: pd.Series = as_text(_labels(column, where)).to_pandas()
    written = found.str.contains(_BRACKET, regex=True, na=False)
    if written.any():
        first = {text: next(iter(_parsed(text)), None) for text in found[written].unique()}
        found = found.where(~written, found.map(first))
    return found


def lists(column: pa.ChunkedArray, separators: str, where: str) -> pd.Series:
    """One list of stripped, non-empty strings a row; a missing value is the empty list.

    Args:
        column: lists of values or of objects with a `name`, or texts: values between any of the separators, or a
            list as JSON or Python writes it, [n].
        separators: each of these characters separates values.
        where: what the column is called in messages.

    Raises:
        UserError: if the lists hold something else.
    """
    if is_list(column.type):
        return pd.Series(_stripped(column.combine_chunks(), where), dtype=object)
    text = as_text(_labels(column, where))
    pattern = "[" + "".join(map(re.escape, separators)) + "]"
    found = _stripped(pc.split_pattern_regex(text, pattern=pattern).combine_chunks(), where)
    written = pc.fill_null(pc.match_substring_regex(text, pattern=_BRACKET), False)
    rows = np.flatnonzero(written.to_numpy())
    for row, value in zip(rows, text.filter(written).to_pylist(), strict=True):
        found[row] = [name.strip() for name in _parsed(value) if name.strip()]
    return pd.Series(found, dtype=object)


def _name_field(kind: pa.StructType) -> str | None:
    """The field that names an object."""
    fields = {kind.field(i).name for i in range(kind.num_fields)}
    return next((field for field in ("name", "id") if field in fields), None)


def _labels(values: Any, where: str) -> Any:
    """Names of objects; values that are no objects as they are."""
    if not pa.types.is_struct(values.type):
        return values
    field = _name_field(values.type)
    if field is None:
        raise UserError(f"{where} holds objects without a name or id: give plain values, or objects that have one.")
    return pc.struct_field(values, field)


def _stripped(nested: pa.Array, where: str) -> list[list[str]]:
    """Lists of any values as lists of stripped strings, without empty and missing ones."""
    values = _labels(pc.list_flatten(nested), where)
    try:
        text = pc.utf8_trim_whitespace(values.cast(pa.string()))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise UserError(f"{where} holds lists of {values.type}: give lists of texts.") from error
    keep = pc.fill_null(pc.not_equal(text, ""), False)
    counts = np.bincount(pc.list_parent_indices(nested).filter(keep).to_numpy(), minlength=len(nested))
    offsets = pa.array(np.concatenate(([0], np.cumsum(counts))), pa.int32())
    found: list[list[str]] = pa.ListArray.from_arrays(offsets, text.filter(keep)).to_pylist()
    return found


def _parsed(text: str) -> list[str]:
    """Names in a list or object written as JSON or by Python; a text that is neither is the one name itself."""
    for read in (json.loads, ast.literal_eval):  # the latter reads constants only, it executes nothing
        try:
            value = read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        items = value if isinstance(value, list) else [value]
        labels = [item.get("name", item.get("id")) if isinstance(item, dict) else item for item in items]
        return [writable(str(label)) for label in labels if label is not None]
    return [text]
