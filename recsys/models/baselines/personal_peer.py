"""Peers that learn from what a user did, and what they do about users of whom they know nothing."""

from abc import abstractmethod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recsys.data.event_log import EventLog
from recsys.models.baselines.past import past_events
from recsys.models.baselines.peer import Peer
from recsys.models.baselines.settings import TARGET, check_share


class PersonalPeer(Peer):
    """A peer whose scores rest on the user's own history; users without one are ranked by recent popularity.

    A cold user's score of a content is the share of the recently active users that acted on it: between 0 and 1, like
    the cosines and regressed labels that most peers give to other users.

    Args:
        log: the event log.
        settings: the arguments after `log` that build the peer again; `cold_window` among them is the share of the
            events behind recent popularity, None for all.

    Raises:
        UserError: if `cold_window` is not a share.
    """

    def __init__(self, log: EventLog, settings: dict[str, Any]) -> None:
        check_share("cold_window", settings["cold_window"])
        super().__init__(log, settings)

    def _fit(self, t: int) -> None:
        recent = past_events(self.log, t, TARGET, self.settings["cold_window"])
        pairs = np.unique(self.log.user[recent] * len(self.log.contents) + self.log.content[recent])
        active, content = np.divmod(pairs, len(self.log.contents))
        counts = np.bincount(content, minlength=len(self.log.contents))
        self._popularity = (counts / max(len(np.unique(active)), 1)).astype(np.float32)
        self._knows = self._learn(t)

    def _scores(self, users: np.ndarray, contents: np.ndarray) -> Tensor:
        known = users < len(self._knows)  # others do not exist yet
        known[known] = self._knows[users[known]]
        if known.all():
            return torch.from_numpy(self._personal(users, contents).astype(np.float32, copy=False))
        scores = np.tile(self._popularity[contents], (len(users), 1))
        if known.any():
            scores[known] = self._personal(users[known], contents)
        return torch.from_numpy(scores)

    @abstractmethod
    def _learn(self, t: int) -> np.ndarray:
        """Fit on the events strictly before `t` (ns); gives of which users the peer knows a history, bool [U]."""

    @abstractmethod
    def _personal(self, users: np.ndarray, contents: np.ndarray) -> np.ndarray:
        """Scores of users with a history, float [U, C]."""
