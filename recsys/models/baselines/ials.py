"""iALS: implicit alternating least squares (Hu, Koren and Volinsky, 2008), by the library implicit."""

from types import ModuleType
from typing import Any

import torch
from scipy.sparse import csr_array

from recsys.checks import check_number
from recsys.data.event_log import EventLog
from recsys.models.baselines.factors import FactorPeer
from recsys.models.baselines.past import interactions
from recsys.models.baselines.settings import check_half_life


class Ials(FactorPeer):
    """Vectors whose product regresses on 1 for pairs that met, with confidence 1 + alpha x worth, and on 0 for others.

    Args:
        log: the event log.
        factors: width of the vectors.
        regularization: strength of the L2 penalty on each vector.
        alpha: confidence that an event of full worth adds to the 1 of every pair.
        iterations: rounds of least squares for all users, then for all contents.
        events: which events say that a user met a content: "target" or "all".
        half_life: age, as a share of the events before t, at which an event is worth half; None for never.
        cold_window: see `PersonalPeer`.
        seed: of the first vectors.

    Raises:
        UserError: for settings that mean nothing, or if the library is missing when the peer is fitted.
    """

    name = "ials"

    def __init__(
        self,
        log: EventLog,
        *,
        factors: int = 32,
        regularization: float = 1.0,
        alpha: float = 100.0,
        iterations: int = 10,
        events: str = "target",
        half_life: float | None = 0.05,
        cold_window: float | None = 0.1,
        seed: int = 0,
    ) -> None:
        check_number("model.regularization", regularization, 0, 1e6, above=True)
        check_number("model.alpha", alpha, 0, 1e6, above=True)
        check_half_life("half_life", half_life)
        own = {"regularization": regularization, "alpha": alpha, "half_life": half_life}
        super().__init__(
            log, own, factors=factors, iterations=iterations, events=events, cold_window=cold_window, seed=seed
        )

    def _met(self, t: int) -> csr_array:
        of = self.settings
        met = interactions(self.log, t, of["events"], of["half_life"])
        met.data = 1 + of["alpha"] * met.data
        return met

    def _model(self, library: ModuleType) -> Any:
        options = self._options("regularization")
        return library.cpu.als.AlternatingLeastSquares(**options, num_threads=torch.get_num_threads())
