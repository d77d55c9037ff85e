"""What all classical peers have in common: they are fitted as of a time, when they are first asked for that time."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from recsys.data.event_log import EventLog


class Peer(ABC):
    """A classical model of the log as of a time; a `Scorer`.

    A peer keeps what it fitted for the last time asked. Asked for another time it fits anew, on the events strictly
    before that time: so it is refitted before test on all that train and validation hold.

    Args:
        log: the event log.
        settings: the arguments after `log` that build the peer again.

    Attributes:
        name: what the peer is called in runs and bundles.
        gives_logits: whether sigmoid(score) is the peer's probability; if not, scores only rank.
        log, settings: as given.
    """

    name: ClassVar[str]
    gives_logits: bool = False

    def __init__(self, log: EventLog, settings: dict[str, Any]) -> None:
        self.log = log
        self.settings = settings
        self._time: int | None = None

    def fit(self, t: int) -> None:
        """Fit on the events strictly before `t` (ns), unless that is what the peer was last fitted on."""
        if self._time != t:
            self._time = None  # an error half-way leaves no fit behind
            self._fit(t)
            self._time = t

    def score(self, users: np.ndarray, contents: np.ndarray, t: int) -> Tensor:
        """Scores of each user for each content at `t` (ns); see `Scorer.score`."""
        self.fit(t)
        return self._scores(np.asarray(users, dtype=np.int64), np.asarray(contents, dtype=np.int64))

    @abstractmethod
    def _fit(self, t: int) -> None:
        """Fit on the events strictly before `t` (ns)."""

    @abstractmethod
    def _scores(self, users: np.ndarray, contents: np.ndarray) -> Tensor:
        """What `score` gives at the time of the last fit."""
