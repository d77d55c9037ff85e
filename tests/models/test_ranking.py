import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor

from recsys.data.ranking_task import RankingBatch
from recsys.errors import UserError
from recsys.models.ranking import rank, top_k

# Few different values, so that ties are everywhere, with the awkward ones among them.
SCORES = st.sampled_from([float(np.float32(x)) for x in (-np.inf, -1.5, -0.0, 0.0, 1e-40, 0.25, 2.0, 3.4e38)])


def naive(scores: np.ndarray, k: int) -> tuple[list[int], list[float]]:
    order = sorted(range(len(scores)), key=lambda c: (-scores[c], c))[:k]
    kept = [c for c in order if scores[c] > -np.inf]
    missing = k - len(kept)
    return kept + [-1] * missing, [float(scores[c]) for c in kept] + [-np.inf] * missing


@settings(deadline=None, max_examples=100)
@given(
    st.tuples(st.integers(0, 4), st.integers(1, 12)).flatmap(lambda shape: arrays(np.float32, shape, elements=SCORES)),
    st.integers(0, 14),
)
def test_top_k_is_the_sorted_prefix(rows: np.ndarray, k: int) -> None:
    content, score = top_k(torch.from_numpy(rows), k)
    assert content.shape == score.shape == (len(rows), k)
    assert content.dtype == np.int64
    for row, values in enumerate(rows):
        expected_content, expected_score = naive(values, k)
        assert content[row].tolist() == expected_content
        assert score[row].tolist() == expected_score


def test_top_k_of_many_equal_scores() -> None:
    content, _ = top_k(torch.zeros(3, 5000), 100)
    assert (content == np.arange(100)).all()


class Fixed:
    """A scorer with known scores."""

    gives_logits = True

    def __init__(self, scores: Tensor) -> None:
        self.scores = scores

    def score(self, users: np.ndarray, contents: np.ndarray, t: int) -> Tensor:
        return self.scores[torch.from_numpy(users)][:, torch.from_numpy(contents)]


def batch(**changes: object) -> RankingBatch:
    parts = {
        "time": 7,
        "num_contents": 4,
        "user": np.array([1, 0]),
        "seen": np.array([[0, 0, 0, 1], [0, 1, 3, 2]]),
        "positive": np.array([[0, 1, 1], [2, 0, 3]]),
        "label": np.ones(3, dtype=np.float32),
        "negative": np.array([2, 1, -1]),
        "first": 0,
        "unborn": np.zeros(2, dtype=np.int64),
    }
    return RankingBatch(**{**parts, **changes})


SCORES_OF_TWO = torch.tensor([[0.0, 1.0, 2.0, 3.0, 9.0], [4.0, 5.0, 6.0, 7.0, 9.0]])


def test_rank_leaves_out_the_history_and_what_does_not_exist() -> None:
    scores = SCORES_OF_TWO.clone()
    ranked = rank(Fixed(scores), batch(), 3)
    # Row 0 is user 1, who has seen all but content 2; row 1 is user 0, who has seen content 2. Content 4 is unborn.
    assert ranked.content.tolist() == [[2, -1, -1], [3, 1, 0]]
    assert ranked.score.tolist() == [[6.0, -np.inf, -np.inf], [3.0, 1.0, 0.0]]
    assert ranked.positive_score.tolist() == [6.0, 0.0, 3.0]
    assert ranked.negative_score[:2].tolist() == [6.0, 1.0]
    assert np.isnan(ranked.negative_score[2])
    assert torch.equal(scores, SCORES_OF_TWO)


def test_rank_does_not_change_what_the_scorer_holds() -> None:
    scores = SCORES_OF_TWO[:, :4].clone()

    class Holding(Fixed):
        def score(self, users: np.ndarray, contents: np.ndarray, t: int) -> Tensor:
            return self.scores

    rank(Holding(scores), batch(), 3)
    assert torch.equal(scores, SCORES_OF_TWO[:, :4])


def test_scores_that_are_no_numbers_are_an_error() -> None:
    scores = SCORES_OF_TWO.clone()
    scores[0, 1] = torch.nan
    with pytest.raises(UserError, match="NaN"):
        rank(Fixed(scores), batch(), 3)
