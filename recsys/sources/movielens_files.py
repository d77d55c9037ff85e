"""Reads the files of MovieLens in each of GroupLens' three layouts; `movielens` finds or downloads them."""

import csv
import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, cast

import numpy as np
import pandas as pd

from recsys.errors import UserError
from recsys.sources.base import CONTENT, TAGS, TIME, TITLE, TYPE, USER, VALUE, Kind, Tables

# Order of the genre columns in u.item of 100k; the first means that there is none.
_GENRES = [
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
]  # fmt: skip
_NO_GENRE = "(no genres listed)"
_RATING = [USER, CONTENT, VALUE, TIME]
_RATING_HEADER = ["userId", "movieId", "rating", "timestamp"]
# Columns that are no text.
_TYPES: dict[str, type] = {USER: np.int64, CONTENT: np.int64, VALUE: np.float64, TIME: np.int64, "age": np.int64}
_TYPES |= dict.fromkeys(_GENRES, np.int64)
# Occupations are codes in 1m; the age is the lower end of a range there.
_USER_KINDS: dict[str, Kind] = {"age": "number", "gender": "category", "occupation": "category"}

_File = Path | zipfile.Path


def read_movielens(path: Path) -> Tables:
    """Tables of a folder or zip with the files of latest-small or 32m (CSV), 100k (u.data) or 1m (.dat).

    Raises:
        UserError: if there is no such file or folder, or a file is missing or not as GroupLens lays it out.
    """
    if path.is_dir():
        return _read({file.name.removesuffix(".gz"): file for file in sorted(path.iterdir()) if file.is_file()}, path)
    if not path.exists():
        raise UserError(f"There is no folder or file {path}: correct data.path, or leave it out to download MovieLens.")
    with _reading(path), zipfile.ZipFile(path) as archive:
        members = [name for name in archive.namelist() if not name.endswith("/") and not name.startswith("__MACOSX")]
        return _read({PurePosixPath(name).name: zipfile.Path(archive, name) for name in members}, path)


def _read(files: Mapping[str, _File], path: Path) -> Tables:
    """Tables of the files by their names, which tell the layout."""
    for ratings, read in (("ratings.csv", _read_csv), ("ratings.dat", _read_1m), ("u.data", _read_100k)):
        if ratings in files:
            return read(files, path)
    raise UserError(
        f"{path} has no ratings of MovieLens (ratings.csv, ratings.dat or u.data): give the folder that holds them, "
        "or the zip as it was downloaded."
    )


def _read_csv(files: Mapping[str, _File], path: Path) -> Tables:
    ratings = _table(_file(files, "ratings.csv", path), dict(zip(_RATING_HEADER, _RATING, strict=True)))
    parts = [ratings.assign(**{TYPE: "rating"})]
    if "tags.csv" in files:
        columns = {"userId": USER, "movieId": CONTENT, "timestamp": TIME}
        parts.append(_table(files["tags.csv"], columns).assign(**{TYPE: "tag"}))
    films = _table(_file(files, "movies.csv", path), {"movieId": CONTENT, "title": TITLE, "genres": TAGS})
    return _tables(pd.concat(parts, ignore_index=True), films.assign(**{TAGS: _split_genres(films[TAGS])}), None)


def _read_100k(files: Mapping[str, _File], path: Path) -> Tables:
    ratings = _unnamed(_file(files, "u.data", path), "\t", _RATING)
    films = _unnamed(
        _file(files, "u.item", path), "|", [CONTENT, TITLE, "release_date", "video_release_date", "url", *_GENRES]
    )
    users = _unnamed(_file(files, "u.user", path), "|", [USER, "age", "gender", "occupation", "zip_code"])
    film, genre = np.nonzero(films[_GENRES[1:]].to_numpy() == 1)
    ends = np.cumsum(np.bincount(film, minlength=len(films)))[:-1]
    genres = [part.tolist() for part in np.split(np.array(_GENRES[1:])[genre], ends)]
    films = films[[CONTENT, TITLE]].assign(**{TAGS: pd.Series(genres, dtype=object)})
    return _tables(ratings.assign(**{TYPE: "rating"}), films, users)


def _read_1m(files: Mapping[str, _File], path: Path) -> Tables:
    ratings = _unnamed(_file(files, "ratings.dat", path), "::", _RATING)
    films = _unnamed(_file(files, "movies.dat", path), "::", [CONTENT, TITLE, TAGS])
    users = _unnamed(_file(files, "users.dat", path), "::", [USER, "gender", "age", "occupation", "zip_code"])
    films = films.assign(**{TAGS: _split_genres(films[TAGS])})
    return _tables(ratings.assign(**{TYPE: "rating"}), films, users)


def _tables(interactions: pd.DataFrame, films: pd.DataFrame, users: pd.DataFrame | None) -> Tables:
    year = films[TITLE].str.extract(r"\((\d{4})(?:[-–]\d{0,4})?\)\s*$", expand=False).astype(np.float64)
    kinds: dict[str, dict[str, Kind]] = {"contents": {"year": "number"}}
    if users is not None:
        users = users[[USER, *_USER_KINDS]]
        kinds["users"] = dict(_USER_KINDS)
    return Tables(
        name="movielens",
        interactions=interactions[[USER, CONTENT, TYPE, VALUE, TIME]],
        users=users,
        contents=films.assign(year=year),
        kinds=kinds,
    )


def _split_genres(genres: pd.Series) -> pd.Series:
    """`Action|Comedy` as a list."""
    known = genres.where(genres != _NO_GENRE).str.split("|")
    return pd.Series([names if isinstance(names, list) else [] for names in known], dtype=object)


def _file(files: Mapping[str, _File], name: str, path: Path) -> _File:
    if name not in files:
        raise UserError(f"{path} has no {name}, which belongs to MovieLens beside its ratings: download it again.")
    return files[name]


def _table(file: _File, columns: Mapping[str, str]) -> pd.DataFrame:
    """The columns of a CSV file under their new names."""
    types = {name: _TYPES.get(column, str) for name, column in columns.items()}
    with _reading(file), _stream(file) as stream:
        frame = pd.read_csv(stream, usecols=list(columns), dtype=types, keep_default_na=False)
    return frame.rename(columns=columns)[list(columns.values())]


def _unnamed(file: _File, separator: str, columns: Sequence[str]) -> pd.DataFrame:
    """A latin-1 file without header and quotes."""
    with _reading(file), _stream(file) as stream:
        content = stream.read()
        if len(separator) > 1:  # the fast parser takes one character only
            content, separator = content.replace(separator.encode(), b"\x1f"), "\x1f"
        return pd.read_csv(
            io.BytesIO(content),
            sep=separator,
            names=list(columns),
            index_col=False,
            dtype={column: _TYPES.get(column, str) for column in columns},
            keep_default_na=False,
            encoding="latin-1",
            quoting=csv.QUOTE_NONE,
        )


@contextmanager
def _stream(file: _File) -> Iterator[IO[bytes]]:
    """The file's bytes, unpacked on the way."""
    with file.open("rb") as stream:
        if file.name.endswith(".gz"):
            with gzip.open(stream) as unpacked:
                yield cast(IO[bytes], unpacked)
        else:
            yield stream


@contextmanager
def _reading(file: _File) -> Iterator[None]:
    """Turns whatever goes wrong while reading `file` into one sentence."""
    try:
        yield
    except (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        reason = " ".join(str(error).split())[:200].rstrip(".")
        raise UserError(f"{file} is damaged or not a file of MovieLens ({reason}): download it again.") from error
