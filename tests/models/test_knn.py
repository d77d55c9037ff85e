"""Item-kNN and user-kNN against dense matrices."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from recsys.models.baselines.neighbours import Neighbours
from tests.models.peers import dense_interactions, make_peer, mixed_log


def cosines(matrix: np.ndarray, shrinkage: float) -> np.ndarray:
    """Shrunk cosines between different rows."""
    norm = np.sqrt((matrix**2).sum(axis=1))
    cosine = np.zeros((len(matrix), len(matrix)))
    for i in range(len(matrix)):
        for j in range(len(matrix)):
            product = sum(matrix[i] * matrix[j])
            if j != i and product > 0:
                cosine[i, j] = product / (norm[i] * norm[j] + shrinkage)
    return cosine


def dense_neighbours(matrix: np.ndarray, k: int, shrinkage: float) -> np.ndarray:
    """The k largest cosines of each row, the lower row first of equal ones; 0 elsewhere."""
    near = cosines(matrix, shrinkage)
    for row in near:
        row[sorted(range(len(row)), key=lambda j: (-round(row[j], 12), j))[k:]] = 0
    return near


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(1, 30),
    columns=st.integers(1, 12),
    k=st.integers(1, 40),
    shrinkage=st.sampled_from([0.0, 0.5, 10.0]),
)
def test_neighbours_of_all_rows(seed: int, n: int, columns: int, k: int, shrinkage: float) -> None:
    rng = np.random.default_rng(seed)
    matrix = rng.random((n, columns)) * (rng.random((n, columns)) < 0.3)
    found = Neighbours(csr_array(matrix), k, shrinkage).of(np.arange(n))
    near, cosine = found.toarray(), cosines(matrix, shrinkage)
    np.testing.assert_allclose(near[near > 0], cosine[near > 0], rtol=1e-12)
    # Where rounding decides between equal rows, those taken may be others.
    expected = np.sort(dense_neighbours(matrix, k, shrinkage), axis=1)
    np.testing.assert_allclose(np.sort(near, axis=1), expected, rtol=1e-12)


def test_of_equally_near_rows_the_first_are_taken_and_any_rows_can_be_asked_for() -> None:
    matrix = csr_array(np.ones((6, 2)))
    found = Neighbours(matrix, 2, 0.0).of(np.array([4, 0, 4]))
    rows = [np.flatnonzero(row).tolist() for row in found.toarray()]
    assert rows == [[0, 1], [1, 2], [0, 1]]


def test_a_row_of_zeros_is_near_to_none() -> None:
    found = Neighbours(csr_array(np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]])), 5, 0.0).of(np.arange(3))
    assert np.diff(found.indptr).tolist() == [0, 1, 1]


SETTINGS = [
    ("target", None, None, 100, 10.0),
    ("all", 0.3, None, 4, 0.0),
    ("target", None, 0.1, 2, 1.0),
    ("all", 0.1, 0.3, 3, 0.5),
]


@pytest.mark.parametrize(("events", "half_life", "history_half_life", "k", "shrinkage"), SETTINGS)
def test_item_knn(events: str, half_life: float, history_half_life: float, k: int, shrinkage: float) -> None:
    log = mixed_log()
    t = log.boundaries.t_test
    near = dense_neighbours(dense_interactions(log, t, events, half_life).T, k, shrinkage)
    history = dense_interactions(log, t, events, history_half_life)
    warm = np.flatnonzero(history.any(axis=1))
    peer = make_peer(
        "item_knn",
        events=events,
        half_life=half_life,
        history_half_life=history_half_life,
        neighbours=k,
        shrinkage=shrinkage,
    )
    scores = peer.score(warm, np.arange(len(near)), t)
    for row, user in enumerate(warm):
        expected = [sum(history[user] * near[content]) / sum(history[user]) for content in range(len(near))]
        np.testing.assert_allclose(scores[row], expected, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(("events", "half_life", "history_half_life", "k", "shrinkage"), SETTINGS)
def test_user_knn(events: str, half_life: float, history_half_life: float, k: int, shrinkage: float) -> None:
    log = mixed_log()
    t = log.boundaries.t_test
    met = dense_interactions(log, t, events, half_life)
    near = dense_neighbours(met, k, shrinkage)
    history = dense_interactions(log, t, "target", history_half_life)
    warm = np.flatnonzero(met.any(axis=1))
    peer = make_peer(
        "user_knn",
        events=events,
        half_life=half_life,
        history_half_life=history_half_life,
        neighbours=k,
        shrinkage=shrinkage,
    )
    scores = peer.score(warm, np.arange(met.shape[1]), t)
    for row, user in enumerate(warm):
        expected = near[user] @ history / max(near[user].sum(), 1e-300)
        np.testing.assert_allclose(scores[row], expected, rtol=1e-5, atol=1e-8)
