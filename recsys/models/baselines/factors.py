"""What iALS and BPR have in common: vectors of users and contents, fitted by the library implicit (an extra)."""

import importlib
from abc import abstractmethod
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np
from scipy.sparse import csr_array, csr_matrix
from threadpoolctl import threadpool_limits

from recsys.checks import check_count
from recsys.data.event_log import EventLog
from recsys.errors import UserError
from recsys.models.baselines.past import known_rows
from recsys.models.baselines.personal_peer import PersonalPeer
from recsys.models.baselines.settings import check_events, check_seed

MOST_FACTORS = 1024
MOST_ITERATIONS = 10_000


class FactorPeer(PersonalPeer):
    """Scores are products of a user's and a content's vector.

    Args:
        log: the event log.
        own: the settings that other factorisations do not have.
        factors: width of the vectors.
        iterations: rounds of the fit.
        events: which events say that a user met a content: "target" or "all".
        cold_window: see `PersonalPeer`.
        seed: of all draws.

    Raises:
        UserError: for settings that mean nothing, or if the library is missing when the peer is fitted.
    """

    def __init__(
        self,
        log: EventLog,
        own: Mapping[str, Any],
        *,
        factors: int,
        iterations: int,
        events: str,
        cold_window: float | None,
        seed: int,
    ) -> None:
        check_count("model.factors", factors, 1, MOST_FACTORS)
        check_count("model.iterations", iterations, 1, MOST_ITERATIONS)
        check_events(events)
        check_seed(seed)
        shared = {"factors": factors, "iterations": iterations, "events": events, "seed": seed}
        super().__init__(log, {**shared, **own, "cold_window": cold_window})

    def _learn(self, t: int) -> np.ndarray:
        met = self._met(t)
        if met.nnz:
            model = self._model(implicit_library(self.name))
            with threadpool_limits(1, "blas"):  # the library has threads of its own, each of which calls BLAS
                model.fit(as_implicit_reads(met), show_progress=False)
            self._users, self._contents = model.user_factors, model.item_factors
        else:
            self._users, self._contents = (np.zeros((size, 1), dtype=np.float32) for size in met.shape)
        return known_rows(met)

    def _personal(self, users: np.ndarray, contents: np.ndarray) -> np.ndarray:
        scores: np.ndarray = self._users[users] @ self._contents[contents].T
        return scores

    def _options(self, *names: str) -> dict[str, Any]:
        """Settings as the library's arguments, which have the same names."""
        options = {name: self.settings[name] for name in ("factors", "iterations", *names)}
        return {**options, "random_state": self.settings["seed"]}

    @abstractmethod
    def _met(self, t: int) -> csr_array:
        """What to factorise: users that exist at `t` x contents that exist then, float32."""

    @abstractmethod
    def _model(self, library: ModuleType) -> Any:
        """The library's model, not fitted yet."""


def implicit_library(model: str) -> ModuleType:
    """The library implicit.

    Raises:
        UserError: it is not installed.
    """
    try:
        return importlib.import_module("implicit")
    except ImportError as error:
        raise UserError(
            f"model={model} needs the library implicit, which is not installed: pip install 'recsys[peers]'."
        ) from error


def as_implicit_reads(matrix: csr_array) -> Any:
    """The matrix in the older form with 32-bit indices, which implicit reads."""
    return csr_matrix(
        (matrix.data.astype(np.float32), matrix.indices.astype(np.int32), matrix.indptr.astype(np.int32)),
        shape=matrix.shape,
    )
