"""Slices by hand, and that they know nothing of the future."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.data.event_log import EventLog
from recsys.data.interaction_index import InteractionIndex
from recsys.data.preparation import LogSettings, prepare
from recsys.evaluation.slices import audience_of, content_attributes, mood_users
from tests.evaluation.fakes import task_of
from tests.factories import tiny_tables, with_future_changed
from tests.graph.logs import log_of


@pytest.fixture
def log() -> EventLog:
    """Validation is [100, 200). Users 2, 3 and 4 are cold in it, contents 3 and 4 too.

    Tag 0 is a plain tag, so mood m is tag m + 1. Content 1 has the moods 1 and 2, of which 1 is on more contents.
    """
    return log_of(
        [
            (0, 0, "view", None, 10),
            (0, 1, "view", None, 11),
            (1, 1, "view", None, 12),
            (1, 2, "view", None, 13),
            (1, 2, "like", None, 14),
            (0, 2, "view", None, 110),
            (0, 3, "view", None, 111),
            (1, 3, "view", None, 112),
            (2, 1, "view", None, 120),  # the first positive of user 2
            (2, 2, "view", None, 121),
            (2, 4, "view", None, 122),
            (3, 0, "view", None, 123),  # user 3 has no other positive
            (4, 4, "view", None, 124),  # content 4 has no mood
            (4, 3, "view", None, 124),  # at the same time, and has one: the lower content comes first
            (5, 4, "view", None, 125),  # user 5 has no mood
            (5, 3, "view", None, 126),
            (0, 4, "view", None, 200),
        ],
        t_val=100,
        t_test=200,
        creator_of=[0, 1, -1, -1, -1],
        content_tags=[(0, 0), (0, 1), (1, 2), (1, 3), (2, 2), (3, 3)],
        tag_kinds=["tag", "mood", "mood", "mood"],
        content_created={3: 20, 4: 21},
    )


def test_cold_users_have_no_event_before(log: EventLog) -> None:
    assert InteractionIndex(log).is_cold(np.array([0, 1, 2, 3, 4]), 100).tolist() == [False, False, True, True, True]
    assert InteractionIndex(log).is_cold(np.array([2, 0]), 120).tolist() == [True, False]
    assert InteractionIndex(log).is_cold(np.array([2, 0]), 121).tolist() == [False, False]


def test_audience_counts_users_once_and_only_the_past(log: EventLog) -> None:
    assert audience_of(log, 100).tolist() == [1, 2, 1, 0, 0]
    assert audience_of(log, 12).tolist() == [1, 1]
    assert audience_of(log, 113).tolist() == [1, 2, 2, 2, 0]


def test_attributes_are_tags_and_creator(log: EventLog) -> None:
    attributes = content_attributes(log, 100)
    assert attributes is not None
    assert attributes.toarray().tolist() == [
        [1, 1, 0, 0, 1, 0],
        [0, 0, 1, 1, 0, 1],
        [0, 0, 1, 0, 0, 0],
        [0, 0, 0, 1, 0, 0],
        [0, 0, 0, 0, 0, 0],
    ]
    bare = log_of([(0, 0, "view", None, 1), (0, 1, "view", None, 2)], t_val=9, t_test=10)
    assert content_attributes(bare, 9) is None


def test_mood_of_a_cold_user_is_the_commonest_of_its_first_positive(log: EventLog) -> None:
    _, task = task_of(log)
    assert task.user.tolist() == [0, 1, 2, 3, 4, 5]
    found = mood_users(log, task, InteractionIndex(log).is_cold(task.user, task.time))
    # User 2: content 1, moods 1 (on contents 1, 2) and 2 (on contents 1, 3): as common, so the first of them.
    # User 4: contents 3 and 4 at one time, so content 3 with mood 2.
    assert found.row.tolist() == [2, 4]
    assert found.mood.tolist() == [1, 2]
    assert found.first.tolist() == [1, 3]
    assert (found.without_mood, found.without_rest) == (1, 1)  # users 5 and 3


def test_only_contents_that_exist_make_a_mood_common(log: EventLog) -> None:
    """Mood 2 is on contents 1 and 3; mood 1 on 1 and 2; were content 2 unborn, mood 2 would be the commoner."""
    fewer = log_of(
        [
            (0, 0, "view", None, 10),
            (0, 1, "view", None, 11),
            (1, 1, "view", None, 120),
            (1, 0, "view", None, 121),
            (2, 3, "view", None, 122),
            (0, 3, "view", None, 200),
        ],
        t_val=100,
        t_test=200,
        content_tags=[(1, 0), (1, 1), (2, 1), (3, 0)],
        tag_kinds=["mood", "mood"],
        content_created={2: 12, 3: 101},
    )
    _, task = task_of(fewer)
    found = mood_users(fewer, task, InteractionIndex(fewer).is_cold(task.user, task.time))
    assert found.mood.tolist() == [1]


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 5), st.integers(0, 2**32 - 1), st.sampled_from(["t_val", "t_test"]))
def test_the_future_changes_nothing(seed: int, other: int, boundary: str) -> None:
    tables = tiny_tables(seed)
    log = prepare(tables, LogSettings()).log
    t = getattr(log.boundaries, boundary)
    b = log.boundaries
    fixed = LogSettings(boundaries=(b.t_val, b.t_test))
    changed = prepare(with_future_changed(tables, t, np.random.default_rng(other)), fixed).log

    num_users = log.users.count_before(t)
    assert (
        InteractionIndex(changed).is_cold(np.arange(num_users), t)
        == InteractionIndex(log).is_cold(np.arange(num_users), t)
    ).all()
    assert (audience_of(changed, t) == audience_of(log, t)).all()
    before, after = content_attributes(log, t), content_attributes(changed, t)
    assert before is not None
    assert after is not None
    # Columns may be numbered otherwise; what contents have in common may not change.
    assert ((before @ before.T).toarray() == (after @ after.T).toarray()).all()
