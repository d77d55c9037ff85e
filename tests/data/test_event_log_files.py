"""A log survives its files to the last bit, and damaged files are a clear error."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys.data.event_log import NEVER, EventLog
from recsys.data.event_log_files import read_log, write_log
from recsys.data.preparation import LogSettings, prepare
from recsys.errors import UserError
from recsys.sources.base import Tables
from tests.data.test_preparation import assert_same_log
from tests.factories import tiny_log, tiny_tables


def log_of_every_kind() -> EventLog:
    """Attributes of all kinds, awkward words, missing values, contents that never exist."""
    tables = tiny_tables()
    assert tables.contents is not None
    contents = pd.concat([tables.contents, pd.DataFrame({"content_id": ["never"]})], ignore_index=True)
    contents["genres"] = [["a|b", "ü", ""] if i % 2 else [] for i in range(len(contents))]
    contents["released"] = ["2024-01-31" if i % 3 else None for i in range(len(contents))]
    contents["id"] = np.where(np.arange(len(contents)) % 3, 0.1, np.nan)
    kinds = {"contents": {"genres": "list", "released": "time", "id": "number"}}
    return prepare(replace(tables, contents=contents, kinds=kinds), LogSettings(target=["like"])).log


def without_tags() -> EventLog:
    table = pd.DataFrame(
        {"user_id": ["a", "b"] * 5, "content_id": [1, 2, 3, 4, 5] * 2, "timestamp": range(2 * 10**9, 2 * 10**9 + 10)}
    )
    return prepare(Tables("bare", table), LogSettings(now=3 * 10**9)).log


@pytest.mark.parametrize("make", [tiny_log, log_of_every_kind, without_tags])
def test_round_trip(make: type, tmp_path: Path) -> None:
    log = make()
    write_log(log, tmp_path / "new" / "log")
    assert_same_log(read_log(tmp_path / "new" / "log"), log)
    write_log(log, tmp_path / "new" / "log")  # over an older one
    assert_same_log(read_log(tmp_path / "new" / "log"), log)
    assert {path.suffix for path in (tmp_path / "new" / "log").iterdir()} == {".parquet", ".json"}


def test_every_kind_is_among_the_logs_tried() -> None:
    log = log_of_every_kind()
    assert set(log.contents.kinds.values()) == {"number", "category", "list", "text", "time"}
    assert log.contents.exists_from[-1] == NEVER
    assert log.contents.attributes["genres"].map(len).max() == 2


def test_the_oracle_is_dropped(tmp_path: Path) -> None:
    class Oracle:
        def probability(self, user_ids: np.ndarray, content_ids: np.ndarray, t: int) -> np.ndarray:
            return np.zeros((len(user_ids), len(content_ids)), dtype=np.float32)

    write_log(replace(tiny_log(), oracle=Oracle()), tmp_path)
    assert_same_log(read_log(tmp_path), tiny_log())


def test_what_was_read_can_be_written_to(tmp_path: Path) -> None:
    write_log(tiny_log(), tmp_path)
    log = read_log(tmp_path)
    assert all(array.flags.writeable for array in vars(log).values() if isinstance(array, np.ndarray))


def test_missing_log(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no event log.*log\.json is missing"):
        read_log(tmp_path)


@pytest.mark.parametrize("name", ["events", "users", "contents", "creators", "tags", "content_tags"])
@pytest.mark.parametrize("damage", ["missing", "cut", "foreign", "other columns"])
def test_damaged_tables(name: str, damage: str, tmp_path: Path) -> None:
    write_log(tiny_log(), tmp_path)
    path = tmp_path / f"{name}.parquet"
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-20])
    elif damage == "foreign":
        path.write_text("user,content\n1,2\n")
    else:
        pq.write_table(pa.table({"x": [1]}), path)
    with pytest.raises(UserError, match=r"event log in .* is damaged") as error:
        read_log(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "column", "value", "says"),
    [
        ("events", "user", 99, "user is out of range"),
        ("events", "content", -1, "content is out of range"),
        ("events", "type", 4, "type is out of range"),
        ("events", "time", NEVER, "events are not in time order"),
        ("contents", "creator_of", 99, "creator is out of range"),
        ("creators", "user_of_creator", -2, "creator's user is out of range"),
        ("content_tags", "tag", 99, "tag is out of range"),
        ("users", "exists_from", NEVER, "users are not in time order"),
        ("events", "user", None, "missing values"),
        ("events", "user", "x", "invalid literal"),
    ],
)
def test_tables_that_do_not_fit(name: str, column: str, value: object, says: str, tmp_path: Path) -> None:
    write_log(tiny_log(), tmp_path)
    path = tmp_path / f"{name}.parquet"
    table = pq.read_table(path)
    values = table.column(column).to_pylist()
    values = [str(v) for v in values] if isinstance(value, str) else values
    values[0] = value
    pq.write_table(table.set_column(table.schema.get_field_index(column), column, pa.array(values)), path)
    with pytest.raises(UserError, match=says):
        read_log(tmp_path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format": 1}, "format 1, but this version of recsys reads 2"),
        ({"format": None}, "format None"),
        ({"moods": [99]}, "mood is out of range"),
        ({"kinds": {}}, "is damaged"),
        ({"boundaries": {"t_val": 1}}, "is damaged"),
        ({"types": ["view"]}, "type is out of range"),
    ],
)
def test_settings_that_do_not_fit(change: dict[str, object], says: str, tmp_path: Path) -> None:
    write_log(tiny_log(), tmp_path)
    path = tmp_path / "log.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UserError, match=says):
        read_log(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_settings_that_cannot_be_read(text: str, tmp_path: Path) -> None:
    write_log(tiny_log(), tmp_path)
    (tmp_path / "log.json").write_text(text)
    with pytest.raises(UserError, match="is damaged"):
        read_log(tmp_path)
