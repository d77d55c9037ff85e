"""Popularity: what most users act on, of late or ever. The first peer that any model must beat."""

import numpy as np
import torch
from torch import Tensor

from recsys.data.event_log import EventLog
from recsys.errors import UserError
from recsys.models.baselines.peer import Peer


class Popularity(Peer):
    """The number of target events of each content strictly before t, the same for all users.

    Args:
        log: the event log.
        window: count only among the last `window` share of all events before t ("recent popularity"), in (0, 1]; None
            counts all.

    Raises:
        UserError: if `window` is not a share.
    """

    name = "popularity"

    def __init__(self, log: EventLog, window: float | None = None) -> None:
        if window is not None and not 0 < window <= 1:
            raise UserError(f"model.window is {window}: it must be a share of the events, above 0 and at most 1.")
        super().__init__(log, {"window": window})
        self._window = window

    def _fit(self, t: int) -> None:
        before = self.log.count_before(t)
        first = 0 if self._window is None else before - round(self._window * before)
        recent = slice(first, before)
        counts = np.bincount(self.log.content[recent][self.log.is_target[recent]], minlength=len(self.log.contents))
        self._counts = counts.astype(np.float32)

    def _scores(self, users: np.ndarray, contents: np.ndarray) -> Tensor:
        return torch.from_numpy(self._counts[contents]).repeat(len(users), 1)
