"""What becomes of every row: counts, reasons and the rows set aside."""

import json
import math
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from recsys.data.features import fit_encoders
from recsys.data.preparation import LogSettings, Prepared, prepare
from recsys.errors import UserError
from recsys.sources.base import Tables

T = 1_700_000_000  # unix seconds


def events(count: int = 20) -> pd.DataFrame:
    """Events of four users and five contents, one a second, alternating views and likes."""
    place = np.arange(count)
    return pd.DataFrame(
        {
            "user_id": [f"u{i % 4}" for i in place],
            "content_id": 10 + place % 5,
            "type": np.where(place % 2, "like", "view").astype(object),
            "value": np.full(count, np.nan, dtype=object),
            "timestamp": T + place,
        }
    )


def prepared(interactions: pd.DataFrame, settings: LogSettings | None = None, **tables: pd.DataFrame) -> Prepared:
    return prepare(Tables("tiny", interactions, **tables), settings or LogSettings())


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("user_id", None, "no user_id"),
        ("user_id", "", "no user_id"),
        ("content_id", None, "no content_id"),
        ("timestamp", None, "no timestamp"),
        ("timestamp", "soon", "timestamp is no time"),
        ("timestamp", 0, "timestamp is no time"),
        ("timestamp", 9_000_000_000, "timestamp in the future"),
        ("type", None, "no type"),
        ("type", "  ", "no type"),
        ("value", math.inf, "value is infinite"),
        ("value", -math.inf, "value is infinite"),
        ("value", "1e999", "value is infinite"),
        ("value", 1e300, "value is infinite"),  # more than a float32 holds
    ],
)
def test_a_row_that_cannot_be_used_is_set_aside(column: str, value: object, reason: str) -> None:
    table = events().astype(object)
    table.loc[7, column] = value
    table.loc[8, "value"] = "3"  # so that one value is a number
    result = prepared(table)
    assert len(result.log) == 19
    assert result.quarantine[["table", "reason", "row_number"]].values.tolist() == [["interactions", reason, 7]]
    assert json.loads(result.quarantine["row"][0])["type"] == table["type"][7]
    assert result.report.rows("interactions", "set aside", reason) == 1
    assert_adds_up(result)


@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
@pytest.mark.parametrize("as_text", [True, False])
@pytest.mark.parametrize("never", ["1970-01-01", "1970-01-01 01:00:00", "1969-12-31 16:00:00", "1900-01-01"])
def test_what_stands_for_a_missing_time_is_no_time(never: str, as_text: bool, zone: str | None) -> None:
    """The moment 0 in any zone, and other dates before there were any events, whatever the form they come in."""
    table = events()
    times = pd.Series(pd.to_datetime(table["timestamp"], unit="s"))
    times[7] = pd.Timestamp(never)
    times = times.dt.tz_localize(zone)
    table["timestamp"] = times.astype(str) if as_text else times
    users = pd.DataFrame({"user_id": ["u0", "u1"], "born_on": [never, "2001-05-01"], "created_at": [never, None]})
    result = prepared(table, users=users)
    assert result.quarantine[["reason", "row_number"]].values.tolist() == [["timestamp is no time", 7]]
    assert len(result.log) == 19
    assert result.log.time.min() > 10**18
    assert result.log.users.attributes["born_on"].min() == pd.Timestamp(never).value  # of nodes they are believed
    assert result.log.users.exists_from[0] == pd.Timestamp(never).value


def test_a_value_that_is_no_number_is_set_aside() -> None:
    table = events()
    table["value"] = [*range(19), "many"]
    result = prepared(table)
    assert result.quarantine["reason"].tolist() == ["value is no number"]
    assert json.loads(result.quarantine["row"][0])["value"] == "many"
    assert result.log.value.max() == 18


def test_a_row_is_set_aside_once_for_its_first_reason() -> None:
    table = events().astype(object)
    table.loc[3, ["user_id", "timestamp", "type"]] = None
    result = prepared(table)
    assert result.quarantine["reason"].tolist() == ["no user_id"]
    assert_adds_up(result)


def test_repeats_are_merged_into_the_first_value_included() -> None:
    table = pd.concat([events(), events(2).assign(timestamp=T + 15, value=[5, 4])], ignore_index=True)
    table.loc[0, "value"] = 2
    merged = prepared(table)
    assert merged.report.rows("interactions", "merged") == 2
    assert merged.report.rows("interactions", "used") == len(merged.log) == 20
    assert merged.log.value[0] == 2
    assert np.isnan(merged.log.value[1])
    assert merged.quarantine.empty
    kept = prepared(table, LogSettings(repeats="keep"))
    assert len(kept.log) == 22
    assert kept.report.rows("interactions", "merged") == 0
    for result in (merged, kept):
        assert_adds_up(result)


def test_a_type_first_seen_late_is_set_aside() -> None:
    table = events()
    table.loc[[14, 19], "type"] = ["share", "dislike"]  # t_val is the time of event 14
    result = prepared(table)
    assert result.log.types == ("like", "view")
    assert result.quarantine["row_number"].tolist() == [14, 19]
    assert set(result.quarantine["reason"]) == {"type first seen after the training period"}
    assert_adds_up(result)


def test_types_seen_before_validation_stay() -> None:
    table = events()
    table.loc[[13, 19], "type"] = "share"
    result = prepared(table)
    assert result.log.types == ("like", "share", "view")
    assert [result.log.types[i] for i in result.log.type[[13, 19]]] == ["share", "share"]


def test_users_and_contents_that_no_table_knows_are_kept() -> None:
    users = pd.DataFrame({"user_id": ["u0", "u1", "idle"], "age": [20.0, 30.0, 40.0]})
    contents = pd.DataFrame({"content_id": [10, 11, 12, 13], "length": [1.0, 2.0, 3.0, 4.0]})
    result = prepared(events(), users=users, contents=contents)
    log = result.log
    assert result.report.rows("interactions", "kept", "unknown to the users table") == 10
    assert result.report.rows("interactions", "kept", "unknown to the contents table") == 4
    assert log.users.ids.tolist() == ["u0", "u1", "u2", "u3", "idle"]
    assert log.users.attributes["age"].tolist()[:2] == [20, 30]
    assert log.users.attributes["age"].isna().tolist() == [False, False, True, True, False]
    assert log.contents.attributes["length"].isna().tolist() == [False, False, False, False, True]


def test_repeated_rows_of_nodes_are_set_aside() -> None:
    users = pd.DataFrame({"user_id": ["u0", "u1", "u0", None], "age": [20.0, 30.0, 99.0, 1.0]})
    tags = pd.DataFrame(
        {
            "content_id": [10, 10, 10, None, 99, 11, 12],
            "tag": ["sea", "sea", "sea", "sea", "sea", None, "joy"],
            "kind": ["tag", "tag", "mood", "tag", "tag", "tag", "genre"],
        }
    )
    result = prepared(events(), users=users, content_tags=tags)
    assert result.log.users.attributes["age"][0] == 20
    found = result.quarantine.groupby("table")["reason"].apply(list).to_dict()
    assert found == {
        "users": ["no user_id", "user_id repeated: the first row counts"],
        "content_tags": [
            "no content_id",
            "no tag",
            "kind is neither tag nor mood",
            "tag repeated: the first row counts",
            "unknown content",
        ],
    }
    assert result.report.rows("content_tags", "used") == 2
    assert_adds_up(result)


def test_attributes_that_do_not_fit_are_missing_and_counted() -> None:
    users = pd.DataFrame(
        {
            "user_id": ["u0", "u1", "u2", "u3"],
            "age": [20.0, math.inf, 30.0, math.nan],
            "points": [1.0, sys.float_info.max, 3.0, 2.0],  # how C marks a number that it has not
            "height": ["170", "180.5", "tall", "160"],
            "created_at": ["2023-01-01", "2999-01-01", "never", None],
        }
    )
    tables = Tables("tiny", events(), users=users, kinds={"users": {"height": "number"}})
    result = prepare(tables, LogSettings())
    log = result.log
    assert np.isnan(log.users.attributes["age"].to_numpy()).tolist() == [False, True, False, True]
    assert log.users.attributes["height"].tolist()[:2] == [170, 180.5]
    assert np.isnan(log.users.attributes["height"][2])
    assert result.report.rows("users", "made missing", "age is no number") == 1
    assert result.report.rows("users", "made missing", "height is no number") == 1
    assert result.report.rows("users", "made missing", "points is no number") == 1
    points = next(column for column in fit_encoders(log).user.numbers if column.name == "points")
    assert (points.mean, points.deviation) == (2, pytest.approx(math.sqrt(2 / 3)))
    assert result.report.rows("users", "made missing", "created_at in the future") == 1
    assert result.report.rows("users", "made missing", "created_at is no time") == 1
    assert pd.Timestamp(log.users.exists_from[0]) == pd.Timestamp("2023-01-01")
    assert log.users.exists_from[1] == (T + 1) * 1_000_000_000  # the future creation time is not believed


def test_now_is_configurable() -> None:
    result = prepared(events(), LogSettings(now=T + 15, boundaries=[T + 5, T + 10]))
    assert len(result.log) == 16
    assert result.report.rows("interactions", "set aside", "timestamp in the future") == 4


def test_report_as_frame() -> None:
    frame = prepared(events()).report.to_frame()
    assert frame.values.tolist() == [["interactions", "read", "", 20], ["interactions", "used", "", 20]]


def test_an_empty_quarantine_has_its_columns() -> None:
    quarantine = prepared(events()).quarantine
    assert quarantine.columns.tolist() == ["table", "reason", "row_number", "row"]
    assert quarantine.empty


def test_rows_come_back_from_quarantine_as_they_were() -> None:
    contents = pd.DataFrame({"content_id": [10, 10], "tags": [["a"], ["b", "c|d\u2028\n"]], "title": ["x", 'say "y"']})
    row = json.loads(prepared(events(), contents=contents).quarantine["row"][0])
    assert row == {"content_id": 10, "tags": ["b", "c|d\u2028\n"], "title": 'say "y"'}


BAD_INPUT = {
    "no column": (events().drop(columns="timestamp"), {}, "interactions table lacks the column timestamp"),
    "no columns": (events()[["type"]], {}, "lacks the column user_id, content_id, timestamp; it has type"),
    "column twice": (pd.concat([events(), events()[["type"]]], axis=1), {}, "column type more than once"),
    "no rows": (events(0), {}, "has no rows"),
    "no ids": (events().assign(user_id=None), {}, "No row of the interactions table can be used"),
    "no times": (events().assign(timestamp="soon"), {}, "timestamp of interactions.*such as soon"),
    "times mostly bad": (events().assign(timestamp=[*["soon"] * 11, *["2024-01-01"] * 9]), {}, "such as soon"),
    "times of two units": (events().assign(timestamp=[T] * 10 + [T * 1000] * 10), {}, "seconds and milliseconds"),
    "times in the future": (events().assign(timestamp="2999-01-01"), {}, "All events lie after"),
    "times that stand for none": (events().assign(timestamp="1970-01-01"), {}, "All events lie before 1973-03-03"),
    "one time": (events().assign(timestamp=T), {}, "All 20 events happen at one time"),
    "one user": (events().assign(user_id="u0"), {}, "of one user, u0"),
    "one content": (events().assign(content_id=7), {}, "of one content, 7"),
    "mixed ids": (events().assign(user_id=[1, "a"] * 10), {}, "user_id of interactions mixes text"),
    "nested ids": (events().assign(user_id=[["a"]] * 20), {}, "user_id of interactions holds nested"),
    "nested types": (events().assign(type=[["a"]] * 20), {}, "type of interactions holds nested"),
    "values are no numbers": (events().assign(value="good"), {}, "value of interactions.*such as good"),
    "target unknown": (events(), {"target": ["buy"]}, "target buy.*choose among the event types like, view"),
    "target is an unknown code": (events(), {"target": [1, "like"]}, r"target 1 was not.*data\.target=\[like\]"),
    "target out of reach": (events(), {"target": ["like"], "target_least": 3}, "No like has a value of at least 3"),
    "weight of an unknown type": (events(), {"weights": {"buy": 1}}, "weights name the event type buy"),
    "weight negative": (events(), {"weights": {"like": -1}}, "weight of like is -1"),
    "weight by missing value": (events(), {"weights": {"like": "value"}}, r"data\.weights\.like"),
    "shares too large": (events(), {"train_share": 0.9}, "train_share=0.9"),
    "boundaries outside": (events(), {"boundaries": ["2020-01-01", "2021-01-01"]}, "no events for training"),
    "boundaries unreadable": (events(), {"boundaries": ["then", "later"]}, "boundaries.*such as then"),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_one_clear_sentence(case: str) -> None:
    table, settings, says = BAD_INPUT[case]
    with pytest.raises(UserError, match=says) as error:
        prepared(table, LogSettings(**settings))
    message = str(error.value)
    assert message.endswith(".")
    assert "\n" not in message
    assert ". " not in message.replace("e.g. ", "")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"repeats": "drop"}, "merge or keep"),
        ({"boundaries": ["2024-01-01"]}, "two times"),
        ({"boundaries": "2024-01-01"}, "two times"),
        ({"max_moods": -1}, "max_moods is -1"),
        ({"max_moods": 1.5}, "max_moods is 1.5"),
        ({"train_share": "most"}, "train_share is 'most'"),
        ({"validation_share": math.nan}, "validation_share is nan"),
        ({"validation_share": None}, "validation_share is None"),
        ({"target_least": "high"}, "target_least is 'high'"),
        ({"target": []}, "target is empty"),
        ({"target": "like"}, r"target is 'like'.*data\.target=\[like\]"),
        ({"target": 5}, "target is 5: give a list"),
        ({"boundaries": 5}, "two times"),
        ({"weights": ["view"]}, "weights is"),
    ],
)
def test_bad_settings(settings: dict[str, object], says: str) -> None:
    with pytest.raises(UserError, match=says):
        LogSettings(**settings)


@pytest.mark.parametrize(
    ("tables", "says"),
    [
        ({"users": pd.DataFrame({"id": [1]})}, "users table lacks the column user_id; it has id"),
        (
            {"users": pd.DataFrame({"user_id": [1, 2]})},
            "user_id of interactions is made of text but the user_id of users",
        ),
        ({"contents": pd.DataFrame({"content_id": ["10"]})}, "content_id of interactions is made of whole numbers but"),
        ({"content_tags": pd.DataFrame({"content_id": [10]})}, "content_tags table lacks the column tag"),
        (
            {"contents": pd.DataFrame({"content_id": [10], "creator_id": [1.5]})},
            "creator_id of contents has the fraction",
        ),
    ],
)
def test_bad_tables(tables: dict[str, pd.DataFrame], says: str) -> None:
    with pytest.raises(UserError, match=says):
        prepared(events(), **tables)


@pytest.mark.parametrize(
    ("kinds", "says"),
    [
        ({"users": {"aeg": "number"}}, "kinds name aeg.*feature columns age"),
        ({"users": {"age": "real"}}, "kind of age in users is real.*number, category"),
        ({"contents": {"title": "list"}}, "title of contents is always of kind text"),
    ],
)
def test_bad_kinds(kinds: dict[str, dict[str, str]], says: str) -> None:
    tables = Tables(
        "tiny",
        events(),
        users=pd.DataFrame({"user_id": ["u0"], "age": [3]}),
        contents=pd.DataFrame({"content_id": [10], "title": ["a b"]}),
    )
    with pytest.raises(UserError, match=says):
        prepare(replace(tables, kinds=kinds), LogSettings())


def assert_adds_up(result: Prepared) -> None:
    """Rows read = used + merged + set aside, and the quarantine holds what was set aside."""
    for table in set(result.report.to_frame()["table"]):
        counts = {outcome: result.report.rows(table, outcome) for outcome in ("read", "used", "merged", "set aside")}
        assert counts["read"] == counts["used"] + counts["merged"] + counts["set aside"]
        assert counts["set aside"] == (result.quarantine["table"] == table).sum()
