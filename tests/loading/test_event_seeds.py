from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.data.event_log import Boundaries, EventLog
from recsys.errors import UserError
from recsys.loading.event_seeds import Asked, EventSeeds
from tests.loading.helpers import hand_log, random_log


def possible(log: EventLog, horizon: float, start_share: float) -> dict[tuple[int, int], set[int]]:
    """(user, content) -> the times it can be asked for at, one event at a time."""
    num_train = log.count_before(log.boundaries.t_val)
    reach, start = int(horizon * num_train), int(start_share * num_train)
    found: dict[tuple[int, int], set[int]] = {}
    targets = [e for e in range(num_train) if log.is_target[e]]
    for u, c in {(int(log.user[e]), int(log.content[e])) for e in targets}:
        mine = (log.user == u) & (log.content == c)
        event = next(e for e in targets if mine[e])
        times = set()
        for q in range(len(log)):
            t = log.time[q]
            unmet = not (mine & (log.time < t)).any()
            in_reach = max(start, event - reach) <= q <= event
            if in_reach and unmet and log.contents.exists_from[c] < t:
                times.add(int(t))
        if times:
            found[u, c] = times
    return found


@settings(deadline=None, max_examples=20)
@given(
    seed=st.integers(0, 50),
    horizon=st.sampled_from([0.0, 0.1, 0.5]),
    start_share=st.sampled_from([0.0, 0.3]),
    num_times=st.sampled_from([None, 1, 10]),
)
def test_seeds_and_their_times_equal_a_naive_reading(
    seed: int, horizon: float, start_share: float, num_times: int | None
) -> None:
    log = random_log(seed)
    expected = possible(log, horizon, start_share)
    if not expected:
        with pytest.raises(UserError, match="No pair"):
            EventSeeds(log, horizon=horizon, start_share=start_share)
        return
    seeds = EventSeeds(log, horizon=horizon, start_share=start_share)
    seen: dict[tuple[int, int], set[int]] = {}
    rng = np.random.default_rng(0)
    for _ in range(200):
        asked = ask(seeds, rng, num_times)
        for u, c, t in zip(asked.user.tolist(), asked.content.tolist(), asked.time.tolist(), strict=True):
            seen.setdefault((u, c), set()).add(t)
        assert (asked.until < log.boundaries.t_val).all()
    assert seen.keys() == expected.keys()
    for pair, times in seen.items():
        assert times <= expected[pair]
    assert sum(map(len, seen.values())) > 0.9 * sum(map(len, expected.values()))


def ask(seeds: EventSeeds, rng: np.random.Generator, num_times: int | None = None) -> Asked:
    return seeds.asked(*seeds.draw(len(seeds), num_times, rng))


@pytest.mark.parametrize("num_times", [None, 3, 20])
def test_a_pair_is_drawn_as_often_as_it_can_be_asked_for(num_times: int | None) -> None:
    # Those before 40 only serve as history. The horizon is 20 events.
    seeds = EventSeeds(one_event_a_second(), horizon=0.2, start_share=0.4)
    # The pairs of 40 to 59 can be asked for at 1 to 20 times, those of 60 to 99 at 21.
    width = np.minimum(np.arange(1, 61), 21)
    assert len(seeds) == width.sum() // 21
    count = np.zeros(60)
    for number in range(3000):
        drawn, _ = seeds.draw(20, num_times, np.random.default_rng(number))
        assert len(set(drawn.tolist())) == 20
        count[drawn] += 1
    np.testing.assert_allclose(count / 3000, 20 * width / width.sum(), atol=0.04)


def one_event_a_second() -> EventLog:
    """100 events in training, each of a user of its own with a content that was there before."""
    log = hand_log([(e, 0, e) for e in range(100)], 99)
    log.contents.exists_from[:] = -1
    return replace(log, boundaries=Boundaries(t_val=100, t_test=100, end=100))


def test_seeds_share_a_few_times_in_their_horizons() -> None:
    seeds = EventSeeds(one_event_a_second(), horizon=0.2, start_share=0.4)
    at: dict[int, set[int]] = {}
    for epoch in range(1000):
        # Fewer than those that can be asked for at one of six times, each ten events after the one before.
        asked = seeds.asked(*seeds.draw(20, 6, np.random.default_rng(epoch)))
        assert len({time % 10 for time in asked.time.tolist()}) == 1
        for user, time in zip(asked.user.tolist(), asked.time.tolist(), strict=True):
            at.setdefault(user, set()).add(time)
    assert at == {user: set(range(max(40, user - 20), user + 1)) for user in range(40, 100)}


def test_by_hand() -> None:
    # Pair (0, 1) is viewed at 30 and liked at 40 and, more strongly, at 60; content 2 comes with its first event.
    events = [(0, 0, 10), (1, 0, 20), (0, 1, 30), (0, 1, 40), (1, 2, 50), (0, 1, 60), (1, 0, 70)]
    log = hand_log(events, 70, weight=[1, 1, 1, 2, 1, 4, 1], is_target=[False] * 3 + [True] * 4)
    log.contents.exists_from[:] = [0, 0, 50]
    # 6 training events: within 1/3 of them before 40 lie 20, 30 and 40, but at 40 the pair has met.
    asked_at = set()
    seeds = EventSeeds(log, horizon=0.34, start_share=0.0)
    for epoch in range(50):
        asked = ask(seeds, np.random.default_rng(epoch))
        assert (asked.user.tolist(), asked.content.tolist(), asked.label.tolist()) == ([0], [1], [1.0])
        asked_at.add((int(asked.time[0]), int(asked.until[0])))
    assert asked_at == {(20, 40), (30, 50)}
    assert seeds.comes_by(np.array([0, 0, 1]), np.array([1, 1, 0]), np.array([39, 40, 99])).tolist() == [
        False,
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("name", "value"), [("horizon", -0.1), ("horizon", 1.0), ("horizon", "a"), ("start_share", 1.0)]
)
def test_shares_out_of_range_are_refused(name: str, value: Any) -> None:
    with pytest.raises(UserError, match=f"loader.{name} is {value}"):
        EventSeeds(random_log(0), **{"horizon": 0.1, "start_share": 0.3, name: value})
