"""Finds and reads the files of a table as Arrow tables; `columns` makes the project's columns of them."""

import csv
import glob
import io
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
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
        names = _parquet(path).schema_arrow.names if kind == "parquet" else _header(path, DELIMITERS[str(kind)])[0]
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
        return _tabbed(path, columns) if kind == "tsv" else _quoted(path, DELIMITERS[str(kind)], columns)


def _quoted(path: Path, delimiter: str, columns: Collection[str]) -> pa.Table:
    """The named columns of a text file in which quotes around a value may enclose delimiters and line breaks."""
    parsing = arrow_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    return arrow_csv.read_csv(_open(path), _in_order(), parsing, _as_written(columns))


def _tabbed(path: Path, columns: Collection[str]) -> pa.Table:
    """The named columns of a TSV file, with quotes or without.

    Dumps write values without quotes, so that one may begin with a quote that nothing closes; it must not swallow the
    rows below. So a line is a row where all lines have as many fields as there are columns, and only quotes around a
    whole value are taken off. Else quotes enclose tabs or line breaks, and then all of them must be closed.
    """
    delimiter = DELIMITERS["tsv"]
    names, num_lines = _header(path, delimiter)
    parsing = arrow_csv.ParseOptions(delimiter=delimiter, quote_char=False)
    try:
        read = arrow_csv.read_csv(_open(path), _in_order(names, num_lines), parsing, _as_written(columns))
    except pa.ArrowInvalid:
        read = _quoted(path, delimiter, columns)
        _check_quotes(path, delimiter)
        return read
    return pa.table({name: _unquoted(read[name]) for name in read.column_names})


def _in_order(names: Sequence[str] = (), num_lines: int = 0) -> Any:
    """Reads in one thread, since only then an error names the row; names given stand in the first lines."""
    return arrow_csv.ReadOptions(
        use_threads=False, block_size=_BLOCK_BYTES, column_names=list(names), skip_rows=num_lines
    )


def _as_written(columns: Collection[str]) -> Any:
    """Keeps the named columns, as text."""
    return arrow_csv.ConvertOptions(
        column_types=dict.fromkeys(columns, pa.string()),
        include_columns=list(columns),
        strings_can_be_null=True,
        null_values=_MISSING,
    )


def _unquoted(text: pa.ChunkedArray) -> pa.ChunkedArray:
    """Values without quotes around them; a quote inside such a value is written twice."""
    inner = pc.replace_substring(pc.utf8_slice_codeunits(text, 1, -1), '""', '"')
    inner = pc.if_else(pc.is_in(inner, pa.array(_MISSING)), pa.scalar(None, pa.string()), inner)
    return pc.if_else(pc.match_substring_regex(text, r'^"([^"]|"")*"$'), inner, text)


def _check_quotes(path: Path, delimiter: str) -> None:
    """Raise `UserError` where a value that begins with a quote goes on after the next one, or never ends."""
    with _text(path) as text:
        rows = csv.reader(text, delimiter=delimiter, strict=True)
        begin = 1
        try:
            for _ in rows:
                begin = rows.line_num + 1
        except csv.Error as error:
            raise UserError(
                f"{path} has a value that begins with a quote in line {begin}, where quotes are not closed as they "
                "must be around values with tabs or line breaks: mend that line, or write the file without such values."
            ) from error


def _header(path: Path, delimiter: str) -> tuple[list[str], int]:
    """First row of a text file that is not blank, nothing where there is none, and the number of lines to its end."""
    with _text(path) as text:
        rows = csv.reader(text, delimiter=delimiter)
        return next((row for row in rows if row), []), rows.line_num


def _parquet(path: Path) -> Any:
    """A Parquet file open for reading; one that is compressed as a whole is unpacked in memory."""
    compressed = path.suffix.lower() in (".gz", ".zst")
    return parquet.ParquetFile(pa.BufferReader(_open(path).read()) if compressed else path)


@contextmanager
def _text(path: Path) -> Iterator[io.TextIOWrapper]:
    """The file's text, with its line breaks as they are."""
    with _open(path) as stream, io.TextIOWrapper(stream, encoding="utf-8-sig", newline="") as text:
        yield text


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
