"""Nothing that a log, its encoders or its moods say about the time before T_val moves with anything at or after it."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.data.event_log import EventLog, NodeTable
from recsys.data.features import fit_encoders
from recsys.data.interaction_index import InteractionIndex
from recsys.data.preparation import LogSettings, prepare
from recsys.data.ranking_task import RankingTask
from recsys.sources.base import Tables
from recsys.sources.tables import TableSource
from tests.factories import tiny_log, tiny_tables, with_future_changed

EVENT_ARRAYS = ("user", "content", "type", "value", "weight", "time", "is_target", "label")


@given(seed=st.integers(0, 10_000), change=st.integers(0, 10_000), repeats=st.sampled_from(["merge", "keep"]))
@settings(deadline=None, max_examples=25)
def test_future_invariance(seed: int, change: int, repeats: str) -> None:
    size = {"num_users": 12, "num_contents": 16, "num_events": 90}
    plain = tiny_log(seed, **size).boundaries
    fixed = LogSettings(boundaries=[plain.t_val, plain.t_test], repeats=repeats, max_moods=2)
    tables = tiny_tables(seed, **size)
    changed = with_future_changed(tables, plain.t_val, np.random.default_rng(change))
    # The test period must not be empty, whatever was dropped.
    last = tables.interactions.nlargest(1, "timestamp")
    changed.interactions.loc[len(changed.interactions)] = last.iloc[0]
    left, right = prepare(tables, fixed).log, prepare(changed, fixed).log
    assert len(left) != len(right) or not np.array_equal(left.content, right.content)
    assert_same_before(left, right, plain.t_val)


@given(seed=st.integers(0, 10_000), change=st.integers(0, 10_000))
@settings(deadline=None, max_examples=10)
def test_the_validation_task_knows_nothing_of_the_test_period(seed: int, change: int) -> None:
    plain = tiny_log(seed).boundaries
    fixed = LogSettings(boundaries=[plain.t_val, plain.t_test])
    tables = tiny_tables(seed)
    changed = with_future_changed(tables, plain.t_test, np.random.default_rng(change))
    changed.interactions.loc[len(changed.interactions)] = tables.interactions.nlargest(1, "timestamp").iloc[0]
    left, right = (
        RankingTask.build(log, InteractionIndex(log), "validation", seed)
        for log in (prepare(tables, fixed).log, prepare(changed, fixed).log)
    )
    for name in ("time", "num_contents", "user", "positive", "label", "first_time", "negative"):
        assert np.array_equal(getattr(left, name), getattr(right, name)), name


def test_the_change_touches_what_it_should() -> None:
    """Guards the guard: events, users, contents and tags of the future do change, none of the past does."""
    log, tables = tiny_log(), tiny_tables()
    t = log.boundaries.t_val
    changed = with_future_changed(tables, t, np.random.default_rng(0))

    def rows(frame: pd.DataFrame, early: bool) -> list[str]:
        is_early = frame["timestamp"] * 1_000_000_000 < t
        return sorted("|".join(map(str, row)) for row in frame[is_early == early].itertuples(index=False))

    assert rows(tables.interactions, True) == rows(changed.interactions, True)
    assert rows(tables.interactions, False) != rows(changed.interactions, False)
    assert "new_type" in set(changed.interactions["type"])
    assert {900, 901, 902} <= set(changed.users["user_id"])
    assert {"a_new", "m_new", "z_new"} <= set(changed.contents["content_id"])


def assert_same_before(left: EventLog, right: EventLog, t_val: int) -> None:
    assert (left.types, left.max_weight) == (right.types, right.max_weight)
    assert left.boundaries.t_val == right.boundaries.t_val
    num_events = left.count_before(t_val)
    assert num_events == right.count_before(t_val)
    for name in EVENT_ARRAYS:
        assert getattr(left, name)[:num_events].tobytes() == getattr(right, name)[:num_events].tobytes(), name
    for name in ("users", "contents", "creators", "tags"):
        assert_same_nodes(getattr(left, name), getattr(right, name), t_val)
    num_contents, num_creators = left.contents.count_before(t_val), left.creators.count_before(t_val)
    assert left.creator_of[:num_contents].tolist() == right.creator_of[:num_contents].tolist()
    users = [
        np.where(log.user_of_creator < log.users.count_before(t_val), log.user_of_creator, -1)[:num_creators]
        for log in (left, right)
    ]  # a creator may become a user later
    assert users[0].tolist() == users[1].tolist()
    pairs = [log.content_tags[:, log.content_tags[0] < num_contents] for log in (left, right)]
    assert pairs[0].tolist() == pairs[1].tolist()
    assert left.moods.tolist() == right.moods.tolist()
    assert left.mood_names == right.mood_names
    encoders = [fit_encoders(log) for log in (left, right)]
    assert json.dumps(encoders[0].to_json()) == json.dumps(encoders[1].to_json())
    for kind in ("user", "content"):
        encoded = [
            getattr(e, kind).encode(getattr(log, f"{kind}s")) for e, log in zip(encoders, (left, right), strict=True)
        ]
        count = getattr(left, f"{kind}s").count_before(t_val)
        for name in ("numbers", "categories", "times"):
            assert getattr(encoded[0], name)[:count].tobytes() == getattr(encoded[1], name)[:count].tobytes()


def assert_same_nodes(left: NodeTable, right: NodeTable, t_val: int) -> None:
    count = left.count_before(t_val)
    assert count == right.count_before(t_val)
    assert left.kinds == right.kinds
    # One later id that is no number makes text of all.
    assert left.ids[:count].astype(str).tolist() == right.ids[:count].astype(str).tolist()
    assert left.exists_from[:count].tobytes() == right.exists_from[:count].tobytes()
    pd.testing.assert_frame_equal(left.attributes[:count], right.attributes[:count], check_exact=True)
    learnable = [nodes.readings.learnable(t_val, count) for nodes in (left, right)]
    assert learnable[0].names == learnable[1].names
    before = np.arange(count), np.full(count, t_val)
    assert learnable[0].last(*before).tobytes() == learnable[1].last(*before).tobytes()


def test_attributes_of_later_contents_change_nothing_before() -> None:
    """A table with every kind of column; the contents that come later carry values of quite another kind."""
    rng = np.random.default_rng(0)
    count, start = 200, pd.Timestamp("2024-01-01").value
    hour = 3_600_000_000_000
    words = np.array([f"word{i}" for i in range(40)], dtype=object)
    contents = pd.DataFrame(
        {
            "content_id": np.arange(count),
            "created_at": start + hour * np.arange(count),
            "title": [" ".join(rng.choice(words, 4)) for _ in range(count)],
            "category": rng.choice(np.array(["a", "b", "c"], dtype=object), count),
            "length": rng.integers(1, 1000, count),
            "score": np.where(rng.random(count) < 0.2, np.nan, rng.normal(size=count)),
            "live": rng.random(count) < 0.5,
            "genres": ["|".join(rng.choice(words[:5], 2)) for _ in range(count)],
            "shelves": [rng.choice(words[:9], 2).tolist() for _ in range(count)],
            "released": ["2023-12-24"] * count,
            "code": [f"{i:05d}" for i in range(count)],
        }
    )
    times = start + hour * np.arange(1, count)
    interactions = pd.DataFrame(
        {"user_id": np.arange(count - 1) % 7, "content_id": np.arange(count - 1), "timestamp": times}
    )
    t_val = int(times[140])
    later = (contents["created_at"] >= t_val) & (contents["content_id"] >= 140)
    changed = contents.astype(object)
    garbage = {
        "title": 5, "category": "d", "length": "long", "score": np.inf, "live": "perhaps", "genres": None,
        "released": "never", "code": "no code at all",
    }  # fmt: skip
    for column, value in garbage.items():
        changed.loc[later, column] = value
    changed.loc[later, "shelves"] = pd.Series([["new"]] * count)[later]
    fixed = LogSettings(boundaries=[t_val, int(times[170])])
    left, right = (prepare(Tables("kinds", interactions, contents=c), fixed).log for c in (contents, changed))
    assert left.contents.kinds == {
        "title": "text", "category": "category", "length": "number", "score": "number", "live": "category",
        "genres": "list", "shelves": "list", "released": "time",
    }  # fmt: skip
    encoder = fit_encoders(left).content
    assert {name.split("~")[0].split("=")[0] for name in encoder.number_names} == {
        "title", "length", "score", "score missing", "genres", "shelves"
    }  # fmt: skip
    assert_same_before(left, right, t_val)


def test_a_later_id_of_letters_changes_nothing_before(tmp_path: Path) -> None:
    """Files without types: one later "guest" makes text of all ids, and many events of one day wait for their order."""
    rng = np.random.default_rng(0)
    days = pd.date_range("2024-01-01", periods=15).strftime("%Y-%m-%d").to_numpy(dtype=object)
    count = 600
    interactions = pd.DataFrame(
        {
            "user_id": rng.integers(-20, 40, count).astype(str),
            "content_id": rng.integers(1, 80, count).astype(str),
            "timestamp": np.repeat(days, 40),
        }
    )
    contents = pd.DataFrame(
        {"content_id": np.arange(1, 80).astype(str), "creator_id": (np.arange(1, 80) % 30).astype(str)}
    )
    promo = pd.DataFrame({"user_id": ["guest"], "content_id": ["promo"], "timestamp": [days[-1]]})
    made_by = pd.DataFrame({"content_id": ["promo"], "creator_id": ["team"]})
    fixed = LogSettings(boundaries=[days[10], days[13]])

    def log(name: str, events: list[pd.DataFrame], items: list[pd.DataFrame]) -> EventLog:
        (tmp_path / name).mkdir()
        pd.concat(events).to_csv(tmp_path / name / "interactions.csv", index=False)
        pd.concat(items).to_csv(tmp_path / name / "contents.csv", index=False)
        return prepare(TableSource(path=tmp_path / name, name="log").load(), fixed).log

    plain = log("plain", [interactions], [contents])
    assert plain.users.ids.dtype == np.int64
    assert (plain.user_of_creator >= 0).any()
    for name, events, items in (
        ("events", [interactions, promo], [contents]),
        ("items", [interactions], [contents, made_by]),
        ("both", [interactions, promo], [contents, made_by]),
    ):
        assert_same_before(plain, log(name, events, items), plain.boundaries.t_val)
