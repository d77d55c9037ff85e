"""The best any model could do on generated data: a scorer that knows the true probabilities."""

import numpy as np
import torch
from torch import Tensor

from recsys.data.event_log import EventLog


class OracleScorer:
    """Ranks by the true chance that a user acts on a content, for logs that carry an oracle.

    Args:
        log: a log with `oracle` set.

    Raises:
        ValueError: if the log has no oracle.
    """

    gives_logits = False

    def __init__(self, log: EventLog) -> None:
        if log.oracle is None:
            raise ValueError(f"{log.name} is not generated data, so nobody knows its true probabilities")
        self._oracle = log.oracle
        self._user_ids, self._content_ids = log.users.ids, log.contents.ids

    def score(self, users: np.ndarray, contents: np.ndarray, t: int) -> Tensor:
        """True probabilities at `t` (ns), float32 [U, C]; see `recsys.models.scorer.Scorer`."""
        probability = self._oracle.probability(self._user_ids[users], self._content_ids[contents], t)
        return torch.from_numpy(np.asarray(probability, dtype=np.float32))
