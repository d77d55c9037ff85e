"""Where validation and test begin in a log: the time-aware split of the report, section III.C."""

from fractions import Fraction

import numpy as np
import pandas as pd

from recsys.data.event_log import Boundaries
from recsys.errors import UserError


def split_by_share(time: np.ndarray, train_share: float, validation_share: float) -> Boundaries:
    """Boundaries at the events of positions floor(train_share n) and floor((train_share + validation_share) n).

    Events at a boundary's exact time belong to the later part. Ten events, shares 0.7 and 0.2:

        position  0  1  2  3  4  5  6  7  8  9
        time      1  2  3  4  5  5  6  6  7  8
        part      t  t  t  t  t  t  v  v  v  T     t_val = time[7] = 6, t_test = time[9] = 8

    Args:
        time: times of all events, ns, ascending, int64, [num_events].
        train_share: share of the events before validation begins, in (0, 1).
        validation_share: share of the events between the two boundaries, in (0, 1); the rest is test.

    Raises:
        UserError: the shares leave no room for a part, or equal times make a part empty.
    """
    # Exact decimals, since 0.7 + 0.2 < 0.9 in binary.
    train, both = Fraction(str(train_share)), Fraction(str(train_share)) + Fraction(str(validation_share))
    if not 0 < train < both < 1:
        raise UserError(
            f"The shares train_share={train_share} and validation_share={validation_share} must be positive and "
            "leave a share for test: choose them with a sum below 1."
        )
    num_events = len(time)
    if time[0] == time[-1]:
        raise UserError(
            f"All {num_events:,} events happen at one time, {_text(time[0])}: a split by time needs several."
        )
    t_val, t_test = int(time[int(train * num_events)]), int(time[int(both * num_events)])
    return _checked(Boundaries(t_val, t_test, int(time[-1])), int(time[0]))


def origin_ends(origins: int, train_share: float, validation_share: float) -> list[Fraction]:
    """Where the log ends for each of several rolling origins, as shares of its events.

    The last origin sees the whole log. The ends before it lie one share of test apart, so that no two test parts
    overlap: with shares 0.7 and 0.2, five origins end at .6, .7, .8, .9 and 1.

    Args:
        origins: how many there are, at least 1.
        train_share: as for `split_by_share`.
        validation_share: likewise; what they leave is the share of test.

    Raises:
        UserError: if the first origin would have no events.
    """
    test = 1 - Fraction(str(train_share)) - Fraction(str(validation_share))
    ends = [1 - before * test for before in reversed(range(origins))]
    if not 0 < test < 1 or ends[0] <= 0:
        raise UserError(
            f"evaluation.origins is {origins}, but a share of {float(test):g} for test leaves no events to the first: "
            "choose fewer origins or a smaller share for test."
        )
    return ends


def count_before_share(time: np.ndarray, share: Fraction) -> int:
    """Number of events strictly before the one at position floor(share n); all n for a share of 1.

    Args:
        time: times of all n events, ns, ascending, int64, [n].
        share: in (0, 1].

    Raises:
        UserError: if there is no event before.
    """
    if share == 1:
        return len(time)
    count = int(np.searchsorted(time, time[int(share * len(time))], side="left"))
    if not count:
        raise UserError(
            f"There are no events before a share of {float(share):g} of them: evaluation.origins needs more events at "
            "different times."
        )
    return count


def split_at(time: np.ndarray, t_val: int, t_test: int) -> Boundaries:
    """Boundaries at given times (ns); raises `UserError` where a part would be empty."""
    return _checked(Boundaries(t_val, t_test, int(time[-1])), int(time[0]))


def _checked(boundaries: Boundaries, first: int) -> Boundaries:
    t_val, t_test, end = boundaries.t_val, boundaries.t_test, boundaries.end
    if t_val <= first:
        empty, why = "training", f"validation begins at {_text(t_val)}, where the log begins"
    elif t_test <= t_val:
        empty, why = "validation", f"validation and test both begin at {_text(t_test)}"
    elif t_test > end:
        empty, why = "test", f"test begins at {_text(t_test)}, after the last event at {_text(end)}"
    else:
        return boundaries
    raise UserError(f"There are no events for {empty}: {why}; choose other shares or set data.boundaries.")


def _text(time: int | np.integer) -> str:
    return f"{pd.Timestamp(int(time))} UTC"
