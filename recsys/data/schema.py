"""Which columns each of the four tables must have and may have; `cleaning` checks the values row by row."""

import pandas as pd
import pandera.pandas as pa
from pandera.errors import SchemaErrorReason, SchemaErrors

from recsys.errors import UserError
from recsys.sources.base import (
    CATEGORY,
    CONTENT,
    CREATED,
    CREATOR,
    MOODS,
    TAG,
    TAG_KIND,
    TAGS,
    TIME,
    TITLE,
    TYPE,
    USER,
    VALUE,
    Tables,
)

# Table -> columns it must have, columns with a meaning of their own that it may have. Users and contents may have
# any further columns, which become features.
_COLUMNS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "interactions": ((USER, CONTENT, TIME), (TYPE, VALUE)),
    "users": ((USER,), (CREATED,)),
    "contents": ((CONTENT,), (TITLE, CATEGORY, CREATOR, CREATED, TAGS, MOODS)),
    "content_tags": ((CONTENT, TAG), (TAG_KIND,)),
}


def _schema(table: str) -> pa.DataFrameSchema:
    required, optional = _COLUMNS[table]
    columns = {name: pa.Column(nullable=True, required=name in required) for name in (*required, *optional)}
    return pa.DataFrameSchema(columns, name=table, unique_column_names=True)


SCHEMAS = {table: _schema(table) for table in _COLUMNS}


def special_columns(table: str) -> tuple[str, ...]:
    """Columns of `table` that have a meaning of their own; any other is a feature."""
    return tuple(SCHEMAS[table].columns)


def check_tables(tables: Tables) -> None:
    """Check that each table given has the columns it must have, each once, and the first one any rows.

    Raises:
        UserError: naming the table and the column.
    """
    for name, schema in SCHEMAS.items():
        table: pd.DataFrame | None = getattr(tables, name)
        if table is None:
            continue
        try:
            schema.validate(table, lazy=True)
        except SchemaErrors as error:
            raise UserError(_sentence(name, table, error)) from None
    if tables.interactions.empty:
        raise UserError("The interactions table has no rows: give at least some hundred events.")


def _sentence(name: str, table: pd.DataFrame, error: SchemaErrors) -> str:
    first = error.schema_errors[0]
    if first.reason_code == SchemaErrorReason.DUPLICATE_COLUMN_LABELS:
        twice = ", ".join(sorted({str(column) for column in table.columns[table.columns.duplicated()]}))
        return f"The {name} table has the column {twice} more than once: rename or drop all but one."
    missing = [column for column in _COLUMNS[name][0] if column not in table.columns]
    have = ", ".join(str(column) for column in table.columns)
    return (
        f"The {name} table lacks the column {', '.join(missing)}; it has {have}: "
        f"map your column with data.columns.{missing[0]}=NAME."
    )
