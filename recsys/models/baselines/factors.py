"""What iALS and BPR have in common: vectors of users and contents, fitted by the library implicit (an extra)."""

import importlib
from abc import abstractmethod
from types import ModuleType
from typing import Any

import numpy as np
from scipy.sparse import csr_array, csr_matrix

from recsys.errors import UserError
from recsys.models.baselines.past import known_rows
from recsys.models.baselines.personal_peer import PersonalPeer

MOST_FACTORS = 1024
MOST_ITERATIONS = 10_000
MOST_SEED = 2**32 - 1


class FactorPeer(PersonalPeer):
    """Scores are products of a user's and a content's vector."""

    def _learn(self, t: int) -> np.ndarray:
        met = self._met(t)
        if met.nnz:
            self._users, self._contents = self._factorised(met)
        else:
            self._users, self._contents = (np.zeros((size, 1), dtype=np.float32) for size in met.shape)
        return known_rows(met)

    def _personal(self, users: np.ndarray, contents: np.ndarray) -> np.ndarray:
        scores: np.ndarray = self._users[users] @ self._contents[contents].T
        return scores

    @abstractmethod
    def _met(self, t: int) -> csr_array:
        """What to factorise: users that exist at `t` x contents that exist then, float32."""

    @abstractmethod
    def _factorised(self, met: csr_array) -> tuple[np.ndarray, np.ndarray]:
        """Vectors of the users and of the contents, float32."""


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
