"""Reading a user's own tables: exact values in every format, the column mapping, and one sentence on bad input."""

import gzip
import logging
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal
from pyarrow import csv as arrow_csv
from pyarrow import parquet

from recsys.errors import UserError
from recsys.sources.base import Tables
from recsys.sources.tables import TableSource

EVENTS = "user_id,content_id,type,value,timestamp\n1,10,view,,1700000000\n2,11,like,2.5,1700000060\n"


def write(folder: Path, **files: str | bytes) -> Path:
    """Writes files named like `items__csv`."""
    for name, content in files.items():
        data = content.encode() if isinstance(content, str) else content
        (folder / name.replace("__", ".")).write_bytes(data)
    return folder


def load(path: Path, **options: Any) -> Tables:
    return TableSource(path=path, **options).load()


def column(frame: pd.DataFrame | None, name: str) -> list[Any]:
    """Values with None for the missing ones."""
    assert frame is not None
    return [None if not isinstance(v, list) and pd.isna(v) else v for v in frame[name].tolist()]


def refuses(match: str, path: Path, **options: Any) -> None:
    """Loading fails with one sentence that has all of what is matched."""
    with pytest.raises(UserError, match=match) as caught:
        load(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")


def test_names_and_values_stay_as_written(tmp_path: Path) -> None:
    write(
        tmp_path,
        interactions__csv=EVENTS,
        users__csv="user_id,created_at,age\n1,2024-01-01,31\n2,,\n",
        contents__csv="content_id,title,category,creator_id,created_at,tags,moods,length\n"
        '10,1984,5,7,1600000000,"a| b ,c|",calm,1.5\n11,"Hey, you",,,,,,\n',
        content_tags__csv="content_id,tag,kind\n10,007,mood\n",
    )
    tables = load(tmp_path)
    assert tables.name == tmp_path.name
    assert tables.interactions.to_dict("list") == {
        "user_id": [1, 2],
        "content_id": [10, 11],
        "timestamp": [1700000000, 1700000060],
        "type": ["view", "like"],
        "value": [pytest.approx(np.nan, nan_ok=True), 2.5],
    }
    assert tables.interactions["timestamp"].dtype == tables.interactions["user_id"].dtype == np.int64
    assert column(tables.users, "created_at") == ["2024-01-01", None]
    assert column(tables.users, "age") == [31, None]
    contents = tables.contents
    assert column(contents, "title") == ["1984", "Hey, you"]
    assert column(contents, "category") == ["5", None]
    assert column(contents, "creator_id") == [7, None]
    assert column(contents, "created_at") == ["1600000000", None]  # text, since a float would round nanoseconds
    assert column(contents, "tags") == [["a", "b ,c"], []]
    assert column(contents, "moods") == [["calm"], []]
    assert column(contents, "length") == [1.5, None]
    assert column(tables.content_tags, "tag") == ["007"]
    assert column(tables.content_tags, "kind") == ["mood"]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (["12", "13"], [12, 13]),
        (["007", "13"], ["007", "13"]),
        (["12.0", "13"], [12, 13]),
        (["12.0", "", "-5.00", "0.0"], [12, None, -5, 0]),
        (["12.0", "13.5"], ["12.0", "13.5"]),
        (["12.0", "007"], ["12.0", "007"]),
        (["12.0", "-0.0"], ["12.0", "-0.0"]),
        (["12.0", "a"], ["12.0", "a"]),
        (["9007199254740991.0", "9007199254740993"], [9007199254740991, 9007199254740993]),
        (["9223372036854775808", "1.0"], ["9223372036854775808", "1.0"]),  # no int64
        (["1.2E+05", "13"], ["1.2E+05", "13"]),
        (["+12", "13"], ["+12", "13"]),
        (["-0", "13"], ["-0", "13"]),
        (["1e3", "13"], ["1e3", "13"]),
        (["12", "a"], ["12", "a"]),
        (["9007199254740993", "-5"], [9007199254740993, -5]),  # no float holds it
        (["9223372036854775808", "1"], ["9223372036854775808", "1"]),  # no int64 either
        (["", "13"], [None, 13]),
        (["NaN", "a"], [None, "a"]),
        (["true", "1_0"], ["true", "1_0"]),
    ],
)
def test_ids_are_exact(tmp_path: Path, written: list[str], read: list[Any]) -> None:
    rows = "".join(f"{user},1,1700000000\n" for user in written)
    tables = load(write(tmp_path, interactions__csv="user_id,content_id,timestamp\n" + rows))
    assert column(tables.interactions, "user_id") == read
    assert [type(value) for value in column(tables.interactions, "user_id")] == [type(value) for value in read]


def test_ids_have_one_type_in_all_tables(tmp_path: Path) -> None:
    write(
        tmp_path,
        interactions__csv=EVENTS,
        users__csv="user_id\n1\nghost\n",
        contents__csv="content_id,creator_id\n10,1\n",
    )
    tables = load(tmp_path)
    assert column(tables.interactions, "user_id") == ["1", "2"]
    assert column(tables.users, "user_id") == ["1", "ghost"]
    assert column(tables.contents, "creator_id") == ["1"]  # may be users, so they are of their type
    assert column(tables.interactions, "content_id") == [*column(tables.contents, "content_id"), 11]


def test_ids_with_gaps_are_the_ids_of_the_other_tables(tmp_path: Path) -> None:
    """With one id missing, pandas writes 12 as 12.0."""
    events = pd.DataFrame({"user_id": [12, 13, None], "content_id": [1, 2, 1], "timestamp": 1_700_000_000})
    contents = pd.DataFrame({"content_id": [1, 2, 3], "creator_id": [24, None, 12]})
    users = pd.DataFrame({"user_id": [12, 13, 24]})
    for suffix in ("csv", "tsv", "parquet"):
        (tmp_path / suffix).mkdir()
        for table, frame in {"interactions": events, "contents": contents, "users": users}.items():
            path = tmp_path / suffix / f"{table}.{suffix}"
            if suffix == "parquet":
                frame.to_parquet(path)
            else:
                frame.to_csv(path, index=False, sep="," if suffix == "csv" else "\t")
        tables = load(tmp_path / suffix)
        assert column(tables.interactions, "user_id") == [12, 13, None]
        assert column(tables.contents, "creator_id") == [24, None, 12]
        assert column(tables.users, "user_id") == [12, 13, 24]


@pytest.mark.parametrize(
    "ids",
    [
        pa.array([2**53, 1], pa.float64()),  # also what 2**53 + 1 becomes
        pa.array([-(2.0**60), 1], pa.float64()),
        pa.array([2**24, 1], pa.float32()),
        pa.array(np.array([2**11, 1], dtype=np.float16)),
        pa.array(["9007199254740992.0", "1.0"]),
        pa.array(["1.2345678901234568e+17", "1.0"]),
        pa.array(["1e+17", "1.2E+05"]),
    ],
)
def test_ids_that_lost_digits(tmp_path: Path, ids: pa.Array) -> None:
    events = pa.table({"user_id": ids, "content_id": [1, 2], "timestamp": [1_700_000_000] * 2})
    if pa.types.is_string(ids.type):
        arrow_csv.write_csv(events, tmp_path / "interactions.csv")
    else:
        parquet.write_table(events, tmp_path / "interactions.parquet")
    refuses("Column 'user_id' of .*interactions.* has numbers that lost digits", tmp_path)


def test_floats_hold_ids_below_their_digits(tmp_path: Path) -> None:
    for kind, bits in ((pa.float64(), 53), (pa.float32(), 24)):
        ids = pa.array([2**bits - 1, 1 - 2**bits], kind)
        events = pa.table({"user_id": ids, "content_id": [1, 2], "timestamp": [1_700_000_000] * 2})
        parquet.write_table(events, tmp_path / "interactions.parquet")
        assert column(load(tmp_path).interactions, "user_id") == [2**bits - 1, 1 - 2**bits]


def test_parquet_types_are_kept(tmp_path: Path) -> None:
    events = pa.table(
        {
            "user_id": pa.array([1.0, None, 3.0]),  # what integers with a gap become in a data frame
            "content_id": pa.array(["12", "13", "12"]).dictionary_encode(),
            "timestamp": pa.array([1_700_000_000_000_000_001, None, 1_700_000_000_000_000_003]),
            "value": pa.array([1, 2, 3], pa.int8()),
        }
    )
    contents = pa.table(
        {
            "content_id": ["12"],
            "category": pa.array([{"id": 4, "name": "music"}]),
            "tags": pa.array([[{"id": 1, "name": " a "}, {"id": 2, "name": None}]]),
            "moods": pa.array([["calm", "", None]]),
            "created_at": pa.array([date(2024, 1, 2)]),
            "live": pa.array([True]),
            "place": pa.array([{"lat": 1.0}]),
            "vector": pa.array([[0.5, 0.25]]),
            "languages": pa.array([["en", "fr"]]),
        }
    )
    parquet.write_table(events, tmp_path / "interactions.parquet")
    parquet.write_table(contents, tmp_path / "items.parquet")
    tables = load(tmp_path)
    assert column(tables.interactions, "user_id") == [1, None, 3]
    assert column(tables.interactions, "content_id") == ["12", "13", "12"]  # a typed text stays one
    assert column(tables.interactions, "timestamp") == ["1700000000000000001", None, "1700000000000000003"]
    assert column(tables.interactions, "value") == [1, 2, 3]
    assert column(tables.contents, "category") == ["music"]
    assert column(tables.contents, "tags") == [["a"]]
    assert column(tables.contents, "moods") == [["calm"]]
    assert column(tables.contents, "created_at") == [pd.Timestamp("2024-01-02")]
    assert column(tables.contents, "live") == [True]
    assert column(tables.contents, "languages") == [["en", "fr"]]
    assert tables.contents is not None
    assert not {"place", "vector"} & set(tables.contents.columns)


def test_missing_objects_are_missing_values(tmp_path: Path) -> None:
    items = (
        "content_id\tcategory\ttags\n"
        '1\t"{""id"": 3, ""name"": ""music""}"\t"[""a"", "" b""]"\n'
        "2\t[]\t[]\n"
        "3\tnull\t['a', 'c|d']\n"
        "4\tsport\t[REC] live|x\n"
        "5\t[2000s]\t\n"
    )
    tables = load(write(tmp_path, interactions__csv=EVENTS, contents__tsv=items))
    assert column(tables.contents, "category") == ["music", None, None, "sport", "[2000s]"]
    assert column(tables.contents, "tags") == [["a", "b"], [], ["a", "c|d"], ["[REC] live|x"], []]


def test_a_quote_that_nothing_closes_swallows_no_rows(tmp_path: Path) -> None:
    """Dumps have values as they are, without quotes around them."""
    titles = [
        "Plain",
        '"Crocodile" Dundee',
        '"Unfinished',
        "5'",
        '"Heroes"',
        'Another "',
        '"The ""End"""',
        '""',
        '"NA"',
    ]
    rows = "".join(f"{row}\t{title}\t{1990 + row}\n" for row, title in enumerate(titles))
    for header in ("content_id\ttitle\tyear\n", '\n"content_id"\t"title"\t"year"\n'):
        write(tmp_path, interactions__csv=EVENTS, contents__tsv=header + rows)
        contents = load(tmp_path).contents
        assert column(contents, "content_id") == [*range(len(titles))]
        assert column(contents, "title") == [*titles[:4], "Heroes", 'Another "', 'The "End"', None, None]
        assert column(contents, "year") == [1990 + row for row in range(len(titles))]


def test_a_quote_that_closes_late_swallows_no_rows_of_columns_left_out(tmp_path: Path) -> None:
    events = 'user_id\tcontent_id\ttimestamp\tcomment\n1\t10\t3\t"So\n2\t11\t4\tgood"\n3\t12\t5\tyes\n'
    assert column(load(write(tmp_path, interactions__tsv=events)).interactions, "user_id") == [1, 2, 3]


def test_quotes_enclose_tabs_and_line_breaks(tmp_path: Path) -> None:
    items = 'content_id\ttitle\n10\t"a ""b""\tc\n\nd"\n11\t"e"\n12\tf"g\n'
    write(tmp_path, interactions__csv=EVENTS, items__tsv=items)
    assert column(load(tmp_path).contents, "title") == ['a "b"\tc\n\nd', "e", 'f"g']


@pytest.mark.parametrize("wrong", ['12\t"Unfinished\n13\tx\n14\t"Another\n', '12\t"Unfinished\n13\tx\n'])
def test_quotes_that_may_have_swallowed_rows(tmp_path: Path, wrong: str) -> None:
    """A value with a tab needs its quotes, so that others cannot be taken as they are."""
    items = 'content_id\ttitle\n10\t"a\tb"\n11\t"c\nd"\n'
    write(tmp_path, interactions__csv=EVENTS, items__tsv=items)
    assert column(load(tmp_path).contents, "title") == ["a\tb", "c\nd"]
    refuses(r"items.tsv has a value that begins with a quote in line 5", write(tmp_path, items__tsv=items + wrong))


def test_names_cut_within_a_character_can_be_written(tmp_path: Path) -> None:
    items = """content_id\tcategory\ttags\n1\t{"name": "cut \\ud83d"}\t["\\ude00", "\\ud83d\\ude00"]\n"""
    tables = load(write(tmp_path, interactions__csv=EVENTS, contents__tsv=items))
    assert column(tables.contents, "category") == ["cut �"]
    assert column(tables.contents, "tags") == [["�", "\U0001f600"]]


@pytest.mark.parametrize(
    ("separators", "tags"), [("|", ["39,68;a"]), ("|,", ["39", "68;a"]), ("],;^", ["39", "68", "a"])]
)
def test_any_separator_splits_lists(tmp_path: Path, separators: str, tags: list[str]) -> None:
    write(tmp_path, interactions__csv=EVENTS, items__csv='content_id,tags\n10,"39,68;a"\n')
    assert column(load(tmp_path, separators=separators).contents, "tags") == [tags]


def test_columns_are_mapped_in_every_table(tmp_path: Path) -> None:
    write(
        tmp_path,
        interactions__csv="uid,item_id,when,event,stars\n1,10,5,view,3\n",
        users__csv="uid,joined,title\n1,4,Dr\n",
        contents__csv="id,name,title,genre\n10,Film,a subtitle,drama\n",
        content_tags__csv="item_id,label\n10,fun\n",
    )
    tables = load(
        tmp_path,
        name="mine",
        columns={
            "user_id": "uid",
            "content_id": ["item_id", "id"],  # the contents table calls it otherwise
            "timestamp": "when",
            "type": "event",
            "value": "stars",
            "user_created_at": "joined",
            "title": "name",
            "category": "genre",
            "tags": "genre",
            "tag": "label",
            "creator_id": None,
        },
    )
    assert tables.name == "mine"
    assert tables.interactions.to_dict("records") == [
        {"user_id": 1, "content_id": 10, "timestamp": 5, "type": "view", "value": 3}
    ]
    assert tables.users is not None
    assert tables.contents is not None
    assert tables.content_tags is not None
    assert tables.users.to_dict("records") == [{"user_id": 1, "created_at": 4, "title": "Dr"}]
    assert tables.contents.to_dict("records") == [
        {"content_id": 10, "title": "Film", "category": "drama", "tags": ["drama"]}
    ]
    assert tables.content_tags.to_dict("records") == [{"content_id": 10, "tag": "fun"}]


def test_several_files_make_one_table(tmp_path: Path) -> None:
    write(
        tmp_path,
        interactions_2__csv="user_id,content_id,timestamp,value,ip\n3,30,3,x,1.2.3.4\n",
        interactions_1__tsv__gz=gzip.compress(b"timestamp\tuser_id\tcontent_id\ttype\n1\t1\t10\tlike\n"),
        interactions_0__csv="user_id,content_id,timestamp\n",
        interactions_readme__txt="not a table",
        items_1__csv="content_id,score,code\n10,1.5,5\n",
        items_2__csv="content_id,score,code\n11,2,007\n12,,9\n",
    )
    parquet.write_table(
        pa.table({"user_id": [4], "content_id": [40], "timestamp": [4], "value": [0.5]}),
        tmp_path / "interactions_3.parquet",
    )
    tables = load(tmp_path, default_type="watch")
    assert column(tables.interactions, "user_id") == [1, 3, 4]
    assert column(tables.interactions, "type") == ["like", "watch", "watch"]
    assert column(tables.interactions, "timestamp") == [1, 3, 4]
    assert column(tables.interactions, "value") == [None, "x", "0.5"]  # cleaning decides about the x
    assert set(tables.interactions.columns) == {"user_id", "content_id", "type", "value", "timestamp"}
    assert column(tables.contents, "score") == [1.5, 2, None]
    assert column(tables.contents, "code") == ["5", "007", "9"]


def test_configured_patterns(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    write(tmp_path / "log", a__csv=EVENTS, b__csv=EVENTS, c__txt="")
    write(tmp_path, users__csv="user_id\n1\n", films__csv="content_id\n10\n", items__csv="content_id\n11\n")
    files = {"interactions": ["log/*.csv", "log/a.csv"], "users": [], "contents": str(tmp_path / "films.csv")}
    tables = load(tmp_path, files=files)
    assert len(tables.interactions) == 4
    assert tables.users is None
    assert column(tables.contents, "content_id") == [10]
    assert tables.content_tags is None


def test_one_file_of_interactions(tmp_path: Path) -> None:
    write(tmp_path, events__csv__gz=gzip.compress(EVENTS.encode()), users__csv="user_id\n1\n")
    tables = load(tmp_path / "events.csv.gz")
    assert (tables.name, len(tables.interactions), tables.users) == ("events", 2, None)
    assert column(load(tmp_path / "events.csv.gz", files={"users": "users.csv"}).users, "user_id") == [1]


def test_kinds_are_fixed_for_features(tmp_path: Path) -> None:
    write(
        tmp_path,
        interactions__csv=EVENTS,
        users__csv="user_id,zip,age\n1,01,5\n",
        items__csv='content_id,zip,codes,seen\n10,1,"a|b",1700000000000000001\n11,,,\n',
    )
    kinds = {"zip": "category", "contents.codes": "list", "users": {"age": "number"}, "seen": "time"}
    tables = load(tmp_path, kinds=kinds)
    assert tables.kinds == {
        "users": {"zip": "category", "age": "number"},
        "contents": {"zip": "category", "codes": "list", "seen": "time"},
    }
    assert column(tables.users, "zip") == ["01"]
    assert column(tables.contents, "zip") == ["1", None]
    assert column(tables.contents, "codes") == [["a", "b"], []]
    assert column(tables.contents, "seen") == ["1700000000000000001", None]


def test_states_files_rows_and_columns(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    events = EVENTS.replace("\n", ",x\n").replace("timestamp,x", "timestamp,ip")
    write(tmp_path, interactions__csv=events, items__csv=",content_id,year\n0,10,1999\n")
    with caplog.at_level(logging.INFO):
        tables = load(tmp_path)
    assert (
        "interactions: 2 rows from interactions.csv, columns user_id, content_id, timestamp, type, value" in caplog.text
    )
    assert "interactions.csv: left out 'ip'" in caplog.text
    assert "contents: 1 rows from items.csv, columns content_id, year" in caplog.text
    assert tables.contents is not None
    assert list(tables.contents.columns) == ["content_id", "year"]  # without the unnamed row number


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", r"interactions.csv is empty"),
        (b"\n\n", r"interactions.csv is empty"),
        (b"user_id,content_id,timestamp\n", r"interactions.csv has no rows"),
        (b"user_id,content_id,timestamp\n1,2,3\n1,2,3,4\n", r"has 4 fields instead of 3 in row 3 "),
        (b"user_id,content_id,timestamp\n1,2,3\n1,2\n", r"has 2 fields instead of 3 in row 3 "),
        (b"user_id,content_id,timestamp\n1,\xe9,3\n", r"interactions.csv is not UTF-8 text"),
        (b"user_id,content_id,timestamp\n" + b"1,2,3\n" * 9999 + b"\xe9,2,3\n", r"not UTF-8 text in column 1"),
        (b"user_id,content_id,timestamp,user_id\n1,2,3,4\n", r"more than one column named 'user_id'"),
        (
            b"user_id,item_id,timestamp\n1,2,3\n",
            r"no column 'content_id', only user_id, item_id, timestamp.*data.columns.content_id=NAME",
        ),
        (b"user_id;content_id;timestamp\n1;2;3\n", r"no column 'user_id', only user_id;content_id;timestamp"),
    ],
)
def test_bad_text_files(tmp_path: Path, content: bytes, match: str) -> None:
    refuses(match, write(tmp_path, interactions__csv=content))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("interactions.csv.gz", b"no gzip"),
        ("interactions.csv.gz", gzip.compress(EVENTS.encode() * 5000, mtime=0)[:-30]),
        ("interactions.csv.zst", b"no zst"),
        ("interactions.parquet", b"PAR1 no parquet PAR1"),
        ("interactions.parquet.gz", gzip.compress(b"no parquet", mtime=0)),
        ("interactions.csv", b"\x00\x00"),
    ],
)
def test_damaged_files(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    refuses(f"{name} (is damaged|has no column)", tmp_path)


def test_bad_parquet(tmp_path: Path) -> None:
    good = {"user_id": [1], "content_id": [2], "timestamp": [3]}
    (tmp_path / "interactions.parquet").write_bytes(b"")
    refuses("is empty", tmp_path)
    for bad, match in (
        ({"user_id": [1.5]}, "'user_id' of .* has numbers that are not whole"),
        ({"user_id": pa.array([2**63], pa.uint64())}, "do not fit 64 bits"),
        ({"content_id": [[1]]}, "is of type list<"),
        ({"timestamp": [{"t": 1}]}, "Column 'timestamp' of interactions is of type struct<"),
        ({"user_id": pa.array([], pa.int64()), "content_id": [], "timestamp": []}, "has no rows"),
    ):
        parquet.write_table(pa.table(good | bad), tmp_path / "interactions.parquet")
        refuses(match, tmp_path)
    parquet.write_table(pa.table(good), tmp_path / "interactions.parquet")
    for bad, match in (
        ({"category": [["a"]]}, "holds lists"),
        ({"category": [{"label": "a"}]}, "without a name or id"),
        ({"tags": [[[1]]]}, "give lists of texts"),
    ):
        parquet.write_table(pa.table({"content_id": [2]} | bad), tmp_path / "contents.parquet")
        refuses(match, tmp_path)
    parquet.write_table(pa.table({"content_id": [2], "x": [[1]]}), tmp_path / "contents.parquet")
    parquet.write_table(pa.table({"content_id": [2], "x": ["a"]}), tmp_path / "contents2.parquet")
    refuses("contents have different types", tmp_path)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"columns": {"title": "name"}}, r"data.columns.title=name .* not in items.csv: choose from content_id, year"),
        ({"columns": {"content_id": ["content_id", "nope"]}}, "data.columns.content_id=nope"),
        ({"columns": {"user_id": "uid"}, "files": {"interactions": "bare.csv"}}, "no column 'uid' or 'user_id'"),
        ({"columns": {"tag": "label"}}, "no table to apply to: there are no content_tags files"),
        ({"columns": {"item": "content_id"}}, "data.columns has no entry 'item'"),
        ({"files": {"events": "*.csv"}}, "data.files has no entry 'events'"),
        ({"files": {"users": "people*"}}, r"data.files.users=people\* matches no file"),
        ({"files": {"users": ["items.csv", "*.txt"]}}, "notes.txt cannot be read, but data.files.users"),
        ({"files": {"users": "bare.csv"}}, "bare.csv has no column 'user_id'"),
        ({"kinds": {"year": "integer"}}, "data.kinds.year=integer is no kind: choose from number"),
        ({"kinds": {"users.year": "number"}}, "'users.year', which is no feature: .* contents.year"),
        ({"kinds": {"content_id": "number"}}, "'content_id', which is no feature"),
        ({"separators": ""}, "data.separators is empty"),
    ],
)
def test_bad_options(tmp_path: Path, options: dict[str, Any], match: str) -> None:
    write(
        tmp_path, interactions__csv=EVENTS, items__csv="content_id,year\n10,1999\n", notes__txt="", bare__csv="a\n1\n"
    )
    assert column(load(tmp_path).contents, "year") == [1999]
    refuses(match, tmp_path, **options)


def test_bad_folders(tmp_path: Path) -> None:
    refuses("no folder or file", tmp_path / "nowhere")
    refuses("has no table whose name begins with 'interactions'.*data.files.interactions=PATTERN", tmp_path)
    write(tmp_path, interactions__csv=EVENTS, items__csv="content_id\n1\n", contents__csv="content_id\n1\n", a__txt="x")
    refuses("has both contents.csv and items.csv: choose with data.files.contents=PATTERN", tmp_path)
    refuses("a.txt is no folder", tmp_path / "a.txt")
    refuses("is no folder", tmp_path / "interactions.csv", files={"interactions": "x"})


ID_TEXT = st.text("abc0 ,|é\"'", min_size=1, max_size=4).map(lambda text: f"x{text}")
WORDS = st.one_of(st.none(), st.text("ab é,\"'\n", min_size=1, max_size=5).map(lambda text: f"t{text}"))
NUMBERS = st.one_of(st.none(), st.floats(-1e6, 1e6, allow_nan=False).map(lambda number: number + 0.0))


@st.composite
def frames(draw: st.DrawFn) -> dict[str, pd.DataFrame]:
    """Interactions and contents as a user may have them."""
    user = draw(st.lists(draw(st.sampled_from([st.integers(0, 2**53), ID_TEXT])), min_size=1, max_size=6))
    content = draw(st.lists(draw(st.sampled_from([st.integers(-(2**63), 2**63 - 1), ID_TEXT])), min_size=1, max_size=4))
    size = len(user)
    events = {
        "user_id": user,
        "content_id": draw(st.lists(st.sampled_from(content), min_size=size, max_size=size)),
        "timestamp": draw(st.lists(st.integers(10**8, 9 * 10**18), min_size=size, max_size=size)),
        "value": pd.array(draw(st.lists(NUMBERS, min_size=size, max_size=size)), dtype="Float64"),
        "type": draw(st.lists(st.sampled_from(["view", "like"]), min_size=size, max_size=size)),
    }
    contents = {
        "content_id": content,
        "title": pd.array(draw(st.lists(WORDS, min_size=len(content), max_size=len(content))), dtype="string"),
        "length": pd.array(draw(st.lists(NUMBERS, min_size=len(content), max_size=len(content))), dtype="Float64"),
    }
    return {"interactions": pd.DataFrame(events), "contents": pd.DataFrame(contents)}


@settings(deadline=None, max_examples=25)
@given(frames(), st.sampled_from(["", ".gz", ".zst"]))
def test_every_format_gives_the_same_tables(
    tmp_path_factory: pytest.TempPathFactory, data: dict[str, pd.DataFrame], compression: str
) -> None:
    read = []
    for suffix in ("csv", "tsv", "parquet"):
        folder = tmp_path_factory.mktemp("tables")
        for table, frame in data.items():
            plain = folder / f"{table}.{suffix}"
            if suffix == "parquet":
                frame.to_parquet(plain)
            else:
                frame.to_csv(plain, index=False, sep="," if suffix == "csv" else "\t")
            if compression:
                with pa.output_stream(
                    f"{plain}{compression}", compression={".gz": "gzip"}.get(compression, "zstd")
                ) as out:
                    out.write(plain.read_bytes())
                plain.unlink()
        read.append(load(folder, name="same"))
    for tables in read:
        assert tables.contents is not None
        for name in ("user_id", "content_id", "timestamp", "type"):
            assert column(tables.interactions, name) == data["interactions"][name].tolist()
        assert column(tables.interactions, "value") == column(data["interactions"], "value")
        for name in ("content_id", "title", "length"):
            assert column(tables.contents, name) == column(data["contents"], name)
    for other in read[1:]:
        assert read[0].contents is not None
        assert other.contents is not None
        assert_frame_equal(other.interactions, read[0].interactions)
        assert_frame_equal(other.contents, read[0].contents)


@pytest.mark.data
def test_real_logs_as_they_are(real_data: Path) -> None:
    kuairand = load(
        real_data / "kuairand", columns={"content_id": "item_id", "created_at": "upload_dt"}, separators="|,"
    )
    assert len(kuairand.interactions) == 134_562
    assert set(column(kuairand.interactions, "type")) == {
        *("view", "like", "click", "long_view", "dislike", "profile_enter", "comment", "share", "follow")
    }
    tags = column(kuairand.contents, "tags")
    assert ["39", "68"] in tags
    assert all("," not in tag for names in tags for tag in names)
    films = load(real_data / "movielens_small", columns={"content_id": "item_id", "tags": "genres"})
    assert column(films.contents, "tags")[0] == ["Adventure", "Animation", "Children", "Comedy", "Fantasy"]
    assert films.content_tags is None  # the users' tags are not taken for static ones
    start = time.perf_counter()
    taobao = load(real_data / "taobao", columns={"content_id": "item_id"})
    assert time.perf_counter() - start < 2
    assert (len(taobao.interactions), len(taobao.users), len(taobao.contents)) == (357_412, 31_882, 31_024)  # type: ignore[arg-type]
