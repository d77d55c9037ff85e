"""Random order: what a model that knows nothing reaches; the least that any other must beat."""

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from recsys.data.event_log import EventLog
from recsys.models.baselines.peer import Peer
from recsys.models.baselines.settings import check_seed


class RandomOrder(Peer):
    """A number in [0, 1) for each pair of a user and a content, drawn from the pair's ids and the seed.

    So the order does not depend on who else is asked for, on the time, or on anything in the log.

    Args:
        log: the event log.
        seed: of all draws.

    Raises:
        UserError: for a seed that means nothing.
    """

    name = "random"

    def __init__(self, log: EventLog, *, seed: int = 0) -> None:
        check_seed(seed)
        super().__init__(log, {"seed": seed})
        self._users = _scrambled(pd.util.hash_array(log.users.ids) + np.uint64(seed))
        self._contents = pd.util.hash_array(log.contents.ids)

    def _fit(self, t: int) -> None:
        """Nothing is learnt."""

    def _scores(self, users: np.ndarray, contents: np.ndarray) -> Tensor:
        drawn = _scrambled(self._users[users, None] + self._contents[None, contents])
        return torch.from_numpy((drawn >> np.uint64(40)).astype(np.float32) / np.float32(2**24))


def _scrambled(numbers: np.ndarray) -> np.ndarray:
    """Each uint64 as another one, evenly over all: the last steps of SplitMix64 (Steele, Lea and Flood, 2014)."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(numbers ^ (numbers >> np.uint64(31)))
