"""Totals read from time to time: which of them a query time may see, and what cleaning does with bad ones."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.data.event_log_files import read_log, write_log
from recsys.data.preparation import LogSettings, prepare
from recsys.data.readings import Readings
from tests.factories import tiny_tables

NAN = np.nan


def by_hand() -> Readings:
    """Three readings of node 0, two of node 2, at times 10, 20 and 30."""
    return Readings(
        ("views", "likes"),
        np.array([0, 2, 0, 2, 0]),
        np.array([10, 10, 20, 30, 30]),
        np.array([[1.0, NAN], [5.0, 6.0], [NAN, 3.0], [7.0, NAN], [9.0, 4.0]]),
    )


def test_only_what_was_read_strictly_before_the_time_is_seen() -> None:
    nothing = [NAN, NAN]
    for t, expected in (
        (10, [nothing, nothing, nothing]),
        (11, [[1, NAN], nothing, [5, 6]]),
        (21, [[1, 3], nothing, [5, 6]]),  # a number that a later reading lacks stays known
        (30, [[1, 3], nothing, [5, 6]]),
        (31, [[9, 4], nothing, [7, 6]]),
    ):
        np.testing.assert_array_equal(by_hand().last(np.arange(3), np.full(3, t)), expected, err_msg=str(t))
    np.testing.assert_array_equal(by_hand().last(np.array([0]), np.array([31])), [[9, 4]])
    assert Readings.none().last(np.arange(2), np.full(2, 5)).shape == (2, 0)


def test_what_no_node_had_before_validation_is_not_learnable() -> None:
    assert by_hand().learnable(11, 1).names == ("views",)
    assert by_hand().learnable(11, 3).names == ("views", "likes")
    assert by_hand().learnable(10, 3).names == ()
    np.testing.assert_array_equal(by_hand().learnable(11, 1).last(np.array([0]), np.array([31])), [[9]])


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000))
def test_as_of_is_the_last_number_of_each_node(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(0, 30))
    values = np.where(rng.random((count, 2)) < 0.3, NAN, rng.integers(0, 9, (count, 2)))
    readings = Readings(("a", "b"), rng.integers(0, 5, count), np.sort(rng.integers(0, 20, count)), values)
    t, num_nodes = int(rng.integers(0, 22)), int(rng.integers(0, 6))
    expected = np.full((num_nodes, 2), NAN)
    for node, time, numbers in zip(readings.node, readings.time, values, strict=True):
        for column, number in enumerate(numbers):
            if time < t and node < num_nodes and not np.isnan(number):
                expected[node, column] = number
    np.testing.assert_array_equal(readings.last(np.arange(num_nodes), np.full(num_nodes, t)), expected)


def test_readings_follow_their_nodes_and_bad_ones_are_set_aside() -> None:
    tables = tiny_tables()
    user, content = tables.interactions["user_id"].iloc[0], tables.interactions["content_id"].iloc[0]
    of_users = pd.DataFrame(
        {
            "user_id": [user, user, None, 555, user, user],
            "read_at": ["2024-03-01", "2024-02-01", "2024-02-01", "2024-02-01", "never", "2999-01-01"],
            "posts": [3, "2", 1, 1, 1, 1],
        }
    )
    of_contents = pd.DataFrame(
        {"content_id": [content], "read_at": [1_706_745_600], "views": [np.inf], "likes": [1e300]}
    )
    prepared = prepare(replace(tables, readings={"users": of_users, "contents": of_contents}), LogSettings())
    log, report = prepared.log, prepared.report
    assert log.users.ids[log.users.readings.node].tolist() == [user, user]  # 555 is nobody the log or a table knows
    assert log.users.readings.values.tolist() == [[2.0], [3.0]]
    assert np.isnan(log.contents.readings.values).tolist() == [[True, True]]
    assert report.rows("readings of users", "read") == 6
    assert report.rows("readings of users", "used") == 3
    for reason in ("no user_id", "no read_at", "read_at in the future"):
        assert report.rows("readings of users", "set aside", reason) == 1, reason


def test_notes_of_the_source_open_the_report() -> None:
    prepared = prepare(replace(tiny_tables(), notes=(("answers", "merged", "asked twice", 3),)), LogSettings())
    assert prepared.report.lines[0] == ("answers", "merged", "asked twice", 3)


def test_readings_survive_a_round_trip_through_files(tmp_path: Path) -> None:
    log = prepare(tiny_tables(1), LogSettings()).log
    write_log(log, tmp_path)
    again = read_log(tmp_path)
    for name in ("users", "contents", "tags"):
        one, other = getattr(log, name).readings, getattr(again, name).readings
        assert one.names == other.names
        for array in ("node", "time", "values"):
            np.testing.assert_array_equal(getattr(one, array), getattr(other, array))
