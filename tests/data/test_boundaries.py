"""Boundaries by hand."""

from fractions import Fraction

import numpy as np
import pytest

from recsys.data.boundaries import count_before_share, origin_ends, split_at, split_by_share
from recsys.data.event_log import Boundaries
from recsys.errors import UserError


@pytest.mark.parametrize(
    ("times", "shares", "t_val", "t_test"),
    [
        # position  0  1  2  3  4  5  6  7  8  9
        ([1, 2, 3, 4, 5, 5, 6, 6, 7, 8], (0.7, 0.2), 6, 8),
        ([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], (0.5, 0.3), 6, 9),
        ([1, 2, 3], (0.7, 0.2), 3, None),  # floor(2.1) = floor(2.7) = 2: no validation
        ([1, 2, 3, 4], (0.5, 0.25), 3, 4),
        (list(range(1, 101)), (0.57, 0.3), 58, 88),  # 0.57 x 100 is 56.99... in binary
    ],
)
def test_boundaries_are_the_times_at_the_floors_of_the_shares(
    times: list[int], shares: tuple[float, float], t_val: int, t_test: int | None
) -> None:
    time = np.array(times, dtype=np.int64)
    if t_test is None:
        with pytest.raises(UserError, match="no events for validation"):
            split_by_share(time, *shares)
    else:
        assert split_by_share(time, *shares) == Boundaries(t_val, t_test, times[-1])


def test_an_event_at_a_boundary_belongs_to_the_later_part() -> None:
    boundaries = Boundaries(6, 8, 9)
    parts = {split: boundaries.period(split) for split in ("train", "validation", "test")}
    for time, split in ((5, "train"), (6, "validation"), (7, "validation"), (8, "test"), (9, "test")):
        assert [name for name, (start, stop) in parts.items() if start <= time < stop] == [split]


@pytest.mark.parametrize("shares", [(0.0, 0.2), (0.7, 0.0), (0.7, 0.3), (0.9, 0.2), (-0.1, 0.5)])
def test_shares_must_leave_three_parts(shares: tuple[float, float]) -> None:
    with pytest.raises(UserError, match="train_share"):
        split_by_share(np.arange(10), *shares)


@pytest.mark.parametrize(
    ("times", "says"),
    [
        ([5, 5, 5, 5], "at one time"),
        ([5, 5, 5, 5, 5, 5, 5, 5, 5, 6], "no events for training"),
        ([1, 2, 3, 4, 5, 6, 7, 7, 7, 7], "no events for validation"),
    ],
)
def test_equal_times_can_leave_no_part(times: list[int], says: str) -> None:
    with pytest.raises(UserError, match=says):
        split_by_share(np.array(times), 0.7, 0.2)


def test_given_boundaries() -> None:
    time = np.array([10, 20, 30])
    assert split_at(time, 15, 25) == Boundaries(15, 25, 30)
    assert split_at(time, 11, 30) == Boundaries(11, 30, 30)
    for t_val, t_test, part in ((10, 20, "training"), (20, 20, "validation"), (15, 31, "test")):
        with pytest.raises(UserError, match=f"no events for {part}"):
            split_at(time, t_val, t_test)


def test_rolling_origins_by_hand() -> None:
    """Twenty events at the times 1..20, but for two pairs of equal times; shares 0.7 and 0.2, five origins."""
    time = np.array([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 12, 14, 14, 16, 17, 18, 19, 20], dtype=np.int64)
    found = []
    for end in origin_ends(5, 0.7, 0.2):
        kept = time[: count_before_share(time, end)]
        boundaries = split_by_share(kept, 0.7, 0.2)
        found.append((str(end), len(kept), boundaries.t_val, boundaries.t_test, boundaries.end))
    assert found == [
        # share, events, t_val, t_test, end
        ("3/5", 11, 8, 10, 11),  # the event at position 12 is at 12, as is the one before: both are left out
        ("7/10", 13, 10, 12, 12),  # likewise at 14
        ("4/5", 16, 12, 14, 16),
        ("9/10", 18, 12, 17, 18),
        ("1", 20, 14, 19, 20),
    ]


def test_no_origin_without_events() -> None:
    assert origin_ends(1, 0.57, 0.3) == [1]
    assert origin_ends(2, 0.57, 0.3) == [Fraction(87, 100), 1]
    with pytest.raises(UserError, match="origins is 11"):
        origin_ends(11, 0.7, 0.2)
    with pytest.raises(UserError, match="no events before"):
        count_before_share(np.array([1, 1, 1, 2]), Fraction(1, 2))
