"""The classical peers with settings that use all they can do, and logs to fit them on."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from recsys.data.event_log import EventLog
from recsys.models.baselines.peer import Peer
from recsys.models.baselines.personal_peer import PersonalPeer
from recsys.models.registry import PEERS
from tests.models.helpers import small_log

TUNED: dict[str, Mapping[str, Any]] = {
    "popularity": {"window": 0.5, "half_life": 0.2},
    "creator_popularity": {"window": 0.5, "half_life": 0.2},
    "random": {"seed": 3},
    "content_based": {"category": 0.5, "creator": 2.0, "events": "all", "history_half_life": 0.2},
    "item_knn": {"neighbours": 3, "shrinkage": 0.5, "events": "all", "half_life": 0.3, "history_half_life": 0.1},
    "user_knn": {"neighbours": 3, "shrinkage": 0.5, "events": "all", "half_life": 0.3, "history_half_life": 0.1},
    "ease": {"l2": 2.0, "max_contents": 9, "events": "all", "half_life": 0.3, "history_half_life": 0.1},
    "ials": {"factors": 4, "regularization": 0.1, "alpha": 5.0, "events": "all", "half_life": 0.3, "seed": 3},
    "bpr": {"factors": 4, "iterations": 20, "events": "all", "window": 0.8, "seed": 3},
    "lightgcn": {"dim": 4, "layers": 2, "epochs": 5, "batch_size": 30, "events": "all", "window": 0.8, "seed": 3},
    "lightgbm": {"num_trees": 5, "num_leaves": 4, "min_child_samples": 2, "negatives": 3, "snapshots": 4, "seed": 3},
}
PERSONAL = [name for name, peer in PEERS.items() if issubclass(peer, PersonalPeer)]


def make_peer(name: str, log: EventLog | None = None, **settings: Any) -> Peer:
    """A peer of a log, of `mixed_log` by default."""
    build: Callable[..., Peer] = PEERS[name]
    return build(mixed_log() if log is None else log, **settings)


@cache
def mixed_log() -> EventLog:
    """`small_log`, of whose events two thirds are targets."""
    return replace(small_log(), is_target=np.arange(len(small_log())) % 3 > 0)


def dense_interactions(log: EventLog, t: int, events: str, half_life: float | None) -> np.ndarray:
    """What `interactions` gives, event by event; [users, contents] that exist at `t`."""
    met = np.zeros((log.users.count_before(t), log.contents.count_before(t)))
    before = int((log.time < t).sum())
    for e in range(before):
        if events == "all" or log.is_target[e]:
            met[log.user[e], log.content[e]] = 1.0 if half_life is None else 0.5 ** ((before - e) / before / half_life)
    return met
