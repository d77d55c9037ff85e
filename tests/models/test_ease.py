"""EASE against the formula of the paper, and against the problem that it solves."""

import numpy as np
import pytest

from recsys.models.baselines.ease import Ease
from tests.models.peers import dense_interactions, mixed_log


@pytest.mark.parametrize(
    ("events", "half_life", "history_half_life", "l2", "max_contents"),
    [("target", None, None, 200.0, 5000), ("all", 0.3, 0.1, 1.5, 5000), ("all", None, None, 3.0, 7)],
)
def test_scores_are_those_of_the_paper(
    events: str, half_life: float, history_half_life: float, l2: float, max_contents: int
) -> None:
    log = mixed_log()
    t = log.boundaries.t_test
    met = dense_interactions(log, t, events, half_life)
    kept = sorted(sorted(range(met.shape[1]), key=lambda c: (-(met[:, c] > 0).sum(), c))[:max_contents])
    inverse = np.linalg.inv(met[:, kept].T @ met[:, kept] + l2 * np.eye(len(kept)))
    history = dense_interactions(log, t, events, history_half_life)
    warm = np.flatnonzero(history[:, kept].any(axis=1))

    peer = Ease(
        log,
        events=events,
        half_life=half_life,
        history_half_life=history_half_life,
        l2=l2,
        max_contents=max_contents,
    )
    scores = peer.score(warm, np.arange(met.shape[1]), t).numpy()

    for row, user in enumerate(warm):
        for content in range(met.shape[1]):
            expected = 0.0
            if content in kept:
                j = kept.index(content)
                expected = sum(
                    history[user, other] * -inverse[i, j] / inverse[j, j] for i, other in enumerate(kept) if i != j
                )
            assert scores[row, content] == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_weights_are_the_best_with_a_diagonal_of_zeros() -> None:
    log, l2 = mixed_log(), 2.0
    t = log.boundaries.t_test
    met = dense_interactions(log, t, "target", None)
    peer = Ease(log, l2=l2, half_life=None, history_half_life=None)
    warm = np.flatnonzero(met.any(axis=1))
    scores = peer.score(warm, np.arange(met.shape[1]), t).numpy()
    for content in range(met.shape[1]):  # a ridge regression on the other contents
        others = np.delete(np.arange(met.shape[1]), content)
        gram = met[:, others].T @ met[:, others] + l2 * np.eye(len(others))
        weights = np.linalg.solve(gram, met[:, others].T @ met[:, content])
        np.testing.assert_allclose(scores[:, content], met[warm][:, others] @ weights, rtol=1e-4, atol=1e-6)
