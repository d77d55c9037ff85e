"""Tables of answers, with each oddity that real ones have."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.data.preparation import LogSettings, Prepared, prepare
from recsys.sources.base import Tables
from recsys.sources.platform.moods import MoodTable
from recsys.sources.platform.pages import Page
from recsys.sources.platform.tables import build_tables
from recsys.sources.platform.versions import newest, runs
from tests.sources.platform.server import Rows, generate

READ_AT = pd.Timestamp("2025-06-01").value
DAY = pd.Timedelta(days=1).value


def build(rows: dict[str, Rows], **options: Any) -> Tables:
    moods = MoodTable({"joyful": ["joy"], "calm": ["serenity"], "hopeful": ["hope"]})
    return build_tables([Page(name, part, READ_AT) for name, part in rows.items()], moods, **options)


def prepared(rows: dict[str, Rows]) -> Prepared:
    return prepare(build(rows), LogSettings())


def note(tables: Tables, endpoint: str, reason: str) -> int:
    return sum(rows for table, _, why, rows in tables.notes if (table, why) == (f"platform {endpoint}", reason))


def test_events_have_type_time_and_the_ratings_value() -> None:
    rows = generate()
    interactions = build(rows).interactions
    assert interactions["type"].value_counts().to_dict() == {
        "view": len(rows["views"]), "like": len(rows["likes"]), "inspire": len(rows["inspires"]),
        "rating": len(rows["ratings"]),
    }  # fmt: skip
    for kind, name, time in (("view", "views", "viewed_at"), ("rating", "ratings", "rated_at")):
        found = interactions[interactions["type"] == kind]
        assert found["user_id"].tolist() == [row["user_id"] for row in rows[name]]
        assert found["content_id"].tolist() == [row["post_id"] for row in rows[name]]
        assert found["timestamp"].tolist() == [row[time] for row in rows[name]]
    assert found["value"].tolist() == [row["rating_percent"] for row in rows["ratings"]]
    assert interactions["value"].isna().sum() == len(interactions) - len(rows["ratings"])


def test_contents_have_creator_category_genres_moods_and_a_time_in_this_century() -> None:
    rows = generate()
    rows["posts"][0].update(
        category={"id": 25, "name": "Super Feed"},
        post_summary={
            "emotions": {"moods": ["joy", "Serenity ", "joy", "hopefulness", "zzz"]},
            "genre": "Nature / Art",
        },
        created_at=1_734_075_393_000,
    )
    rows["posts"][1].update(category=[], post_summary=[], topic=[])
    rows["posts"][2].update(category={"id": 4, "name": None}, post_summary={"emotions": {}, "genre": "Not Available"})
    tables = build(rows)
    first, second, third = (tables.contents.iloc[i] for i in range(3))
    assert (first["category"], first["tags"], first["moods"]) == (
        "Super Feed", ["art", "nature"], ["calm", "hopeful", "joyful"],
    )  # fmt: skip
    assert (second["category"], second["tags"], second["moods"]) == (None, [], [])
    assert (third["category"], third["tags"], third["moods"]) == ("4", [], [])
    assert first["creator_id"] == rows["posts"][0]["owner_id"]
    log = prepare(tables, LogSettings()).log
    place = log.contents.ids.tolist().index(rows["posts"][0]["id"])
    assert pd.Timestamp(log.contents.exists_from[place]) <= pd.Timestamp("2024-12-13 07:36:33")
    assert pd.to_datetime(log.contents.exists_from).year.min() >= 2024
    empty = sum(row["category"] == [] for row in rows["posts"])
    assert note(tables, "posts", "category is []") == empty
    assert note(tables, "posts", "post_summary is []") == sum(row["post_summary"] == [] for row in rows["posts"])
    assert note(tables, "posts", "topic is []") == 1
    assert note(tables, "posts", "mood words without a mood") >= 1
    assert note(tables, "posts", "mood words that the table lacks, folded by likeness") >= 1


def test_repeated_rows_count_once_and_repeated_pairs_are_merged_by_cleaning() -> None:
    rows = generate()
    first = rows["inspires"][0]
    rows["inspires"] += [dict(first), *({**first, "id": 900 + i} for i in range(4))]
    done = prepared(rows)
    assert note(build(rows), "inspires", "the same row again") == 1
    merged = "repeated user, content and type: the first one counts"
    of_pair = done.report.rows("interactions", "merged", merged)
    rows["inspires"] = rows["inspires"][:-4]
    assert of_pair == prepared(rows).report.rows("interactions", "merged", merged) + 4


def test_rows_that_lack_a_field_are_set_aside_and_an_id_is_not_needed() -> None:
    rows = generate()
    whole = prepared(rows).report
    without_id = {key: value for key, value in rows["views"][0].items() if key != "id"}
    rows["views"] += [
        {"id": 901, "post_id": 7, "viewed_at": "2024-05-01 00:00:00"},
        {"id": 902, "user_id": 100, "viewed_at": "2024-05-01 00:00:00"},
        {"id": 903, "post_id": 7, "user_id": 100},
        {"id": 904, "post_id": 7, "user_id": 100, "viewed_at": []},
        {"id": 905, "post_id": 7, "user_id": 100, "viewed_at": "soon"},
        {**without_id, "viewed_at": "2024-06-01 00:00:00", "post_id": 7, "user_id": 129},
    ]
    rows["posts"].append({"owner_id": 3, "created_at": 1_734_075_393_000})
    rows["users"].append({"post_count": 3})
    report = prepared(rows).report
    for table, reason, count in (
        ("interactions", "no user_id", 1),
        ("interactions", "no content_id", 1),
        ("interactions", "no timestamp", 2),
        ("interactions", "timestamp is no time", 1),
        ("contents", "no content_id", 1),
        ("users", "no user_id", 1),
    ):
        assert report.rows(table, "set aside", reason) == count, (table, reason)
    assert report.rows("interactions", "read") == whole.rows("interactions", "read") + 6


def test_unknown_users_and_posts_are_kept_and_counted() -> None:
    rows = generate()
    rows["users"], rows["posts"] = rows["users"][1:], rows["posts"][2:]
    done = prepared(rows)
    known = {row["id"] for row in rows["users"]}
    events = [row for name in ("views", "likes", "inspires", "ratings") for row in rows[name]]
    pairs = {(n, r["user_id"], r["post_id"]) for n in ("views", "likes", "inspires", "ratings") for r in rows[n]}
    unknown = sum(user not in known for _, user, _ in pairs)
    assert 0 < unknown == done.report.rows("interactions", "kept", "unknown to the users table")
    assert done.report.rows("interactions", "kept", "unknown to the contents table") > 0
    assert set(done.log.users.ids) == known | {row["user_id"] for row in events}


def test_totals_that_cannot_be_are_missing_and_counted() -> None:
    rows = generate()
    posts = rows["posts"]
    posts[0].update(average_rating=-3, rating_count=2)
    posts[1].update(average_rating=50, rating_count=0)
    posts[2].update(upvote_count=9, view_count=4)
    posts[3].update(average_rating=[], view_count="many", comment_count=None)
    tables = build(rows)
    average = tables.readings["contents"].set_index("content_id")["average_rating"]
    assert [bool(np.isnan(average[posts[i]["id"]])) for i in range(5)] == [True, True, False, True, False]
    assert note(tables, "posts", "average_rating below 0") == 1
    assert note(tables, "posts", "average_rating without a rating") == 1
    assert note(tables, "posts", "more upvotes than views") == 1
    zero = sum(row["post_count"] == row["follower_count"] == row["following_count"] == 0 for row in rows["users"])
    assert 0 < zero == note(tables, "users", "posts, followers and following are all 0")


def test_what_is_uneven_is_counted() -> None:
    rows = generate()
    tables = build(rows)
    viewed = {(row["user_id"], row["post_id"]) for row in rows["views"]}
    unseen = sum((row["user_id"], row["post_id"]) not in viewed for row in rows["likes"])
    assert 0 < unseen == note(tables, "likes", "no view of the same user and post")
    owners = pd.Series([row["owner_id"] for row in rows["posts"]]).value_counts()
    assert owners.iloc[0] * 2 > len(rows["posts"])
    assert note(tables, "posts", f"by one creator, {owners.index[0]}") == owners.iloc[0]


def test_totals_are_seen_only_after_they_were_read() -> None:
    """Read between validation and test: no feature before, a feature never where training could not see it."""
    rows = generate()
    tables = build(rows)
    boundaries = prepare(tables, LogSettings()).log.boundaries
    early = {name: frame.assign(read_at=boundaries.t_val - DAY) for name, frame in tables.readings.items()}
    late = {name: frame.assign(read_at=boundaries.t_val) for name, frame in tables.readings.items()}
    for readings, names in ((early, {"view_count", "upvote_count"}), (late, set())):
        contents = prepare(replace(tables, readings=readings), LogSettings()).log.contents
        learnable = contents.readings.learnable(boundaries.t_val, contents.count_before(boundaries.t_val))
        assert names <= set(learnable.names)
        assert bool(names) == bool(learnable.names)
    assert "view_count" not in prepare(tables, LogSettings()).log.contents.kinds


def test_leaky_totals_are_attributes_and_say_so(caplog: pytest.LogCaptureFixture) -> None:
    rows = generate()
    tables = build(rows, leaky_totals=True)
    log = prepare(tables, LogSettings()).log
    assert tables.readings == {}
    assert {"view_count", "upvote_count", "average_rating"} <= log.contents.kinds.keys()
    assert {"post_count", "following_count", "follower_count"} <= log.users.kinds.keys()
    place = log.contents.ids.tolist().index(rows["posts"][5]["id"])
    assert log.contents.attributes["view_count"].iloc[place] == rows["posts"][5]["view_count"]
    assert any(reason.startswith("LEAK") for _, _, reason, _ in tables.notes)
    assert "LEAK" in caplog.text
    assert not any(reason.startswith("LEAK") for _, _, reason, _ in build(rows).notes)


def test_no_endpoint_but_one_need_have_rows() -> None:
    rows = {name: [] for name in generate()}
    assert build(rows).interactions.empty
    rows["views"] = generate()["views"]
    tables = build(rows)
    assert (tables.users, tables.contents) == (None, None)
    assert len(prepare(tables, LogSettings()).log) > 0


@settings(deadline=None, max_examples=60)
@given(
    read=st.lists(st.tuples(st.sampled_from([1, 2, None]), st.sampled_from("ab"), st.sampled_from("xy")), max_size=12)
)
def test_versions_are_the_changes_of_each_row(read: list[tuple[int | None, str, str]]) -> None:
    rows = pd.DataFrame(read, columns=["id", "first", "second"], dtype=object).assign(read_at=range(len(read)))
    found = runs(rows, "id", ["first", "second"])
    expected: dict[object, list[tuple[str, str, int]]] = {}
    for at, (key, first, second) in enumerate(read):
        owner = key if key is not None else (first, second)
        history = expected.setdefault(owner, [])
        if not history or history[-1][:2] != (first, second):
            history.append((first, second, at))
    columns = ["first", "second", "read_at"]
    histories = [list(part[columns].itertuples(index=False, name=None)) for _, part in found.groupby("owner")]
    assert sorted(histories) == sorted(expected.values())
    last = sorted(newest(found)[columns].itertuples(index=False, name=None))
    assert last == sorted(history[-1] for history in expected.values())
    before = found.loc[found["version"] > 0, "first before"].tolist()
    assert before == [history[i - 1][0] for _, history in _by_owner(found) for i in range(1, len(history))]


def _by_owner(found: pd.DataFrame) -> list[tuple[object, list[tuple[str, ...]]]]:
    return [
        (owner, list(part[["first"]].itertuples(index=False, name=None)))
        for owner, part in found.groupby("owner", sort=False)
    ]
