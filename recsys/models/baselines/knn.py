"""Neighbourhood peers: item-kNN (Sarwar et al. 2001) and user-kNN (Resnick et al. 1994), with decay over time."""

import numpy as np

from recsys.checks import check_count, check_number
from recsys.data.event_log import EventLog
from recsys.models.baselines.neighbours import MOST_NEIGHBOURS, Neighbours
from recsys.models.baselines.past import interactions, known_rows, shares
from recsys.models.baselines.personal_peer import PersonalPeer
from recsys.models.baselines.settings import TARGET, check_events, check_half_life


class KnnPeer(PersonalPeer):
    """A peer of nearest neighbours by the cosine of who met what.

    Args:
        log: the event log.
        neighbours: k, the nearest contents of a content or users of a user.
        shrinkage: added to the denominator of the cosine, so that little in common is not taken for a strong bond.
        events: which events make two alike: "target" or "all".
        half_life: age, as a share of the events before t, at which an event counts half in the cosine; None for never.
        history_half_life: the same in the histories that neighbours are applied to.
        cold_window: see `PersonalPeer`.

    Raises:
        UserError: for settings that mean nothing.
    """

    def __init__(
        self,
        log: EventLog,
        *,
        neighbours: int = 200,
        shrinkage: float = 10.0,
        events: str = "target",
        half_life: float | None = 0.2,
        history_half_life: float | None = 0.1,
        cold_window: float | None = 0.1,
    ) -> None:
        check_count("model.neighbours", neighbours, 1, MOST_NEIGHBOURS)
        check_number("model.shrinkage", shrinkage, 0, 1e6)
        check_events(events)
        check_half_life("half_life", half_life)
        check_half_life("history_half_life", history_half_life)
        settings = {
            "neighbours": neighbours,
            "shrinkage": shrinkage,
            "events": events,
            "half_life": half_life,
            "history_half_life": history_half_life,
            "cold_window": cold_window,
        }
        super().__init__(log, settings)


class ItemKnn(KnnPeer):
    """Mean similarity of a content to the user's history, as far as the history is among its nearest contents."""

    name = "item_knn"

    def _learn(self, t: int) -> np.ndarray:
        of = self.settings
        met = interactions(self.log, t, of["events"], of["half_life"])
        self._near = Neighbours(met.T.tocsr(), of["neighbours"], of["shrinkage"]).of(np.arange(met.shape[1]))
        self._history = shares(interactions(self.log, t, of["events"], of["history_half_life"]))
        return known_rows(self._history)

    def _personal(self, users: np.ndarray, contents: np.ndarray) -> np.ndarray:
        scores: np.ndarray = (self._history[users] @ self._near[contents].T).toarray()
        return scores


class UserKnn(KnnPeer):
    """Mean of the target events of the user's nearest users, weighted by their similarity.

    Neighbours are found for the users asked for only, so nothing of the size users x users ever exists.
    """

    name = "user_knn"

    def _learn(self, t: int) -> np.ndarray:
        of = self.settings
        met = interactions(self.log, t, of["events"], of["half_life"])
        self._neighbours = Neighbours(met, of["neighbours"], of["shrinkage"])
        self._history = interactions(self.log, t, TARGET, of["history_half_life"])
        return known_rows(met)

    def _personal(self, users: np.ndarray, contents: np.ndarray) -> np.ndarray:
        near = shares(self._neighbours.of(users))
        scores: np.ndarray = (near @ self._history).toarray()[:, contents]
        return scores
