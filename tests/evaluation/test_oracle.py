"""The oracle scores by the true probabilities, asked by original ids."""

from dataclasses import replace

import numpy as np
import pytest

from recsys.evaluation.oracle import OracleScorer
from recsys.models.scorer import MoodScorer, Scorer
from tests.factories import tiny_log


class Truth:
    """Remembers what it was asked; the probability is made of the ids and the time."""

    def probability(self, user_ids: np.ndarray, content_ids: np.ndarray, t: int) -> np.ndarray:
        numbers = np.array([int(id_[1:]) for id_ in content_ids])
        return (user_ids[:, None] / 1000 + numbers[None, :] / 100_000 + t).astype(np.float32)


def test_oracle_gives_the_true_probabilities_of_the_rows() -> None:
    log = replace(tiny_log(), oracle=Truth())
    scorer = OracleScorer(log)
    users, contents = np.array([3, 0]), np.array([5, 1, 2])
    found = scorer.score(users, contents, t=7)
    for i, user in enumerate(users):
        for j, content in enumerate(contents):
            expected = log.users.ids[user] / 1000 + int(log.contents.ids[content][1:]) / 100_000 + 7
            assert found[i, j].item() == pytest.approx(expected)
    assert isinstance(scorer, Scorer)
    assert not isinstance(scorer, MoodScorer)
    assert not scorer.gives_logits


def test_a_log_without_truth_is_refused() -> None:
    with pytest.raises(ValueError, match="tiny is not generated"):
        OracleScorer(tiny_log())
