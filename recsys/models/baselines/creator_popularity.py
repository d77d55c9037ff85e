"""Popularity of the creator: what can be said of a new content before anyone has met it."""

import numpy as np
import torch
from torch import Tensor

from recsys.data.event_log import EventLog
from recsys.errors import UserError
from recsys.models.baselines.popularity import Popularity


class CreatorPopularity(Popularity):
    """log(1 + number of target events of all contents of the content's creator strictly before t), for every user.

    A content without a creator has 0.

    Args:
        log: the event log.
        window, half_life: see `Popularity`.

    Raises:
        UserError: if a setting is no such share, or no content has a creator before validation.
    """

    name = "creator_popularity"

    def __init__(self, log: EventLog, window: float | None = None, half_life: float | None = None) -> None:
        super().__init__(log, window, half_life)
        if not log.creators.count_before(log.boundaries.t_val):
            raise UserError(
                f"model={self.name}: no content of {log.name} has a creator before validation; choose another model, "
                "or give the contents a creator_id."
            )

    def _fit(self, t: int) -> None:
        super()._fit(t)
        creator = self.log.creator_of
        known = creator >= 0
        counts = np.bincount(creator[known], weights=self._counts[known], minlength=len(self.log.creators))
        self._of_creator = np.log1p(np.append(counts, 0.0)).astype(np.float32)  # the last is that of no creator, -1

    def _scores(self, users: np.ndarray, contents: np.ndarray) -> Tensor:
        return torch.from_numpy(self._of_creator[self.log.creator_of[contents]]).repeat(len(users), 1)
