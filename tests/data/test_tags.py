"""Creators, tags and moods by hand."""

import numpy as np
import pandas as pd

from recsys.data.event_log import NEVER, EventLog
from recsys.data.preparation import LogSettings, prepare
from recsys.sources.base import Tables

T = 1_700_000_000
SECOND = 1_000_000_000


def log_of(contents: pd.DataFrame, tags: pd.DataFrame | None = None, max_moods: int = 64) -> EventLog:
    """Ten events, one a second: contents 0 to 4 begin in seconds 0 to 4, content 5 in second 8; T_val is second 7."""
    interactions = pd.DataFrame(
        {"user_id": np.arange(10) % 3, "content_id": [0, 1, 2, 3, 4, 0, 1, 2, 5, 3], "timestamp": T + np.arange(10)}
    )
    tables = Tables("hand", interactions, contents=contents, content_tags=tags)
    return prepare(tables, LogSettings(max_moods=max_moods)).log


def pairs(log: EventLog) -> set[tuple[int, str, str]]:
    kinds = log.tags.attributes["kind"]
    return {(int(log.contents.ids[c]), log.tags.ids[t], kinds[t]) for c, t in log.content_tags.T}


def test_tags_are_words_of_a_kind() -> None:
    contents = pd.DataFrame(
        {
            "content_id": [5, 3, 2, 1, 0],
            "tags": [["new"], ["joy", "sea"], ["sea", "sea"], [], ["joy"]],
            "moods": [["joy"], None, ["calm"], ["joy"], []],
        }
    )
    extra = pd.DataFrame({"content_id": [4, 2], "tag": ["calm", "calm"], "kind": [None, "mood"]})
    log = log_of(contents, extra)
    kinds = log.tags.attributes["kind"].tolist()
    # By first second: 0 joy; 1 joy (mood); 2 calm (mood), sea; 4 calm; 8 new.
    assert list(zip(log.tags.ids, kinds, strict=True)) == [
        ("joy", "tag"), ("joy", "mood"), ("calm", "mood"), ("sea", "tag"), ("calm", "tag"), ("new", "tag")
    ]  # fmt: skip
    assert ((log.tags.exists_from // SECOND) - T).tolist() == [0, 1, 2, 2, 4, 8]
    assert pairs(log) == {
        (0, "joy", "tag"), (1, "joy", "mood"), (2, "sea", "tag"), (2, "calm", "mood"), (3, "joy", "tag"),
        (3, "sea", "tag"), (4, "calm", "tag"), (5, "new", "tag"), (5, "joy", "mood"),
    }  # fmt: skip
    order = np.lexsort((log.content_tags[1], log.content_tags[0]))
    assert order.tolist() == list(range(9))
    assert log.mood_names == ("joy", "calm")


def test_tags_play_moods_where_there_are_none_before_validation() -> None:
    contents = pd.DataFrame(
        {
            "content_id": [0, 1, 2, 3, 5],
            "tags": [["a", "c"], ["b", "c"], ["b"], ["d"], ["late"]],
            "moods": [[], [], [], [], ["joy"]],
        }
    )
    assert log_of(contents).mood_names == ("a", "c", "b", "d")
    # c and b are on two contents each, then a by index; the order stays that of the tags.
    assert log_of(contents, max_moods=3).mood_names == ("a", "c", "b")
    assert log_of(contents, max_moods=2).mood_names == ("c", "b")
    assert log_of(contents, max_moods=0).mood_names == ()


def test_categories_play_tags_where_there_are_none_before_validation() -> None:
    category = [{"id": 1, "name": "Music"}, {"id": 2}, [], "Music", [{"id": 3, "name": "Sport"}], "Late"]
    contents = pd.DataFrame({"content_id": range(6), "category": category, "tags": [[], [], [], [], [], ["late"]]})
    log = log_of(contents)
    assert log.contents.attributes["category"].tolist() == ["Music", "2", None, "Music", "Sport", "Late"]
    assert list(zip(log.tags.ids, log.tags.attributes["kind"], strict=True)) == [
        ("Music", "category"), ("2", "category"), ("Sport", "category"), ("Late", "category"), ("late", "tag")
    ]  # fmt: skip
    assert log.mood_names == ("Music", "2", "Sport")


def test_without_words_there_are_neither_tags_nor_moods() -> None:
    log = log_of(pd.DataFrame({"content_id": [0]}))
    assert (len(log.tags), log.content_tags.shape, log.moods.shape, len(log.creators)) == (0, (2, 0), (0,), 0)
    assert log.creator_of.tolist() == [-1] * 6
    assert log.content_tags.dtype == log.moods.dtype == log.tags.exists_from.dtype == np.int64


def test_creators_begin_with_their_first_content() -> None:
    contents = pd.DataFrame({"content_id": [5, 4, 3, 2, 1, 77], "creator_id": [8, 1, None, 8, 1, 2]})
    log = log_of(contents)
    assert log.creators.ids.tolist() == [1, 8, 2]
    assert [t // SECOND - T for t in log.creators.exists_from[:2]] == [1, 2]
    assert log.creators.exists_from[2] == NEVER
    names = [log.creators.ids[c] if c >= 0 else None for c in log.creator_of]
    assert dict(zip(log.contents.ids.tolist(), names, strict=True)) == {0: None, 1: 1, 2: 8, 3: None, 4: 1, 5: 8, 77: 2}
    # Users 0, 1 and 2 exist; creator 8 is none of them.
    assert [log.users.ids[u] if u >= 0 else None for u in log.user_of_creator] == [1, None, 2]


def test_creators_with_ids_of_another_kind_are_matched_as_text() -> None:
    """One creator whose id is no number makes text of all of them, and the others stay the users that they are."""
    log = log_of(pd.DataFrame({"content_id": [0, 1, 2], "creator_id": ["1", "team", "01"]}))
    assert log.creators.ids.tolist() == ["1", "team", "01"]
    assert [log.users.ids[u] if u >= 0 else None for u in log.user_of_creator] == [1, None, None]
