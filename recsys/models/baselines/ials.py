"""iALS: implicit alternating least squares (Hu, Koren and Volinsky, 2008), by the library implicit."""

import numpy as np
import torch
from scipy.sparse import csr_array
from threadpoolctl import threadpool_limits

from recsys.data.event_log import EventLog
from recsys.models.baselines.factors import (
    MOST_FACTORS,
    MOST_ITERATIONS,
    MOST_SEED,
    FactorPeer,
    as_implicit_reads,
    implicit_library,
)
from recsys.models.baselines.past import interactions
from recsys.models.baselines.settings import check_count, check_events, check_half_life, check_number


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
        check_count("factors", factors, 1, MOST_FACTORS)
        check_number("regularization", regularization, 0, 1e6, above=True)
        check_number("alpha", alpha, 0, 1e6, above=True)
        check_count("iterations", iterations, 1, MOST_ITERATIONS)
        check_events(events)
        check_half_life("half_life", half_life)
        check_count("seed", seed, 0, MOST_SEED)
        settings = {
            "factors": factors,
            "regularization": regularization,
            "alpha": alpha,
            "iterations": iterations,
            "events": events,
            "half_life": half_life,
            "cold_window": cold_window,
            "seed": seed,
        }
        super().__init__(log, settings)

    def _met(self, t: int) -> csr_array:
        of = self.settings
        met = interactions(self.log, t, of["events"], of["half_life"])
        met.data = 1 + of["alpha"] * met.data
        return met

    def _factorised(self, met: csr_array) -> tuple[np.ndarray, np.ndarray]:
        library = implicit_library(self.name)
        options = {name: self.settings[name] for name in ("factors", "regularization", "iterations")}
        with threadpool_limits(1, "blas"):  # it has threads of its own, each of which calls BLAS
            model = library.cpu.als.AlternatingLeastSquares(
                **options, num_threads=torch.get_num_threads(), random_state=self.settings["seed"]
            )
            model.fit(as_implicit_reads(met), show_progress=False)
        return model.user_factors, model.item_factors
