import logging
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.data.event_log import Boundaries, EventLog
from recsys.data.interaction_index import InteractionIndex
from recsys.errors import UserError
from recsys.loading.seeds import (
    FEWEST_WINDOWS,
    MOST_WINDOWS,
    cut_times,
    num_windows,
    training_pairs,
    training_windows,
)
from tests.loading.helpers import hand_log, random_log

# Ten training events. Two windows from 40% on are [50, 70) and [70, 90). Content 0 has no event and exists from 0 on.
EVENTS = [
    (0, 1, 10),
    (1, 2, 20),
    (0, 2, 30),
    (2, 1, 40),
    (0, 1, 50),  # met before
    (1, 3, 60),  # content 3 is newer than the window
    (3, 2, 65),  # a seed, of a newcomer
    (1, 1, 70),  # a seed
    (1, 1, 75),  # the same pair with a larger weight
    (2, 3, 80),  # a seed
    (0, 3, 90),  # validation
]
WEIGHT = [1, 1, 1, 1, 1, 1, 1, 1, 3, 2, 4]


def windows_of(log: EventLog, **settings: float) -> list:
    return training_windows(log, InteractionIndex(log), **settings)


def test_windows_worked_by_hand(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="recsys.loading.seeds"):
        first, second = windows_of(hand_log(EVENTS, 90, weight=WEIGHT), snapshots=2, start_share=0.4)
    assert (first.time, first.num_contents, first.num_users) == (50, 3, 3)
    assert (first.user.tolist(), first.content.tolist(), first.label.tolist()) == ([3], [2], [0.25])
    assert (second.time, second.num_contents, second.num_users) == (70, 4, 4)
    assert (second.user.tolist(), second.content.tolist(), second.label.tolist()) == ([1, 2], [1, 3], [0.75, 0.5])
    assert caplog.messages == [
        "2 training windows with 1, 2 seeds; target events before t_val that are no seed of a window: "
        "4 before the first window; 1 of contents newer than their window; 1 of pairs met before their window; "
        "0 of users with no content left as a negative; 1 that repeat a pair of their window."
    ]


def test_many_windows_overlap_unless_told() -> None:
    log = hand_log([(user, content, 10 * user + content) for user in range(30) for content in range(2, 8)], 280)
    for snapshots, reach in ((12, 1), (13, 2), (30, 2)):
        told, by_itself = windows_of(log, snapshots=snapshots, reach=reach), windows_of(log, snapshots=snapshots)
        assert [window.user.tolist() for window in by_itself] == [window.user.tolist() for window in told]
    one, two = (sum(map(len, windows_of(log, snapshots=12, reach=reach))) for reach in (1, 2))
    assert 0 < one < two


@pytest.mark.parametrize("reach", [2, 5])
def test_windows_overlap_where_they_reach_further(reach: int) -> None:
    """At 50 two cuts on is t_val: [50, 90) has all seeds but those of content 3, which is newer than the window."""
    first, second = windows_of(hand_log(EVENTS, 90, weight=WEIGHT), snapshots=2, start_share=0.4, reach=reach)
    assert (first.time, first.user.tolist(), first.content.tolist()) == (50, [1, 3], [1, 2])
    assert first.label.tolist() == [0.75, 0.25]
    assert (second.time, second.user.tolist(), second.content.tolist()) == (70, [1, 2], [1, 3])


def test_other_events_are_no_seeds_but_history() -> None:
    is_target = [True] * len(EVENTS)
    is_target[3] = is_target[6] = is_target[9] = False
    (window,) = windows_of(hand_log(EVENTS, 90, is_target=is_target), snapshots=2, start_share=0.4)
    assert (window.user.tolist(), window.content.tolist()) == ([1], [1])


def test_seeds_without_any_possible_negative_are_dropped(caplog: pytest.LogCaptureFixture) -> None:
    # At 40 there are contents 0 and 1: user 0 has met 0 and meets 1, user 3 meets both, user 4 only 1.
    events = [
        (0, 0, 10),
        (1, 1, 20),
        (2, 1, 30),
        (0, 1, 40),
        (3, 0, 50),
        (3, 1, 60),
        (3, 1, 70),
        (4, 1, 80),
        (0, 1, 90),
    ]
    with caplog.at_level(logging.INFO, logger="recsys.loading.seeds"):
        (window,) = windows_of(hand_log(events, 90), snapshots=1, start_share=0.4)
    assert (window.user.tolist(), window.content.tolist()) == ([4], [1])
    assert "4 of users with no content left as a negative; 0 that repeat" in caplog.text


@pytest.mark.parametrize(
    ("snapshots", "start_share", "expected"),
    [
        (2, 0.4, [50, 70]),
        (1, 0.4, [50]),
        (5, 0.0, [10, 30, 50, 65, 75]),
        (3, 0.7, [70, 75, 80]),
        (4, 0.7, [70, 75, 80]),
    ],
)
def test_cuts_lie_at_equal_numbers_of_events(snapshots: int, start_share: float, expected: list[int]) -> None:
    assert cut_times(hand_log(EVENTS, 90), snapshots, start_share).tolist() == expected


@pytest.mark.parametrize(
    ("num_events", "expected"),
    [(250_000, 12), (200_000, 12), (150_000, 16), (100_000, 24), (20_000, 24), (15_000, 32), (10_000, 48), (100, 48)],
)
def test_the_smaller_a_log_the_more_windows_it_has(num_events: int, expected: int) -> None:
    events = [(0, 0, time) for time in range(num_events)]
    assert num_windows(hand_log([*events, (0, 0, num_events), (0, 0, num_events + 1)], num_events)) == expected


def test_validation_in_training_changes_no_number_of_windows() -> None:
    log = hand_log([(0, 0, time) for time in range(20_000)], 10_000)
    log = replace(log, boundaries=replace(log.boundaries, t_test=16_000))
    joined = log.with_validation_in_training()
    assert joined.boundaries.t_val == 16_000
    assert num_windows(joined) == num_windows(log) == 48
    assert num_windows(replace(log, boundaries=replace(log.boundaries, t_val=16_000))) == 30


def test_windows_go_by_the_log_unless_told() -> None:
    log = hand_log(EVENTS, 90)
    told, by_itself = windows_of(log, snapshots=MOST_WINDOWS), windows_of(log)
    assert [window.time for window in by_itself] == [window.time for window in told]


def test_cuts_on_one_time_are_one() -> None:
    log = hand_log([(0, 0, 10), (1, 0, 10), (2, 0, 10), (3, 0, 20), (4, 0, 30)], 30)
    assert cut_times(log, 4, 0.0).tolist() == [10, 20]


@given(
    seed=st.integers(0, 12),
    snapshots=st.integers(1, 7),
    start_share=st.floats(0.0, 0.9),
    reach=st.integers(1, 9),
    target=st.sampled_from([None, 0, 2]),
)
@settings(deadline=None, max_examples=60)
def test_windows_against_a_naive_loop(
    seed: int, snapshots: int, start_share: float, reach: int, target: int | None
) -> None:
    log = random_log(seed)
    if target is not None:
        log = replace(log, is_target=log.type == target)
    t_val = log.boundaries.t_val
    cuts = cut_times(log, snapshots, start_share).tolist()
    expected = {}
    for place, t in enumerate(cuts):
        stop = cuts[place + reach] if place + reach < len(cuts) else t_val
        history = {(u, c) for u, c, time in zip(log.user, log.content, log.time, strict=True) if time < t}
        existing = {c for c in range(len(log.contents)) if log.contents.exists_from[c] < t}
        labels: dict[tuple[int, int], float] = {}
        for i in range(len(log)):
            pair = (int(log.user[i]), int(log.content[i]))
            if t <= log.time[i] < stop and log.is_target[i] and pair[1] in existing and pair not in history:
                labels[pair] = max(labels.get(pair, 0.0), float(log.label[i]))
        hopeless = {u for u, _ in labels if existing == {c for v, c in history | set(labels) if v == u} & existing}
        labels = {pair: label for pair, label in labels.items() if pair[0] not in hopeless}
        if labels:
            expected[t] = labels
    if not expected:
        with pytest.raises(UserError, match="has a seed"):
            windows_of(log, snapshots=snapshots, start_share=start_share, reach=reach)
        return
    windows = windows_of(log, snapshots=snapshots, start_share=start_share, reach=reach)
    found = {w.time: list(zip(w.user.tolist(), w.content.tolist(), w.label.tolist(), strict=True)) for w in windows}
    assert found == {t: [(*pair, label) for pair, label in sorted(labels.items())] for t, labels in expected.items()}


@given(seed=st.integers(0, 12), snapshots=st.integers(1, 7), reach=st.integers(1, 3))
@settings(deadline=None, max_examples=10)
def test_every_target_event_is_a_seed_or_counted(seed: int, snapshots: int, reach: int) -> None:
    log = random_log(seed)
    messages: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    logger = logging.getLogger("recsys.loading.seeds")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        windows = windows_of(log, snapshots=snapshots, start_share=0.2, reach=reach)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
    reasons = messages[0].split("no seed of a window:")[1]
    dropped = sum(int(number) for number in re.findall(r"(\d+) (?:before|of|that) ", reasons))
    num_targets = log.is_target[: log.count_before(log.boundaries.t_val)].sum()
    cuts = [*cut_times(log, snapshots, 0.2).tolist(), *[log.boundaries.t_val] * reach]
    seeds = set()
    for window in windows:
        stop = cuts[cuts.index(window.time) + reach]
        pairs = set(zip(window.user.tolist(), window.content.tolist(), strict=True))
        for event in np.flatnonzero(log.is_target & (log.time >= window.time) & (log.time < stop)):
            pair = (int(log.user[event]), int(log.content[event]))
            if pair in pairs:  # the first event of a pair in a window is its seed
                pairs.remove(pair)
                seeds.add(event)
    assert dropped + len(seeds) == num_targets


def test_the_reach_goes_by_the_cuts_that_there_are() -> None:
    """Times of whole days: however many windows are asked for, a few long ones do not overlap, in a refit either."""
    pairs = [(user, content) for user in range(12) for content in range(8)]
    late = [0 if user in (content, content + 8) else (5 * user + 3 * content) % 24 for user, content in pairs]
    events = [(user, content, 10 + 10 * days) for (user, content), days in zip(pairs, late, strict=True)]
    log = hand_log(sorted(events, key=lambda event: event[2]), 145)
    given = [(window.time, len(window)) for window in windows_of(log, snapshots=24, reach=1)]
    assert 2 < len(cut_times(log, 24, 0.3)) <= FEWEST_WINDOWS
    assert [(window.time, len(window)) for window in windows_of(log, snapshots=24)] == given
    longer = replace(log, boundaries=Boundaries(245, 245, log.boundaries.end, chosen_at=145))
    assert len(cut_times(longer, 24, 0.3)) > FEWEST_WINDOWS
    expected = [(window.time, len(window)) for window in windows_of(longer, snapshots=24, reach=1)]
    assert [(window.time, len(window)) for window in windows_of(longer, snapshots=24)] == expected


def test_place_of_a_pair_among_the_seeds() -> None:
    _, window = windows_of(hand_log(EVENTS, 90), snapshots=2, start_share=0.4)
    place = window.place_of(*np.mgrid[0:5, 0:4])
    assert {(int(u), int(c)): int(place[u, c]) for u, c in np.argwhere(place >= 0)} == {(1, 1): 0, (2, 3): 1}
    assert (place[place < 0] == -1).all()


@given(seed=st.integers(0, 12))
@settings(deadline=None, max_examples=10)
def test_training_pairs_against_a_naive_loop(seed: int) -> None:
    log = random_log(seed)
    pairs = training_pairs(log, InteractionIndex(log))
    assert pairs.time == log.boundaries.t_val
    label: dict[tuple[int, int], float] = {}
    for event in range(len(log)):
        if log.time[event] < log.boundaries.t_val and log.is_target[event]:
            pair = int(log.user[event]), int(log.content[event])
            label[pair] = max(label.get(pair, 0.0), float(log.label[event]))
    found = zip(pairs.user.tolist(), pairs.content.tolist(), strict=True)
    assert dict(zip(found, pairs.label.tolist(), strict=True)) == label
    assert list(zip(pairs.user.tolist(), pairs.content.tolist(), strict=True)) == sorted(label)
    assert (pairs.user < pairs.num_users).all()
    assert (pairs.content < pairs.num_contents).all()


def test_training_pairs_of_users_who_have_met_everything_are_left_out() -> None:
    # At 40 users 0 and 1 and contents 0 and 1 exist; user 0 has met both contents.
    log = hand_log([(0, 0, 10), (0, 1, 20), (1, 0, 30), (1, 1, 40), (0, 0, 50)], 40)
    pairs = training_pairs(log, InteractionIndex(log))
    assert (pairs.user.tolist(), pairs.content.tolist()) == ([1], [0])
    with pytest.raises(UserError, match="training period of 'by hand' has no pair"):
        training_pairs(hand_log([(0, 0, 10), (0, 1, 20), (1, 0, 30), (1, 1, 40)], 30), InteractionIndex(log))
    with pytest.raises(UserError, match="training period of 'by hand' has no pair"):
        training_pairs(hand_log(EVENTS, 90, is_target=[False] * len(EVENTS)), InteractionIndex(log))


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"snapshots": 0}, "loader.snapshots is 0"),
        ({"start_share": 1.0}, "loader.start_share is 1.0"),
        ({"start_share": -0.1}, "loader.start_share is -0.1"),
        ({"start_share": float("nan")}, "loader.start_share is nan"),
        ({"reach": 0}, "loader.reach is 0"),
    ],
)
def test_arguments_out_of_range(settings_: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        windows_of(hand_log(EVENTS, 90), **settings_)


def test_no_training_event_and_no_seed() -> None:
    with pytest.raises(UserError, match="training period of 'by hand' has no event"):
        windows_of(hand_log(EVENTS, 10))
    with pytest.raises(UserError, match="No training window of 'by hand' has a seed"):
        windows_of(hand_log(EVENTS, 90, is_target=[False] * len(EVENTS)))
