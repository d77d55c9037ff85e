"""The mean value (rating, share watched, ...) of contents as of a time; `recsys.graph.counters` makes it a feature."""

import numpy as np

from recsys.data.event_log import EventLog

PRIOR_EVENTS = 5.0  # a mean is shrunk as if the content had this many more events of average value


class ValueScale:
    """Event values scaled to [0, 1] by each type's smallest and largest value so far (report, section II.C)."""

    def __init__(self, log: EventLog) -> None:
        # Events without a value take no part, so types that never carry one need no case of their own.
        self._event = np.flatnonzero(np.isfinite(log.value))
        self._content, self._type = log.content[self._event], log.type[self._event]
        self._value = log.value[self._event].astype(np.float64)
        self._of_type = [np.flatnonzero(self._type == i) for i in range(len(log.types))]
        self._lowest = [np.minimum.accumulate(self._value[of_type]) for of_type in self._of_type]
        self._highest = [np.maximum.accumulate(self._value[of_type]) for of_type in self._of_type]

    def shrunk_mean(self, num_events: int, num_contents: int) -> np.ndarray:
        """Mean scaled value of each content less the mean over all events, shrunk towards 0.

        Args:
            num_events: the past is the first so many events of the log.
            num_contents: number of contents that exist by then.

        Returns:
            sum of (scaled value - overall mean) / (number of values + PRIOR_EVENTS), float64 [num_contents].
        """
        m = int(np.searchsorted(self._event, num_events))
        if m == 0:
            return np.zeros(num_contents)
        scaled = self._scaled(m)
        content = self._content[:m]
        excess = np.bincount(content, weights=scaled - scaled.mean(), minlength=num_contents)
        return excess / (np.bincount(content, minlength=num_contents) + PRIOR_EVENTS)

    def _scaled(self, m: int) -> np.ndarray:
        """The first `m` values, scaled by the extremes among them; 0 for a type with one value only."""
        low, width = np.zeros(len(self._of_type)), np.ones(len(self._of_type))
        for i, of_type in enumerate(self._of_type):
            last = int(np.searchsorted(of_type, m)) - 1
            if last >= 0:
                low[i] = self._lowest[i][last]
                width[i] = (self._highest[i][last] - low[i]) or 1.0
        scaled: np.ndarray = (self._value[:m] - low[self._type[:m]]) / width[self._type[:m]]
        return scaled
