"""Which columns a user's tables hold and what the files call them; `tables` reads them accordingly."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

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
    Kind,
)

# Table -> names of the columns of each of its files.
FileColumns = Mapping[str, Mapping[Path, Sequence[str]]]


@dataclass(frozen=True)
class Layout:
    """What a table holds.

    Attributes:
        needed, optional: name of the option that maps a column -> the column.
        patterns: where its files are looked for, unless the user says otherwise; only one of them may match.
        has_features: whether further columns are features.
    """

    needed: dict[str, str]
    optional: dict[str, str]
    patterns: tuple[str, ...]
    has_features: bool

    @property
    def columns(self) -> dict[str, str]:
        """Option -> column, for all columns."""
        return self.needed | self.optional


def _same(*names: str) -> dict[str, str]:
    return {name: name for name in names}


LAYOUTS = {
    "interactions": Layout(_same(USER, CONTENT, TIME), _same(TYPE, VALUE), ("interactions*",), False),
    "users": Layout(_same(USER), {f"user_{CREATED}": CREATED}, ("users*",), True),
    "contents": Layout(
        _same(CONTENT), _same(TITLE, CATEGORY, CREATOR, CREATED, TAGS, MOODS), ("contents*", "items*"), True
    ),
    "content_tags": Layout(_same(CONTENT, TAG), _same(TAG_KIND), ("content_tags*",), False),
}
_UNNAMED = ("", "__index_level_0__")  # row numbers that a data frame left when it was written


@dataclass(frozen=True)
class ColumnMapping:
    """What the files call the project's columns.

    Attributes:
        names: option -> the files' names for its column, tried in turn and before the project's own name.
    """

    names: Mapping[str, Sequence[str]]

    def sources(self, table: str, names: Sequence[str]) -> dict[str, str]:
        """Column of the project -> column of a file with these names, for all that the file has."""
        sources = {}
        for option, column in LAYOUTS[table].columns.items():
            found = [name for name in (*self.names.get(option, ()), column) if name in names]
            if found:
                sources[column] = found[0]
        return sources

    def features(self, table: str, names: Sequence[str]) -> list[str]:
        """Columns of a file with these names that are features."""
        if not LAYOUTS[table].has_features:
            return []
        taken = {*self.sources(table, names).values(), *LAYOUTS[table].columns.values(), *_UNNAMED}
        return [name for name in names if name not in taken]

    def all_features(self, files: FileColumns) -> dict[str, list[str]]:
        """Table -> columns of any of its files that are features."""
        return {
            table: list(dict.fromkeys(name for names in of_files.values() for name in self.features(table, names)))
            for table, of_files in files.items()
        }

    def check(self, files: FileColumns) -> None:
        """Every file has the columns its table needs, and every name the user gave is in some file.

        Raises:
            UserError: if not.
        """
        known = {option for layout in LAYOUTS.values() for option in layout.columns}
        for option in self.names:
            if option not in known:
                raise UserError(f"data.columns has no entry {option!r}: its entries are {', '.join(sorted(known))}.")
        for table, names_of_files in files.items():
            for path, names in names_of_files.items():
                self._check_needed(table, path, names)
        for option in self.names:
            self._check_named(option, files)

    def _check_needed(self, table: str, path: Path, names: Sequence[str]) -> None:
        sources = self.sources(table, names)
        for option, column in LAYOUTS[table].needed.items():
            if column not in sources:
                wanted = " or ".join(repr(name) for name in dict.fromkeys((*self.names.get(option, ()), column)))
                raise UserError(
                    f"{path} has no column {wanted}, only {', '.join(names)}: "
                    f"name the right one with data.columns.{option}=NAME."
                )

    def _check_named(self, option: str, files: FileColumns) -> None:
        tables = [table for table, layout in LAYOUTS.items() if option in layout.columns]
        read = {path: names for table in tables for path, names in files.get(table, {}).items()}
        present = sorted({name for names in read.values() for name in names})
        for name in self.names[option]:
            if not read:
                raise UserError(
                    f"data.columns.{option}={name} has no table to apply to: there are no {tables[0]} files."
                )
            if name not in present:
                raise UserError(
                    f"data.columns.{option}={name} names a column that is not in {', '.join(p.name for p in read)}: "
                    f"choose from {', '.join(present)}."
                )


def fixed_kinds(
    kinds: Mapping[str, str | Mapping[str, str]], features: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, Kind]]:
    """Table -> feature -> kind, for the features whose kind the user fixed.

    Args:
        kinds: kind of a feature by its name, by "table.name", or nested by table.
        features: table -> its features.

    Raises:
        UserError: if there is no such feature or kind.
    """
    places: dict[str, list[tuple[str, str]]] = {}
    for table, names in features.items():
        for name in names:
            places.setdefault(name, []).append((table, name))
            places.setdefault(f"{table}.{name}", []).append((table, name))
    known: dict[str, Kind] = {kind: kind for kind in get_args(Kind)}
    fixed: dict[str, dict[str, Kind]] = {}
    for key, kind in _flat(kinds).items():
        if kind not in known:
            raise UserError(f"data.kinds.{key}={kind} is no kind: choose from {', '.join(known)}.")
        if key not in places:
            choices = ", ".join(f"{table}.{name}" for table, names in features.items() for name in names)
            raise UserError(f"data.kinds has {key!r}, which is no feature: the features are {choices or 'none'}.")
        for table, name in places[key]:
            fixed.setdefault(table, {})[name] = known[kind]
    return fixed


def _flat(kinds: Mapping[str, str | Mapping[str, str]]) -> dict[str, str]:
    """{"contents": {"year": kind}} as {"contents.year": kind}."""
    flat: dict[str, str] = {}
    for key, value in kinds.items():
        flat |= {f"{key}.{name}": kind for name, kind in value.items()} if isinstance(value, Mapping) else {key: value}
    return flat
