"""Makes the project's columns of Arrow columns as `files` reads them; `nested` does names and lists of names."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from recsys.errors import UserError
from recsys.sources.base import Kind
from recsys.sources.nested import as_text, holds_names, is_list, lists, names

# Whole numbers as pandas writes them where some are missing: 12 as 12.0, large ones as 1.2345678901234568e+17.
_WHOLE_AS_FRACTION = r"^(0|-?[1-9][0-9]*)(\.0+)?$|^-?[1-9](\.[0-9]+)?[eE]\+[0-9]+$"


def plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column without an encoding around its values: dictionaries as their values, dates as times."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return plain(column.cast(kind.value_type))
    if pa.types.is_date(kind):
        return column.cast(pa.timestamp("ms"))
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return column.cast(pa.string())
    return column


def is_scalar(kind: pa.DataType) -> bool:
    """Whether a column of this type, after `plain`, holds plain values: text, numbers, truth values or times."""
    known = (
        pa.types.is_string(kind) or pa.types.is_null(kind) or pa.types.is_boolean(kind) or pa.types.is_timestamp(kind)
    )
    return bool(known or pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def stack(tables: Sequence[pa.Table], where: str) -> pa.Table:
    """One table below the other; a column that is text in only some of them becomes text in all.

    Args:
        tables: the tables; a column may be missing in some.
        where: what the columns are called in messages.

    Raises:
        UserError: if a column has types that do not go together.
    """
    text = {field.name for table in tables for field in table.schema if pa.types.is_string(field.type)}
    try:
        alike = [
            pa.table(
                {name: table[name].cast(pa.string()) if name in text else table[name] for name in table.column_names}
            )
            for table in tables
        ]
        return pa.concat_tables(alike, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{where} have different types in its files ({reason}): write all files alike.") from error


def exact_ids(column: pa.ChunkedArray, typed: bool, where: str) -> pa.ChunkedArray:
    """Ids as int64 where they are whole numbers, else as strings.

    Text of a file without types is whole numbers if all of it is exactly how numbers are written: so "007" stays
    "007". Typed text stays text, and 12.0, what 12 becomes in a column with missing values, is 12 again, also where it
    is written so.

    Args:
        column: ids of any type, [n].
        typed: whether the file says which columns are text.
        where: what the column is called in messages.

    Raises:
        UserError: if the column's type is none for ids, a number is not whole, or fractions were too coarse for it.
    """
    kind = column.type
    if pa.types.is_string(kind):
        text = as_text(column)
        whole = None if typed else _whole_ids(text, where)
        return text if whole is None else whole
    number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    if not (number or pa.types.is_null(kind)):
        raise UserError(f"{where} is of type {kind}: give ids as whole numbers or text.")
    if pa.types.is_floating(kind):
        _check_digits(column, np.finfo(kind.to_pandas_dtype()).nmant + 1, where)
    try:
        return column.cast(pa.int64())
    except pa.ArrowInvalid as error:
        raise UserError(
            f"{where} has numbers that are not whole or do not fit 64 bits: give ids as whole numbers or text."
        ) from error


def ids_of_one_type(columns: Sequence[pa.ChunkedArray]) -> list[pa.ChunkedArray]:
    """Outcomes of `exact_ids` that name the same things: all int64, or else all strings, so that they compare."""
    whole = all(pa.types.is_integer(column.type) for column in columns)
    return [column if whole else column.cast(pa.string()) for column in columns]


def ids(column: pa.ChunkedArray) -> pd.Series:
    """Outcome of `exact_ids` for pandas: int64, nullable where some are missing, or str."""
    mapper = {pa.int64(): pd.Int64Dtype()}.get if column.null_count else None
    return pd.Series(column.to_pandas(types_mapper=mapper))


def texts(column: pa.ChunkedArray) -> pd.Series:
    """Any column as strings, 12 as "12"; empty ones are missing."""
    return pd.Series(as_text(column).to_pandas())


def numbers(column: pa.ChunkedArray) -> pd.Series:
    """Numbers where the column holds nothing else, else the values as they are."""
    return pd.Series(_inferred(column).to_pandas())


def times(column: pa.ChunkedArray) -> pd.Series:
    """Times as they are written: whole numbers as int64, dates as such, everything else as float or text.

    Whole numbers among which some are missing stay text, since floats would round nanoseconds.
    """
    inferred = _inferred(column)
    rounded = pa.types.is_integer(inferred.type) and inferred.null_count
    return texts(column) if rounded else pd.Series(inferred.to_pandas())


def feature(column: pa.ChunkedArray, kind: Kind | None, separators: str, where: str) -> pd.Series | None:
    """A further column of a table of nodes, of the kind the user fixed or as it comes.

    Args:
        column: the values, [n].
        kind: the kind the user fixed.
        separators: each of these characters separates the values of a list.
        where: what the column is called in messages.

    Returns:
        The values, [n]; None where the column is of a type that no feature can be of, such as vectors.

    Raises:
        UserError: if the column cannot be of the kind that the user fixed.
    """
    if kind == "list" or (is_list(column.type) and holds_names(column.type)):
        return lists(column, separators, where)
    if pa.types.is_struct(column.type) and holds_names(column.type):
        return names(column, where)
    if not is_scalar(column.type):
        return None
    if kind in ("category", "text"):
        return texts(column)
    return times(column) if kind == "time" else numbers(column)


def _whole_ids(text: pa.ChunkedArray, where: str) -> pa.ChunkedArray | None:
    """Int64 where every text is a whole number, also one that was written as a fraction, else None."""
    whole = _whole_numbers(text)
    if whole is not None or not pc.all(pc.match_substring_regex(text, pattern=_WHOLE_AS_FRACTION)).as_py():
        return whole
    fractions = text.filter(pc.match_substring_regex(text, pattern=r"[.eE]"))
    _check_digits(fractions, np.finfo(np.float64).nmant + 1, where)
    return _whole_numbers(pc.replace_substring_regex(text, pattern=r"\.0+$", replacement=""))


def _check_digits(fractions: pa.ChunkedArray, bits: int, where: str) -> None:
    """Raise `UserError` where whole numbers, written as fractions of so many bits, may have been others before."""
    largest = pc.max(pc.abs(fractions.cast(pa.float64()))).as_py()
    if largest is not None and largest >= 2**bits:
        raise UserError(
            f"{where} has numbers that lost digits when they became fractions (as pandas makes of whole numbers where "
            "some are missing): write these ids as whole numbers or text."
        )


def _whole_numbers(text: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Int64 where every text is exactly how its number is written, else None."""
    try:
        whole = text.cast(pa.int64())
    except pa.ArrowInvalid:
        return None
    same = pc.all(pc.equal(whole.cast(pa.string()), text)).as_py()  # None where all are missing
    return None if same is False else whole


def _inferred(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Text as numbers where every one is a number and none a code with leading zeros; other columns as they are."""
    if pa.types.is_null(column.type) or pa.types.is_decimal(column.type):
        return column.cast(pa.float64())
    if not pa.types.is_string(column.type):
        return column
    text = as_text(pc.utf8_trim_whitespace(column))
    whole = _whole_numbers(text)
    if whole is not None:
        return whole
    try:
        decimal = text.cast(pa.float64())
    except pa.ArrowInvalid:
        return as_text(column)
    codes = pc.any(pc.match_substring_regex(text, pattern=r"^[+-]?0[0-9]")).as_py()
    return as_text(column) if codes else decimal
