"""Popularity: what most users act on, of late or ever. The first peer that any model must beat."""

import numpy as np
import torch
from torch import Tensor

from recsys.data.event_log import EventLog
from recsys.errors import UserError


class Popularity:
    """The number of target events of each content strictly before t, the same for all users; a `Scorer`.

    Args:
        log: the event log.
        window: count only among the last `window` share of all events before t ("recent popularity"), in (0, 1]; None
            counts all.

    Attributes:
        name: what the scorer is called in runs and bundles.
        gives_logits: False: counts only rank.
        window: as given.

    Raises:
        UserError: if `window` is not a share.
    """

    name = "popularity"
    gives_logits = False

    def __init__(self, log: EventLog, window: float | None = None) -> None:
        if window is not None and not 0 < window <= 1:
            raise UserError(f"model.window is {window}: it must be a share of the events, above 0 and at most 1.")
        self._log = log
        self.window = window

    def score(self, users: np.ndarray, contents: np.ndarray, t: int) -> Tensor:
        """Counts at `t` (ns), 0 for contents without any target event; see `Scorer.score`."""
        before = self._log.count_before(t)
        first = 0 if self.window is None else before - round(self.window * before)
        recent = slice(first, before)
        counts = np.bincount(self._log.content[recent][self._log.is_target[recent]], minlength=len(self._log.contents))
        return torch.from_numpy(counts[contents].astype(np.float32)).repeat(len(users), 1)
