"""Random scores are even, independent of each other, and a matter of ids and seed alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import chisquare, kstest

from recsys.models.baselines.random_order import RandomOrder
from tests.factories import tiny_log


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1])
def test_scores_are_even_and_no_two_rows_or_columns_are_alike(seed: int) -> None:
    log = tiny_log(num_users=60, num_contents=80, num_events=900)
    users, contents = np.arange(len(log.users)), np.arange(len(log.contents))
    scores = RandomOrder(log, seed=seed).score(users, contents, log.boundaries.t_test).numpy().astype(float)
    assert 0 <= scores.min() < scores.max() < 1
    assert kstest(scores.ravel(), "uniform").pvalue > 0.001
    best = np.bincount(scores.argmax(axis=1), minlength=len(contents))
    assert chisquare(best).pvalue > 0.001
    for matrix in (scores, scores.T):
        correlation = np.corrcoef(matrix)[np.triu_indices(len(matrix), 1)]
        assert np.abs(correlation).max() < 0.65
        assert abs(correlation.mean()) < 0.02


def test_a_score_is_that_of_the_two_ids() -> None:
    log = tiny_log(num_users=20, num_contents=20, num_events=200)
    users, contents = np.arange(len(log.users)), np.arange(len(log.contents))
    turned = replace(log, users=replace(log.users, ids=log.users.ids[::-1].copy()))
    t = log.boundaries.t_test
    plain = RandomOrder(log).score(users, contents, t)
    assert torch.equal(plain, RandomOrder(turned).score(users[::-1].copy(), contents, t))
    assert torch.equal(plain, RandomOrder(log).score(users, contents, log.boundaries.t_val))
