"""Metrics against tables worked out by hand, naive loops, and other libraries."""

from math import log, log2

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score
from torch_geometric.metrics import (
    LinkPredHitRatio,
    LinkPredMAP,
    LinkPredMRR,
    LinkPredNDCG,
    LinkPredPrecision,
    LinkPredRecall,
)

from recsys.evaluation import metrics

PYG = {
    "ndcg": LinkPredNDCG,
    "recall": LinkPredRecall,
    "precision": LinkPredPrecision,
    "map": LinkPredMAP,
    "mrr": LinkPredMRR,
    "hit_rate": LinkPredHitRatio,
}


def test_ranking_metrics_by_hand() -> None:
    # place             1  2  3  4     relevant in all
    relevant = np.array(
        [
            [1, 0, 1, 0],  # 3: one is never found
            [0, 0, 0, 1],  # 1
            [0, 0, 0, 0],  # 2
        ],
        dtype=bool,
    )
    found = metrics.ranking_metrics(relevant, np.array([3, 1, 2]), ks=(2, 4))

    expected = {
        "ndcg@2": [1 / (1 + 1 / log2(3)), 0, 0],
        "ndcg@4": [(1 + 1 / 2) / (1 + 1 / log2(3) + 1 / 2), (1 / log2(5)) / 1, 0],
        "recall@2": [1 / 3, 0, 0],
        "recall@4": [2 / 3, 1 / 1, 0],
        "precision@2": [1 / 2, 0, 0],
        "precision@4": [2 / 4, 1 / 4, 0],
        "map@2": [(1 / 1) / 2, 0, 0],  # min(3, 2)
        "map@4": [(1 / 1 + 2 / 3) / 3, (1 / 4) / 1, 0],
        "mrr@2": [1, 0, 0],
        "mrr@4": [1, 1 / 4, 0],
        "hit_rate@2": [1, 0, 0],
        "hit_rate@4": [1, 1, 0],
    }
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, err_msg=name)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_ranking_metrics_are_those_of_pyg(seed: int) -> None:
    rng = np.random.default_rng(seed)
    num_users, num_contents, length = 5, 12, 8
    ranked = np.stack([rng.permutation(num_contents)[:length] for _ in range(num_users)])
    is_positive = rng.random((num_users, num_contents)) < 0.3
    is_positive[:, 0] = True
    relevant = np.take_along_axis(is_positive, ranked, axis=1)

    found = metrics.ranking_metrics(relevant, is_positive.sum(axis=1), ks=(1, 3, 8))

    pairs = torch.from_numpy(np.stack(np.nonzero(is_positive)))
    for name, values in found.items():
        kind, k = name.split("@")
        peer = PYG[kind](int(k))
        peer.update(torch.from_numpy(ranked), pairs)
        assert values.mean() == pytest.approx(float(peer.compute()), abs=1e-6), name


def test_coverage_and_gini_by_hand() -> None:
    content = np.array([[0, 1], [0, 2], [0, -1]])
    everything = np.ones(5, dtype=bool)
    assert metrics.coverage(content, everything) == 3 / 5
    # Counts 3, 1, 1, 0, 0; the mean absolute difference of all 25 ordered pairs over twice the mean.
    counts = [3, 1, 1, 0, 0]
    differences = sum(abs(a - b) for a in counts for b in counts) / 25
    assert metrics.gini(content, everything) == pytest.approx(differences / (2 * sum(counts) / 5))

    some = np.array([False, True, True, False, True])  # only contents 1, 2 and 4 are candidates
    assert metrics.coverage(content[:, 1:], some) == 2 / 3


def test_gini_of_even_and_of_one_sided_recommendations() -> None:
    everything = np.ones(4, dtype=bool)
    assert metrics.gini(np.array([[0, 1], [2, 3]]), everything) == pytest.approx(0)
    assert metrics.gini(np.array([[2], [2], [2]]), everything) == pytest.approx(3 / 4)  # (n - 1) / n


def test_novelty_by_hand() -> None:
    # 7 users; content 0 is known to all of them, content 1 to one, content 2 to nobody.
    surprise = metrics.surprise(np.array([7, 1, 0]), num_users=7)
    np.testing.assert_allclose(surprise, [-log2(8 / 8), -log2(2 / 8), -log2(1 / 8)])
    content = np.array([[0, 1], [2, -1]])
    assert metrics.novelty(content, surprise) == pytest.approx(((0 + 2) / 2 + 3 / 1) / 2)


def test_diversity_by_hand() -> None:
    attributes = csr_array(
        np.array(
            [
                [1, 1, 0, 0],
                [1, 0, 1, 0],
                [1, 1, 0, 0],
                [0, 0, 0, 0],
            ]
        )
    )
    # Jaccard: (0,1) 1/3, (0,2) 2/2, (1,2) 1/3; content 3 has nothing to share.
    assert metrics.diversity(np.array([[0, 1, 2]]), attributes) == pytest.approx(1 - (1 / 3 + 1 + 1 / 3) / 3)
    assert metrics.diversity(np.array([[3, 0, -1]]), attributes) == pytest.approx(1)
    # A list of one has no pair, so only the first user counts.
    assert metrics.diversity(np.array([[0, 2], [1, -1]]), attributes) == pytest.approx(1 - 2 / 2)
    assert metrics.diversity(np.array([[1, -1]]), attributes) is None


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_linking_metrics_are_those_of_sklearn_also_for_large_and_tied_scores(seed: int) -> None:
    rng = np.random.default_rng(seed)
    positive = np.concatenate([[True, False], rng.random(30) < 0.4])
    score = rng.integers(-5, 6, 32) * 100.0  # a sigmoid would tie all the positive ones
    found = metrics.linking_metrics(positive, score)
    assert found["auroc"] == pytest.approx(roc_auc_score(positive, score))
    assert found["average_precision"] == pytest.approx(average_precision_score(positive, score), abs=1e-6)


def test_linking_metrics_by_hand() -> None:
    positive = np.array([True, False, True, False])
    score = np.array([4.0, 3.0, 2.0, 2.0])
    # Of 2 x 2 (positive, negative) pairs: 4 > 3, 4 > 2, 2 < 3, and 2 = 2 counts half.
    assert metrics.linking_metrics(positive, score)["auroc"] == pytest.approx((1 + 1 + 0 + 1 / 2) / 4)


def test_f1_and_its_best_threshold_by_hand() -> None:
    positive = np.array([True, True, False, True, False])
    score = np.array([0.9, 0.8, 0.7, 0.7, 0.1])
    # from .9: 2*1/(1+3) = 1/2; from .8: 2*2/(2+3) = 4/5; from .7: 2*3/(4+3) = 6/7; from .1: 2*3/(5+3) = 3/4
    assert metrics.best_f1_threshold(positive, score) == 0.7
    assert metrics.f1(positive, score, 0.7) == pytest.approx(6 / 7)
    assert metrics.f1(positive, score, 0.8) == pytest.approx(4 / 5)
    assert metrics.f1(positive, score, 2.0) == 0


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=1, max_size=20))
def test_no_threshold_has_a_better_f1(pairs: list[tuple[bool, int]]) -> None:
    positive = np.array([True] + [p for p, _ in pairs])
    score = np.array([3.0] + [float(s) for _, s in pairs])
    chosen = metrics.f1(positive, score, metrics.best_f1_threshold(positive, score))
    assert chosen == pytest.approx(max(f1_score(positive, score >= t) for t in np.unique(score)), abs=1e-6)


def test_probability_metrics_by_hand() -> None:
    found = metrics.probability_metrics(np.array([0.75, 0.0]), np.array([0.25, 0.25]))
    assert found["mae"] == pytest.approx((0.5 + 0.25) / 2)
    assert found["rmse"] == pytest.approx(((0.5**2 + 0.25**2) / 2) ** 0.5)
    assert found["loss"] == pytest.approx(-(0.75 * log(0.25) + 0.25 * log(0.75) + log(0.75)) / 2)
    assert found["score_spread"] == 0
    assert found["score_std"] == 0
    even = metrics.probability_metrics(np.zeros(101), np.linspace(0, 1, 101))
    assert even["score_spread"] == pytest.approx(0.95 - 0.05)
