"""BPR: matrix factorisation by Bayesian personalised ranking (Rendle et al. 2009), by the library implicit."""

from types import ModuleType
from typing import Any

from scipy.sparse import csr_array

from recsys.checks import check_number
from recsys.data.event_log import EventLog
from recsys.models.baselines.factors import FactorPeer
from recsys.models.baselines.past import interactions
from recsys.models.baselines.settings import check_share


class Bpr(FactorPeer):
    """Vectors, and a bias of each content, that rank what a user met above contents drawn at random.

    Args:
        log: the event log.
        factors: width of the vectors.
        learning_rate: of the stochastic gradient steps.
        regularization: strength of the L2 penalty.
        iterations: passes over all pairs.
        events: which events say that a user met a content: "target" or "all".
        window: learn from the last `window` share of all events before t only, so that users without an event there are
            cold; None for all.
        cold_window: see `PersonalPeer`.
        seed: of the first vectors and of all draws.

    Raises:
        UserError: for settings that mean nothing, or if the library is missing when the peer is fitted.
    """

    name = "bpr"

    def __init__(
        self,
        log: EventLog,
        *,
        factors: int = 32,
        learning_rate: float = 0.05,
        regularization: float = 0.05,
        iterations: int = 100,
        events: str = "target",
        window: float | None = 0.2,
        cold_window: float | None = 0.1,
        seed: int = 0,
    ) -> None:
        check_number("model.learning_rate", learning_rate, 0, 10, above=True)
        check_number("model.regularization", regularization, 0, 10)
        check_share("window", window)
        own = {"learning_rate": learning_rate, "regularization": regularization, "window": window}
        super().__init__(
            log, own, factors=factors, iterations=iterations, events=events, cold_window=cold_window, seed=seed
        )

    def _met(self, t: int) -> csr_array:
        return interactions(self.log, t, self.settings["events"], window=self.settings["window"])

    def _model(self, library: ModuleType) -> Any:
        # One thread: more of them would write to the same vectors in an order that no seed decides.
        options = self._options("learning_rate", "regularization")
        return library.cpu.bpr.BayesianPersonalizedRanking(**options, num_threads=1)
