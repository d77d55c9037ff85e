"""EASE: a linear auto-encoder between contents in closed form (Steck, Embarrassingly Shallow Autoencoders, 2019)."""

import numpy as np
import torch

from recsys.checks import check_count, check_number
from recsys.data.event_log import EventLog
from recsys.models.baselines.past import interactions, known_rows
from recsys.models.baselines.personal_peer import PersonalPeer
from recsys.models.baselines.settings import check_events, check_half_life

MOST_CONTENTS = 30_000  # 7 GB a matrix


class Ease(PersonalPeer):
    """x B for the user's history x, where B minimises |X - X B|^2 + l2 |B|^2 with a diagonal of zeros.

    With P = (X'X + l2 I)^-1 that is B_ij = -P_ij / P_jj off the diagonal (equation 8 of the paper). The contents that
    most users met take part; others score 0. Only matrices between these contents are dense.

    Args:
        log: the event log.
        l2: strength of the regularisation.
        max_contents: most contents that take part; time grows with its cube, memory with its square.
        events: which events say that a user met a content: "target" or "all".
        half_life: age, as a share of the events before t, at which an event counts half in X; None for never.
        history_half_life: the same in the user's history x.
        cold_window: see `PersonalPeer`.

    Raises:
        UserError: for settings that mean nothing.
    """

    name = "ease"

    def __init__(
        self,
        log: EventLog,
        *,
        l2: float = 500.0,
        max_contents: int = 5000,
        events: str = "target",
        half_life: float | None = 0.2,
        history_half_life: float | None = 0.2,
        cold_window: float | None = 0.1,
    ) -> None:
        check_number("model.l2", l2, 0, 1e9, above=True)
        check_count("model.max_contents", max_contents, 1, MOST_CONTENTS)
        check_events(events)
        check_half_life("half_life", half_life)
        check_half_life("history_half_life", history_half_life)
        settings = {
            "l2": l2,
            "max_contents": max_contents,
            "events": events,
            "half_life": half_life,
            "history_half_life": history_half_life,
            "cold_window": cold_window,
        }
        super().__init__(log, settings)

    def _learn(self, t: int) -> np.ndarray:
        of = self.settings
        met = interactions(self.log, t, of["events"], of["half_life"])
        num_users = np.bincount(met.indices, minlength=met.shape[1])
        self._contents = np.sort(np.argsort(-num_users, kind="stable")[: of["max_contents"]])
        met = met[:, self._contents]
        gram = torch.from_numpy((met.T @ met).toarray())
        gram.diagonal().add_(of["l2"])
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(gram))
        weights = inverse / -inverse.diagonal()
        weights.fill_diagonal_(0.0)
        self._weights = weights.float().numpy()
        history = interactions(self.log, t, of["events"], of["history_half_life"])
        self._history = history[:, self._contents].astype(np.float32)
        return known_rows(self._history)

    def _personal(self, users: np.ndarray, contents: np.ndarray) -> np.ndarray:
        place = np.searchsorted(self._contents, contents)
        place[place == len(self._contents)] = 0
        takes_part = self._contents[place] == contents
        scores = np.zeros((len(users), len(contents)), dtype=np.float32)
        scores[:, takes_part] = (self._history[users] @ self._weights)[:, place[takes_part]]
        return scores
