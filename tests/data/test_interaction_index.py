"""Look-ups of pairs against sets."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.data.interaction_index import InteractionIndex
from recsys.data.preparation import LogSettings
from tests.factories import tiny_log


@given(seed=st.integers(0, 10_000), place=st.integers(0, 59))
@settings(deadline=None, max_examples=15)
def test_like_a_set_of_pairs(seed: int, place: int) -> None:
    log = tiny_log(seed, settings=LogSettings(repeats="keep"))
    index = InteractionIndex(log)
    t = int(log.time[place])
    met = {(u, c) for u, c, time in zip(log.user.tolist(), log.content.tolist(), log.time, strict=True) if time < t}
    users, contents = np.arange(len(log.users)), np.arange(len(log.contents))
    seen = index.seen_before(users[:, None], contents[None, :], t)
    assert {(u, c) for u, c in np.argwhere(seen).tolist()} == met
    assert index.is_cold(users, t).tolist() == [all(u != user for user, _ in met) for u in users.tolist()]
    asked = np.array([5, 0, 5], dtype=np.int64)
    row, content = index.history(asked, t)
    expected = [(i, c) for i, u in enumerate(asked) for c in range(len(contents)) if (u, c) in met]
    assert list(zip(row.tolist(), content.tolist(), strict=True)) == expected


def test_each_pair_has_a_time_of_its_own() -> None:
    log = tiny_log()
    index = InteractionIndex(log)
    first = {}
    for u, c, t in zip(log.user.tolist(), log.content.tolist(), log.time.tolist(), strict=True):
        first.setdefault((u, c), t)
    users, contents = np.array(list(first)).T
    times = np.array(list(first.values()))
    assert not index.seen_before(users, contents, times).any()
    assert index.seen_before(users, contents, times + 1).all()


def test_no_users_have_no_history() -> None:
    assert InteractionIndex(tiny_log()).history(np.empty(0, dtype=np.int64), 10**19 // 2).shape == (2, 0)


def test_users_are_cold_up_to_their_first_event() -> None:
    log = tiny_log()
    index = InteractionIndex(log)
    users, first = np.unique(log.user, return_index=True)
    assert index.is_cold(users, log.time[first]).all()
    assert not index.is_cold(users, log.time[first] + 1).any()
