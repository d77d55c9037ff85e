"""Finds and reads the files of a table as Arrow tables; `columns` makes the project's columns of them."""

import csv
import glob
import io
import re
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as arrow_csv
from pyarrow import parquet

from recsys.errors import UserError

DELIMITERS = {"csv": ",", "tsv": "\t"}
FORMATS = "CSV, TSV or Parquet, plain or with .gz or .zst"
# What counts as a missing value in a text file, besides an empty field.
_MISSING = ["", "NA", "N/A", "n/a", "NaN", "nan", "-NaN", "-nan", "NULL", "null", "None", "<NA>", "#N/A", "#NA", r"\N"]
_BLOCK_BYTES = 1 << 24  # no row may be longer


def find_files(folder: Path, pattern: str) -> list[Path]:
    """Files that match a glob pattern such as `events/2024-*.csv.gz`, sorted; relative patterns start in `folder`."""
    # pathlib's glob refuses absolute patterns; `root_dir` keeps brackets in the folder's name from being a pattern.
    matches = glob.glob(pattern, root_dir=folder, recursive=True)  # noqa: PTH207
    return sorted(path for path in (folder / match for match in matches) if path.is_file())


def file_format(path: Path) -> str | None:
    """`csv`, `tsv` or `parquet` by the file's name, None for anything else."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in (".gz", ".zst"):
        suffixes.pop()
    kind = suffixes[-1].removeprefix(".") if suffixes else ""
    return kind if kind in (*DELIMITERS, "parquet") else None


def column_names(path: Path) -> list[str]:
    """Names of the columns of one file, in its order.

    Raises:
        UserError: if the file is empty, unreadable or has two columns of one name.
    """
    with _reading(path):
        kind = file_format(path)
        names = _parquet(path).schema_arrow.names if kind == "parquet" else _header(path, DELIMITERS[str(kind)])
    if not names:
        raise UserError(f"{path} is empty: give a file with a row of column names and at least one row of values.")
    repeated = sorted(name for name, count in Counter(names).items() if count > 1)
    if repeated:
        raise UserError(f"{path} has more than one column named {repeated[0]!r}: rename or remove all but one.")
    return names


def read_columns(path: Path, columns: Collection[str]) -> pa.Table:
    """The named columns of one file: text as written from CSV and TSV, typed from Parquet; missing values are null.

    Raises:
        UserError: if the file is unreadable or damaged, not in UTF-8, or has a row with too many or too few fields.
    """
    with _reading(path):
        kind = file_format(path)
        if kind == "parquet":
            return _parquet(path).read(columns=list(columns))
        return arrow_csv.read_csv(
            _open(path),
            # In one thread, since only then an error names the row.
            read_options=arrow_csv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES),
            parse_options=arrow_csv.ParseOptions(delimiter=DELIMITERS[str(kind)], newlines_in_values=True),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(columns, pa.string()),
                include_columns=list(columns),
                strings_can_be_null=True,
                null_values=_MISSING,
            ),
        )


def _header(path: Path, delimiter: str) -> list[str]:
    """First row of a text file that is not blank; nothing where there is none."""
    with _open(path) as stream, io.TextIOWrapper(stream, encoding="utf-8-sig", newline="") as text:
        rows: Iterator[list[str]] = csv.reader(text, delimiter=delimiter)
        return next((row for row in rows if row), [])


def _parquet(path: Path) -> Any:
    """A Parquet file open for reading; one that is compressed as a whole is unpacked in memory."""
    compressed = path.suffix.lower() in (".gz", ".zst")
    return parquet.ParquetFile(pa.BufferReader(_open(path).read()) if compressed else path)


def _open(path: Path) -> Any:
    """The file's bytes, unpacked on the way."""
    return pa.input_stream(str(path), compression={".gz": "gzip", ".zst": "zstd"}.get(path.suffix.lower()))


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turns whatever goes wrong while reading `path` into one sentence."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text: save it in UTF-8.") from error
    except (OSError, ValueError, pa.ArrowException, csv.Error) as error:
        raise UserError(_sentence(path, " ".join(str(error).split()))) from error


def _sentence(path: Path, message: str) -> str:
    wrong_row = re.search(r"(?:Row #(\d+): )?Expected (\d+) columns, got (\d+)", message)
    if wrong_row:
        row, expected, got = wrong_row.groups()
        return f"{path} has {got} fields instead of {expected} in row {row} (the header is row 1): mend that row."
    if "invalid UTF8" in message:
        column = re.search(r"CSV column #(\d+)", message)
        return f"{path} is not UTF-8 text{f' in column {int(column[1]) + 1}' if column else ''}: save it in UTF-8."
    if "Empty CSV file" in message or "size is 0 bytes" in message:
        return f"{path} is empty: give a file with a row of column names and at least one row of values."
    return f"{path} is damaged or not what its name says ({message[:200].rstrip('.')}): write or download it again."
