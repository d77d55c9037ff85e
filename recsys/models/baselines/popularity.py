"""Popularity: what most users act on, of late or ever. The first peer that any model must beat."""

import numpy as np
import torch
from torch import Tensor

from recsys.data.event_log import EventLog
from recsys.models.baselines.past import decayed, past_events
from recsys.models.baselines.peer import Peer
from recsys.models.baselines.settings import TARGET, check_half_life, check_share


class Popularity(Peer):
    """The number of target events of each content strictly before t, the same for all users.

    Args:
        log: the event log.
        window: count only among the last `window` share of all events before t ("recent popularity"), in (0, 1]; None
            counts all.
        half_life: age, as a share of the events before t, at which an event counts half; None for never.

    Raises:
        UserError: if a setting is no such share.
    """

    name = "popularity"

    def __init__(self, log: EventLog, window: float | None = None, half_life: float | None = None) -> None:
        check_share("window", window)
        check_half_life("half_life", half_life)
        super().__init__(log, {"window": window, "half_life": half_life})

    def _fit(self, t: int) -> None:
        rows = past_events(self.log, t, TARGET, self.settings["window"])
        worth = decayed(self.log, t, rows, self.settings["half_life"])
        counts = np.bincount(self.log.content[rows], weights=worth, minlength=len(self.log.contents))
        self._counts = counts.astype(np.float32)

    def _scores(self, users: np.ndarray, contents: np.ndarray) -> Tensor:
        return torch.from_numpy(self._counts[contents]).repeat(len(users), 1)
