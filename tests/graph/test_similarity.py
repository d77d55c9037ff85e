"""Cosine neighbours against the dense matrix, and where they are not unique."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.graph.similarity import profiles, similar_pairs


def dense(features: np.ndarray, k: int, threshold: float) -> dict[tuple[int, int], float]:
    """(neighbour, row) -> cosine, from the whole matrix, in float64."""
    norm = np.linalg.norm(features.astype(np.float64), axis=1, keepdims=True)
    unit = features / np.where(norm > 0, norm, 1)
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -1)
    pairs = {}
    for row in range(len(features)):
        for neighbour in np.argsort(-cosine[row], kind="stable")[:k]:
            if cosine[row, neighbour] >= threshold:
                pairs[(int(neighbour), row)] = float(cosine[row, neighbour])
    return pairs


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(0, 40),
    d=st.integers(1, 6),
    k=st.integers(1, 50),
    block=st.sampled_from([1, 3, 7, 64]),
    threshold=st.sampled_from([0.1, 0.5, 0.9]),
)
def test_equals_the_dense_matrix(seed: int, n: int, d: int, k: int, block: int, threshold: float) -> None:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, d)).astype(np.float32)
    features[rng.random(n) < 0.1] = 0
    edge_index, cosine = similar_pairs(torch.from_numpy(features), k, threshold, block)
    found = dict(zip(zip(*edge_index.tolist(), strict=True), cosine.tolist(), strict=True))
    assert len(found) == edge_index.shape[1]
    expected = dense(features, k, threshold)
    if d > 1:
        assert set(found) == set(expected)
    else:  # with one number all cosines are 1 or -1, so neighbours are not unique but their number is
        assert np.bincount(edge_index[1], minlength=n).tolist() == [sum(r == i for _, r in expected) for i in range(n)]
    np.testing.assert_allclose(sorted(found.values()), sorted(expected.values()), atol=2e-6)


def test_sorted_by_row_then_nearest_first() -> None:
    features = torch.randn(50, 5, generator=torch.Generator().manual_seed(0))
    edge_index, cosine = similar_pairs(features, 4, 0.3, block=16)
    rows = edge_index[1].tolist()
    assert rows == sorted(rows)
    for row in set(rows):
        own = cosine[edge_index[1] == row].tolist()
        assert own == sorted(own, reverse=True)


def test_of_equally_near_rows_the_first_are_taken() -> None:
    direction = torch.randn(37, generator=torch.Generator().manual_seed(1))
    scale = torch.linspace(0.1, 9.0, 100)  # equal up to rounding
    edge_index, _ = similar_pairs(scale[:, None] * direction, 3, 0.5, block=33)
    neighbours = edge_index[0].reshape(100, 3).tolist()
    assert neighbours[0] == [1, 2, 3]
    assert neighbours[1] == [0, 2, 3]
    assert neighbours[2] == [0, 1, 3]
    assert all(own == [0, 1, 2] for own in neighbours[3:])


def test_zero_rows_and_lonely_rows_have_no_edges() -> None:
    features = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
    edge_index, cosine = similar_pairs(features, 3, 0.5)
    assert edge_index.shape == (2, 0)
    assert cosine.shape == (0,)


def test_threshold_is_met_with_equality() -> None:
    features = torch.tensor([[1.0, 0.0], [3.0, 4.0]])  # cosine 3/5
    assert similar_pairs(features, 1, 0.59)[0].tolist() == [[1, 0], [0, 1]]
    assert similar_pairs(features, 1, 0.61)[0].shape == (2, 0)


def test_profiles_hold_small_vocabularies_one_hot_without_the_unknown() -> None:
    x = torch.tensor([[0.5], [1.5], [2.5]])
    x_cat = torch.tensor([[0, 7], [1, 7], [2, 99]])
    expected = torch.tensor([[0.5, 0, 0], [1.5, 1, 0], [2.5, 0, 1]])
    torch.testing.assert_close(profiles(x, x_cat, (3, 100)), expected)


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_rows_to_compare(n: int) -> None:
    edge_index, cosine = similar_pairs(torch.ones(n, 2), 10, 0.5)
    assert edge_index.shape == (2, 0)
    assert edge_index.dtype == torch.int64
    assert cosine.dtype == torch.float32
