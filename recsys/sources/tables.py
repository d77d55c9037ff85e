"""The source that reads a user's own tables; `files` reads them, `mapping` names and `columns` converts columns."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa

from recsys.errors import UserError
from recsys.sources import columns as convert
from recsys.sources import nested
from recsys.sources.base import CATEGORY, CONTENT, CREATED, CREATOR, MOODS, TAGS, TIME, TYPE, USER, VALUE, Kind, Tables
from recsys.sources.files import FORMATS, column_names, file_format, find_files, read_columns
from recsys.sources.mapping import LAYOUTS, ColumnMapping, FileColumns, fixed_kinds

logger = logging.getLogger(__name__)


class TableSource:
    """Interactions, users, contents and content tags from CSV, TSV or Parquet files.

    Ids are read exactly: as int64 where all ids of a kind in all tables are whole numbers, else as the strings they
    are ("007" is not 7). Times and values are left as they are for cleaning. A column of users or contents that has
    no name of the project's is a feature; further columns of the other tables are left out.

    Args:
        path: the folder, or the one file of interactions.
        name: short name of the data set; the folder's or file's by default.
        columns: the project's name of a column -> the files' name, where it differs; None is the same name. Several
            names are tried in turn in each file, for tables that call the same thing differently. The project's
            names are those of `Tables`, and `user_created_at` for the `created_at` of users.
        files: table -> glob patterns in the folder; None is the usual name (`interactions*`, `users*`, `contents*`
            or `items*`, `content_tags*`), an empty list leaves the table out.
        kinds: feature -> number, category, list, text or time; as "contents.year", "year" or nested by table.
        default_type: the type of all events of files without a type column.
        separators: each of these characters separates the values of a list, such as the tags "a|b".
    """

    def __init__(
        self,
        *,
        path: str | Path,
        name: str | None = None,
        columns: Mapping[str, str | Sequence[str] | None] | None = None,
        files: Mapping[str, str | Sequence[str] | None] | None = None,
        kinds: Mapping[str, str | Mapping[str, str]] | None = None,
        default_type: str = "interaction",
        separators: str = "|",
    ) -> None:
        self.path = Path(path).expanduser()
        self.name = name
        self.mapping = ColumnMapping(_listed(columns))
        self.patterns = _listed(files)
        self.kinds = dict(kinds or {})
        self.default_type = default_type
        self.separators = separators

    def load(self) -> Tables:
        """Read all tables.

        Raises:
            UserError: if a file is missing, unreadable or lacks what is needed, or an option fits no file.
        """
        files = self._files()
        self.mapping.check(files)
        kinds = fixed_kinds(self.kinds, self.mapping.all_features(files))
        columns = {table: self._columns(table, names) for table, names in files.items()}
        _unite_ids(columns)
        frames = {table: self._frame(table, columns[table], kinds.get(table, {})) for table in columns}
        for table, frame in frames.items():
            _log(table, list(files[table]), frame)
        return Tables(
            name=self.name or _stem(self.path),
            interactions=frames["interactions"],
            users=frames.get("users"),
            contents=frames.get("contents"),
            content_tags=frames.get("content_tags"),
            kinds=kinds,
        )

    def _files(self) -> FileColumns:
        """Files of every table there is, with the names of their columns."""
        unknown = self.patterns.keys() - LAYOUTS.keys()
        if unknown:
            raise UserError(f"data.files has no entry {min(unknown)!r}: its entries are {', '.join(LAYOUTS)}.")
        if not self.separators:
            raise UserError('data.separators is empty: give the characters between the values of a list, such as "|".')
        if not self.path.exists():
            raise UserError(f"There is no folder or file {self.path}: give the one with the tables as data.path=DIR.")
        paths = {table: self._paths(table) for table in LAYOUTS}
        return {table: {path: column_names(path) for path in found} for table, found in paths.items() if found}

    def _paths(self, table: str) -> list[Path]:
        """Files of one table; none where there is none, except that there must be interactions."""
        is_folder = self.path.is_dir()
        folder = self.path if is_folder else self.path.parent
        if table == "interactions" and not is_folder:
            if table in self.patterns or file_format(self.path) is None:
                raise UserError(
                    f"{self.path} is no folder: give one as data.path, or one file that is {FORMATS} "
                    "without data.files.interactions."
                )
            return [self.path]
        if table in self.patterns:
            return _matches(folder, table, self.patterns[table])
        paths = _usual(folder, table) if is_folder else []
        if table == "interactions" and not paths:
            raise UserError(
                f"{folder} has no table whose name begins with 'interactions' ({FORMATS}): "
                "name its interactions with data.files.interactions=PATTERN."
            )
        return paths

    def _columns(self, table: str, files: Mapping[Path, Sequence[str]]) -> dict[str, pa.ChunkedArray]:
        """Columns of one table under their names of the project, all files one after the other; ids exact."""
        parts = [self._part(table, path, names) for path, names in files.items()]
        if not any(len(part) for part in parts):
            raise UserError(f"{' and '.join(map(str, files))} has no rows: give at least one below the column names.")
        stacked = convert.stack(parts, f"The columns of {table}")
        return {column: stacked[column] for column in stacked.column_names}

    def _part(self, table: str, path: Path, names: Sequence[str]) -> pa.Table:
        """Columns of one file under their names of the project; ids exact."""
        features = self.mapping.features(table, names)
        sources = self.mapping.sources(table, names) | {name: name for name in features}
        left_out = [name for name in names if name not in sources.values()]
        if left_out:
            logger.info("%s: left out %s", path.name, ", ".join(map(repr, left_out)))
        read = read_columns(path, list(dict.fromkeys(sources.values())))
        part = {column: convert.plain(read[source]) for column, source in sources.items()}
        typed = file_format(path) == "parquet"
        for column in {USER, CONTENT, CREATOR}.intersection(LAYOUTS[table].columns.values(), part):
            part[column] = convert.exact_ids(part[column], typed, f"Column {sources[column]!r} of {path}")
        if table == "interactions" and TYPE not in part:
            part[TYPE] = pa.chunked_array([pa.repeat(str(self.default_type), len(read))])
        return pa.table(part)

    def _frame(self, table: str, columns: Mapping[str, pa.ChunkedArray], kinds: Mapping[str, Kind]) -> pd.DataFrame:
        """The columns for pandas, each in the form its meaning needs."""
        frame = {}
        for column, values in columns.items():
            where = f"Column {column!r} of {table}"
            converted: pd.Series | None
            if column not in LAYOUTS[table].columns.values():
                converted = convert.feature(values, kinds.get(column), self.separators, where)
            elif column == CATEGORY:
                converted = nested.names(values, where)
            elif column in (TAGS, MOODS):
                converted = nested.lists(values, self.separators, where)
            elif not convert.is_scalar(values.type):
                raise UserError(f"{where} is of type {values.type}: give plain values.")
            elif column in (USER, CONTENT, CREATOR):
                converted = convert.ids(values)
            elif column in (TIME, CREATED):
                converted = convert.times(values)
            else:
                converted = convert.numbers(values) if column == VALUE else convert.texts(values)
            if converted is None:
                logger.warning("%s is left out: a feature cannot be of type %s", where, values.type)
            else:
                frame[column] = converted
        return pd.DataFrame(frame)


def _listed(options: Mapping[str, str | Sequence[str] | None] | None) -> dict[str, list[str]]:
    """Options with one or several values as lists, without those that are not set."""
    given = {key: value for key, value in (options or {}).items() if value is not None}
    return {key: [str(value)] if isinstance(value, str | int) else [*map(str, value)] for key, value in given.items()}


def _stem(path: Path) -> str:
    """Name of a folder, or of a file without its suffixes."""
    name = path.resolve().name
    return name.split(".")[0] if path.is_file() else name


def _matches(folder: Path, table: str, patterns: Sequence[str]) -> list[Path]:
    """Files that the user's patterns match; each pattern must match one."""
    found: set[Path] = set()
    for pattern in patterns:
        matches = find_files(folder, pattern)
        if not matches:
            raise UserError(f"data.files.{table}={pattern} matches no file in {folder}: correct the pattern.")
        for path in matches:
            if file_format(path) is None:
                raise UserError(
                    f"{path} cannot be read, but data.files.{table} names it: give files that are {FORMATS}."
                )
        found.update(matches)
    return sorted(found)


def _usual(folder: Path, table: str) -> list[Path]:
    """Files of a table under its usual name."""
    found = [[p for p in find_files(folder, name) if file_format(p)] for name in LAYOUTS[table].patterns]
    found = [matches for matches in found if matches]
    if len(found) > 1:
        raise UserError(
            f"{folder} has both {found[0][0].name} and {found[1][0].name}: choose with data.files.{table}=PATTERN."
        )
    return found[0] if found else []


def _unite_ids(tables: dict[str, dict[str, pa.ChunkedArray]]) -> None:
    """Gives ids that name the same things one type in all tables; creators are strings where users are."""
    for column in (USER, CONTENT):
        holders = [table for table in tables if column in LAYOUTS[table].needed]
        united = convert.ids_of_one_type([tables[table][column] for table in holders])
        for table, ids in zip(holders, united, strict=True):
            tables[table][column] = ids
    contents = tables.get("contents", {})
    if CREATOR in contents and pa.types.is_string(tables["interactions"][USER].type):
        contents[CREATOR] = contents[CREATOR].cast(pa.string())


def _log(table: str, paths: Sequence[Path], frame: pd.DataFrame) -> None:
    where = paths[0].name if len(paths) == 1 else f"{len(paths)} files ({paths[0].name} to {paths[-1].name})"
    logger.info("%s: %s rows from %s, columns %s", table, f"{len(frame):,}", where, ", ".join(map(str, frame.columns)))
