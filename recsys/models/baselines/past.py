"""The events before a time as the peers count them: which of them, and how much an old one is still worth."""

import numpy as np
from scipy.sparse import csr_array

from recsys.data.event_log import EventLog
from recsys.models.baselines.settings import ALL


def past_events(log: EventLog, t: int, events: str, window: float | None = None) -> np.ndarray:
    """Rows of the events strictly before `t`, ascending, int64.

    Args:
        log: the event log.
        t: the query time, ns.
        events: "target", or "all" for events of every type.
        window: only those among the last `window` share of all events before `t`; None for no limit.
    """
    before = log.count_before(t)
    first = 0 if window is None else before - round(window * before)
    return np.arange(first, before) if events == ALL else first + np.flatnonzero(log.is_target[first:before])


def decayed(log: EventLog, t: int, rows: np.ndarray, half_life: float | None) -> np.ndarray:
    """What each event is worth seen from `t`: 1/2 to the power of its age in half-lives; float64, [n].

    The clock is the log itself, so that busy and quiet times, and logs of days and of years, are treated alike: an
    event's age is the number of events of any type from it to `t`.

    Args:
        log: the event log.
        t: the query time, ns.
        rows: events strictly before `t`, int64, [n].
        half_life: the age, as a share of all events before `t`, at which an event is worth one half; None for never.
    """
    if half_life is None:
        return np.ones(len(rows))
    before = log.count_before(t)
    worth: np.ndarray = np.exp2((rows - before) / (half_life * max(before, 1)))
    return worth


def interactions(
    log: EventLog, t: int, events: str, half_life: float | None = None, window: float | None = None
) -> csr_array:
    """Which user met which content strictly before `t` (ns), each pair with the worth of its last event.

    Args:
        log: the event log.
        t: the query time, ns.
        events: "target", or "all" for events of every type.
        half_life: see `decayed`.
        window: see `past_events`.

    Returns:
        float64 [users that exist at t, contents that exist at t].
    """
    shape = log.users.count_before(t), log.contents.count_before(t)
    rows = past_events(log, t, events, window)[::-1]  # so that the first place of a pair is its last event
    pairs, last = np.unique(log.user[rows] * max(shape[1], 1) + log.content[rows], return_index=True)
    return csr_array((decayed(log, t, rows[last], half_life), np.divmod(pairs, max(shape[1], 1))), shape=shape)


def shares(matrix: csr_array) -> csr_array:
    """Each row divided by its sum, so that what is summed over it does not grow with its length."""
    return _divided(matrix, np.asarray(matrix.sum(axis=1)))


def unit_rows(matrix: csr_array) -> csr_array:
    """Each row divided by its Euclidean length; entries of 0 are left out."""
    matrix = matrix.copy()
    matrix.eliminate_zeros()
    return _divided(matrix, np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1))))


def _divided(matrix: csr_array, divisors: np.ndarray) -> csr_array:
    by = np.repeat(divisors, np.diff(matrix.indptr))
    return csr_array((matrix.data / by, matrix.indices, matrix.indptr), shape=matrix.shape)


def known_rows(matrix: csr_array) -> np.ndarray:
    """Which rows have an entry, bool, [rows]."""
    return np.diff(matrix.indptr) > 0
