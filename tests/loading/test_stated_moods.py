import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from recsys.data.event_log import EventLog
from recsys.loading.stated_moods import ContentMoods, StatedMoods
from tests.loading.helpers import hand_log, random_log

EVENTS = [(0, content, 10 * content) for content in range(6)]


def test_drawn_moods_are_uniform_over_the_contents_and_then_over_their_moods() -> None:
    # User 0 acts on contents 0, 1, 2 and 3, of which 2 has no mood.
    moods_of = {0: ["a", "b"], 1: ["c"], 3: ["d"]}
    moods = ContentMoods(hand_log(EVENTS, 60, moods_of=moods_of))
    assert moods.number.tolist() == [2, 1, 0, 1, 0, 0]
    stated = StatedMoods(moods, np.array([0, 1, 0, 0, 0]), np.array([0, 0, 1, 2, 3]), np.arange(5))
    times = 6000
    row, mood = stated.draw(np.zeros(times, dtype=np.int64), 0, 5, np.random.default_rng(0))
    assert row.tolist() == list(range(times))
    expected = [times / 6, times / 6, times / 3, times / 3]
    assert chisquare(np.bincount(mood, minlength=4), expected).pvalue > 0.001


def test_only_what_comes_about_in_time_counts() -> None:
    moods = ContentMoods(hand_log(EVENTS, 60, moods_of={1: ["c"], 3: ["d"]}))
    stated = StatedMoods(moods, np.array([0, 0, 2]), np.array([1, 3, 2]), np.array([4, 9, 5]))

    def draw(user: int, since: int, until: int) -> list[int]:
        return stated.draw(np.array([user]), since, until, np.random.default_rng(1))[1].tolist()

    assert draw(0, 0, 9) == [0]
    assert draw(0, 5, 99) == [1]
    assert draw(0, 5, 9) == draw(0, 10, 99) == draw(1, 50, 99) == draw(2, 6, 5) == []
    assert draw(2, 0, 10) == []  # no mood
    assert draw(1, 0, 10) == []  # acts on nothing


@given(seed=st.integers(0, 30))
@settings(deadline=None, max_examples=20)
def test_draws_against_a_naive_loop(seed: int) -> None:
    log, rng = random_log(seed), np.random.default_rng(seed)
    keys = np.unique(log.user * len(log.contents) + log.content)
    user, content = np.divmod(rng.permutation(keys), len(log.contents))
    when = rng.integers(0, 20, len(user))
    since = rng.integers(0, 15, len(user))
    until = since + rng.integers(0, 10, len(user))
    row, mood = StatedMoods(ContentMoods(log), user, content, when).draw(user, since, until, rng)
    found = dict(zip(row.tolist(), mood.tolist(), strict=True))
    assert list(found) == sorted(found)
    for i in range(len(user)):
        theirs = content[(user == user[i]) & (when >= since[i]) & (when < until[i])]
        allowed = set().union(*(moods_of(log, each) for each in theirs))
        assert (i in found) == bool(allowed)
        assert found.get(i) in (allowed or {None})


def moods_of(log: EventLog, content: int) -> set[int]:
    tags = log.content_tags[1][log.content_tags[0] == content]
    return {m for m, tag in enumerate(log.moods) if tag in tags}


@pytest.mark.parametrize("moods_of", [{}, {5: ["a"]}])
def test_no_moods(moods_of: dict[int, list[str]]) -> None:
    moods = ContentMoods(hand_log(EVENTS, 60, moods_of=moods_of))
    none = np.empty(0, dtype=np.int64)
    for user, content in ((np.zeros(3, dtype=np.int64), np.arange(3)), (none, none)):
        row, mood = StatedMoods(moods, user, content, np.arange(len(user))).draw(user, 0, 3, np.random.default_rng(0))
        assert len(row) == len(mood) == 0
        assert row.dtype == mood.dtype == np.int64
