"""Where numbers belong among ascending ones: `numpy.searchsorted` for look-ups in arrays that no fast memory holds."""

import numpy as np

from recsys.compiled import outer

_TOGETHER = 1024  # numbers that are looked up at once


def positions(ascending: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Place of the first that is at least each number, int64 of the numbers' shape; both are int64.

    What is searched is read for many numbers at once, where numpy waits for memory at every step of every number.
    """
    found = np.empty(numbers.shape, dtype=np.int64)
    _look_up(np.ascontiguousarray(ascending), np.ascontiguousarray(numbers).reshape(-1), found.reshape(-1))
    return found


@outer
def _look_up(ascending: np.ndarray, numbers: np.ndarray, found: np.ndarray) -> None:
    for start in range(0, len(numbers), _TOGETHER):
        stop = min(start + _TOGETHER, len(numbers))
        for i in range(start, stop):
            found[i] = 0
        size = len(ascending)
        while size > 1:
            half = size >> 1
            for i in range(np.uint64(start), np.uint64(stop)):
                found[i] += half * (ascending[np.uint64(found[i] + half - 1)] < numbers[i])
            size -= half
        if size:
            for i in range(start, stop):
                found[i] += ascending[found[i]] < numbers[i]
