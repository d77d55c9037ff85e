"""The whole preparation against a naive one, and what its numbering promises."""

from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.data.event_log import NEVER, Boundaries, EventLog, NodeTable
from recsys.data.preparation import LogSettings, prepare
from recsys.errors import UserError
from recsys.sources.base import Tables
from tests.factories import TYPES, tiny_log, tiny_tables

WEIGHTS = {"view": 1.0, "like": 3.0, "inspire": 4.0}


def assert_same_log(left: EventLog, right: EventLog) -> None:
    """Equal to the last bit, with equal types."""
    for field in fields(EventLog):
        a, b = getattr(left, field.name), getattr(right, field.name)
        if isinstance(a, np.ndarray):
            assert a.dtype == b.dtype, field.name
            assert a.shape == b.shape, field.name
            assert a.tobytes() == b.tobytes(), field.name
        elif isinstance(a, NodeTable):
            assert a.ids.dtype == b.ids.dtype
            assert a.ids.tolist() == b.ids.tolist(), field.name
            assert a.exists_from.tolist() == b.exists_from.tolist(), field.name
            assert a.kinds == b.kinds
            pd.testing.assert_frame_equal(a.attributes, b.attributes, check_exact=True)
        else:
            assert a == b, field.name


@pytest.mark.parametrize("seed", range(5))
def test_like_a_naive_preparation(seed: int) -> None:
    assert_same_log(tiny_log(seed), naive_log(tiny_tables(seed)))


@given(seed=st.integers(0, 10_000))
@settings(deadline=None, max_examples=8)
def test_the_order_of_rows_does_not_matter(seed: int) -> None:
    tables, rng = tiny_tables(seed), np.random.default_rng(seed)

    def shuffled(frame: pd.DataFrame | None) -> pd.DataFrame:
        assert frame is not None
        return frame.iloc[rng.permutation(len(frame))]

    mixed = replace(
        tables,
        interactions=shuffled(tables.interactions),
        users=shuffled(tables.users),
        contents=shuffled(tables.contents),
        content_tags=shuffled(tables.content_tags),
    )
    for repeats in ("merge", "keep"):
        given_settings = LogSettings(repeats=repeats)
        assert_same_log(prepare(mixed, given_settings).log, prepare(tables, given_settings).log)


@pytest.mark.parametrize("repeats", ["merge", "keep"])
def test_equal_rows_but_for_the_value_are_ordered_by_it(repeats: str) -> None:
    table = pd.DataFrame(
        {
            "user_id": [1, 1, 1, *range(10)],
            "content_id": [7, 7, 7, *range(10)],
            "value": [np.nan, 5.0, 3.0] + [1.0] * 10,
            "timestamp": [1_700_000_000] * 3 + [1_700_000_001 + i for i in range(10)],
        }
    )
    logs = [prepare(Tables("ties", t), LogSettings(repeats=repeats)).log for t in (table, table[::-1])]
    assert_same_log(*logs)
    assert logs[0].value[: 1 if repeats == "merge" else 2].tolist() == [3, 5][: 1 if repeats == "merge" else 2]


def test_nodes_are_numbered_by_the_time_from_which_they_exist() -> None:
    """By hand: user 3 was created before the log began, 1 and 2 come with the first event, 9 never comes."""
    start = pd.Timestamp("2024-01-01").value
    day = 86_400_000_000_000
    interactions = pd.DataFrame(
        {
            "user_id": [2, 1, 1, 3, 2, 4],
            "content_id": ["b", "a", "b", "a", "a", "b"],
            "timestamp": [start, start, start + day, start + 2 * day, start + 3 * day, start + 4 * day],
        }
    )
    users = pd.DataFrame(
        {
            "user_id": [9, 1, 5, 3, 4],
            "created_at": [None, "2024-01-03", "2024-01-02 12:00:00", "2023-12-31", None],
            "age": [90.0, 10.0, 50.0, 30.0, 40.0],
        }
    )
    log = prepare(Tables("hand", interactions, users=users), LogSettings(train_share=0.5)).log
    assert log.users.ids.tolist() == [3, 1, 2, 5, 4, 9]
    assert log.users.exists_from.tolist() == [
        start - day, start, start, start + day + day // 2, start + 4 * day, NEVER
    ]  # fmt: skip
    assert log.users.attributes["age"].tolist()[:2] == [30, 10]
    assert np.isnan(log.users.attributes["age"][2])
    assert log.contents.ids.tolist() == ["a", "b"]
    assert [(log.users.ids[u], log.contents.ids[c]) for u, c in zip(log.user, log.content, strict=True)] == [
        (1, "a"), (2, "b"), (1, "b"), (3, "a"), (2, "a"), (4, "b")
    ]  # fmt: skip
    assert log.types == ("interaction",)
    assert log.boundaries == Boundaries(start + 2 * day, start + 3 * day, start + 4 * day)
    assert [log.users.count_before(start + i * day) for i in range(-1, 6)] == [0, 1, 3, 4, 4, 4, 5]
    assert log.users.count_before(NEVER) == 5


def test_labels_by_hand() -> None:
    """weight x 2 / (largest weight x 2), with ratings from 1 to 5 before validation."""
    table = pd.DataFrame(
        {
            "user_id": [1, 2, 1, 2, 1, 2, 3, 3, 3, 3],
            "content_id": [1, 1, 2, 2, 3, 3, 1, 2, 3, 4],
            "type": ["rating", "view", "like", "rating", "inspire", "rating", "view", "rating", "rating", "like"],
            "value": [1, None, None, 5, None, 2, None, 4, 9, None],
            "timestamp": 1_700_000_000 + np.arange(10),
        }
    )
    log = prepare(Tables("hand", table), LogSettings()).log
    assert log.weight.tolist() == [0, 1, 3, 1, 4, 0.25, 1, 0.75, 1, 3]
    assert log.max_weight == 4
    assert log.label.tolist() == [0, 0.25, 0.75, 0.25, 1, 0.0625, 0.25, 0.1875, 0.25, 0.75]


def test_targets_that_all_weigh_nothing_cannot_be_learned() -> None:
    with pytest.raises(UserError, match=r"weight 0.* data\.weights"):
        tiny_log(settings=LogSettings(target=["like"], weights={"like": 0}))
    tiny_log(settings=LogSettings(target=["like", "view"], weights={"like": 0}))


def test_targets_by_type_and_value() -> None:
    log = tiny_log(settings=LogSettings(target=["rating", "like"], target_least=3))
    name = np.array(log.types)[log.type]
    expected = (name == "rating") & (np.nan_to_num(log.value) >= 3)  # a like has no value
    assert log.is_target.tolist() == expected.tolist()
    assert 0 < expected.sum() < (name == "rating").sum()
    assert tiny_log(settings=LogSettings(target=["like"])).is_target.tolist() == (name == "like").tolist()
    assert tiny_log().is_target.all()


def test_types_that_are_codes_are_named_by_numbers() -> None:
    tables = tiny_tables()
    types = tables.interactions["type"].map({name: code for code, name in enumerate(TYPES)})
    coded = replace(tables, interactions=tables.interactions.assign(type=types))
    log = prepare(coded, LogSettings(target=[1], weights={1: 2, 0: 0})).log
    assert log.types == ("0", "1", "2", "3")
    assert log.is_target.tolist() == (log.type == 1).tolist()
    assert log.weight[log.type == 1].tolist() == [2] * int((log.type == 1).sum())


def test_given_boundaries_replace_the_shares() -> None:
    log = tiny_log()
    t_val, t_test = log.time[20], log.time[50]
    given_log = tiny_log(settings=LogSettings(boundaries=[int(t_val), str(pd.Timestamp(t_test))]))
    assert given_log.boundaries == Boundaries(int(t_val), int(t_test), int(log.time[-1]))


def test_arrays_can_be_written_to() -> None:
    log = tiny_log()
    arrays = [getattr(log, field.name) for field in fields(EventLog)]
    assert all(array.flags.writeable for array in arrays if isinstance(array, np.ndarray))


def naive_log(tables: Tables) -> EventLog:
    """The log of `tiny_tables`, row by row."""
    second = 1_000_000_000
    events = tables.interactions.sort_values(["timestamp", "user_id", "content_id", "type"])
    events = events.drop_duplicates(["user_id", "content_id", "type"])
    time = events["timestamp"].to_numpy() * second
    n = len(time)
    boundaries = Boundaries(int(time[7 * n // 10]), int(time[9 * n // 10]), int(time[-1]))

    def nodes(table: pd.DataFrame, key: str, columns: dict[str, str]) -> NodeTable:
        first = dict(zip(events[key][::-1], time[::-1], strict=True))
        created = pd.to_datetime(table["created_at"], utc=True).dt.as_unit("ns")
        for id_, c in zip(table[key], created, strict=True):
            if not pd.isna(c):
                first[id_] = min(first.get(id_, NEVER), c.value)
        for id_ in table[key]:
            first.setdefault(id_, NEVER)
        order = sorted(first, key=lambda i: (first[i], i))
        rows = {row[key]: row for row in table.to_dict("records")}
        attributes = pd.DataFrame(
            {
                name: pd.Series(
                    [None if pd.isna(v := rows.get(i, {}).get(name)) else v for i in order],
                    dtype=np.float64 if kind == "number" else object,
                )
                for name, kind in columns.items()
            }
        )
        ids = np.array(order, dtype=object) if isinstance(order[0], str) else np.array(order, dtype=np.int64)
        return NodeTable(ids, np.array([first[i] for i in order], dtype=np.int64), attributes, dict(columns))

    users = nodes(tables.users, "user_id", {"age": "number", "country": "category"})
    contents = nodes(tables.contents, "content_id", {"title": "text", "category": "category", "duration": "number"})
    content_of = {id_: i for i, id_ in enumerate(contents.ids)}
    user_of = {id_: i for i, id_ in enumerate(users.ids)}
    rows = tables.contents.to_dict("records")
    creator_of_id = {content_of[row["content_id"]]: row["creator_id"] for row in rows}
    pairs = {
        (content_of[c], w, kind)
        for kind, column in (("tag", "tags"), ("mood", "moods"))
        for row in rows
        for c, w in [(row["content_id"], w) for w in row[column]]
    } | {(content_of[c], w, k) for c, w, k in tables.content_tags.itertuples(index=False)}

    def born(keys: list) -> tuple[list, np.ndarray]:
        first: dict = {}
        for key, c in keys:
            first[key] = min(first.get(key, NEVER), int(contents.exists_from[c]))
        order = sorted(first, key=lambda k: (first[k], k))
        return order, np.array([first[k] for k in order], dtype=np.int64)

    creators, creator_born = born([(u, c) for c, u in creator_of_id.items()])
    tags, tag_born = born([((w, k), c) for c, w, k in pairs])
    none = pd.DataFrame(index=range(len(creators)))
    tag_table = NodeTable(
        np.array([w for w, _ in tags], dtype=object),
        tag_born,
        pd.DataFrame({"kind": pd.Series([k for _, k in tags], dtype=object)}),
        {"kind": "category"},
    )
    types = tuple(sorted(TYPES))
    kind = events["type"].to_numpy()
    value = events["value"].to_numpy(np.float32)
    weight = np.select([kind == "view", kind == "like", kind == "inspire"], [1.0, 3.0, 4.0], (value - 1) / 4)
    content_tags = sorted((c, tags.index((w, k))) for c, w, k in pairs)
    moods = [i for i, (_, k) in enumerate(tags) if k == "mood" and tag_born[i] < boundaries.t_val]
    return EventLog(
        name=tables.name,
        types=types,
        user=np.array([user_of[u] for u in events["user_id"]], dtype=np.int64),
        content=np.array([content_of[c] for c in events["content_id"]], dtype=np.int64),
        type=np.array([types.index(k) for k in kind], dtype=np.int64),
        value=value,
        weight=np.clip(weight, 0, None).astype(np.float32),
        time=time,
        is_target=np.ones(n, dtype=bool),
        users=users,
        contents=contents,
        creators=NodeTable(np.array(creators, dtype=np.int64), creator_born, none, {}),
        tags=tag_table,
        creator_of=np.array(
            [creators.index(creator_of_id[c]) if c in creator_of_id else -1 for c in range(len(contents))]
        ),
        user_of_creator=np.array([user_of.get(u, -1) for u in creators], dtype=np.int64),
        content_tags=np.array(content_tags, dtype=np.int64).T,
        moods=np.array(moods, dtype=np.int64),
        max_weight=4.0,
        boundaries=boundaries,
    )
