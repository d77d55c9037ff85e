import math

import pytest
import torch
from torch import Tensor

from recsys.errors import UserError
from recsys.models.objectives import BCE, BPR, SampledSoftmax, keep_hardest

LN2, LN3 = math.log(2), math.log(3)
NO_LOG_Q = torch.zeros(2, 3)
ONE, TWO = torch.ones(1), torch.ones(2)  # weights


def test_bce_by_hand() -> None:
    """At logit 0 every term is ln 2; at ln 3 the probability is 3/4, so label 1/2 costs -(ln 3/4 + ln 1/4) / 2."""
    loss = BCE()
    assert loss(torch.zeros(2, 3), torch.tensor([1.0, 0.2]), NO_LOG_Q, TWO).item() == pytest.approx(LN2)
    logits = torch.tensor([[LN3, 0.0, 0.0]])
    positive = -(math.log(3 / 4) + math.log(1 / 4)) / 2
    assert loss(logits, torch.tensor([0.5]), NO_LOG_Q[:1], ONE).item() == pytest.approx((positive + LN2) / 2)


def test_bce_weighs_the_negatives_together_as_much_as_the_positive() -> None:
    logits, label = torch.tensor([[1.0, -2.0]]), torch.tensor([0.7])
    many = torch.tensor([[1.0] + [-2.0] * 20])
    log_q = torch.zeros(1, 21)
    assert BCE()(many, label, log_q, ONE).item() == pytest.approx(BCE()(logits, label, log_q[:, :2], ONE).item())


def test_bpr_by_hand() -> None:
    """Differences ln 3 and 0 cost -ln 3/4 and ln 2; the second positive counts half."""
    logits = torch.tensor([[LN3, 0.0, LN3], [5.0, 5.0, 5.0]])
    first = (-math.log(3 / 4) + LN2) / 2
    expected = (1.0 * first + 0.5 * LN2) / 1.5
    assert BPR()(logits, torch.tensor([1.0, 0.5]), NO_LOG_Q, TWO).item() == pytest.approx(expected)


def test_sampled_softmax_by_hand() -> None:
    """Logits ln 3, 0, 0 at temperature 1: 3/5; at temperature 1/2: 9/11."""
    logits, label = torch.tensor([[LN3, 0.0, 0.0]]), torch.ones(1)
    assert SampledSoftmax()(logits, label, NO_LOG_Q[:1], ONE).item() == pytest.approx(-math.log(3 / 5))
    assert SampledSoftmax(temperature=0.5)(logits, label, NO_LOG_Q[:1], ONE).item() == pytest.approx(-math.log(9 / 11))


def test_log_q_correction_by_hand() -> None:
    """With q = 1/2, 1/4, 1/4 the weights 3 : 1 : 1 become 3 / (1/2) : 1 / (1/4) : 1 / (1/4) = 6 : 4 : 4."""
    logits, label = torch.tensor([[LN3, 0.0, 0.0]]), torch.ones(1)
    log_q = torch.tensor([[1 / 2, 1 / 4, 1 / 4]]).log()
    assert SampledSoftmax()(logits, label, log_q, ONE).item() == pytest.approx(-math.log(6 / 14))
    uncorrected = SampledSoftmax(log_q_correction=False)
    assert uncorrected(logits, label, log_q, ONE).item() == pytest.approx(-math.log(3 / 5))


def test_weights_by_hand() -> None:
    """Each positive with its negatives counts in proportion to its weight, besides its label."""
    logits, label = torch.tensor([[LN3, 0.0, 0.0], [0.0, 0.0, 0.0]]), torch.tensor([1.0, 0.5])
    weight = torch.tensor([0.5, 2.0])
    positive = (-math.log(3 / 4) + LN2) / 2
    assert BCE()(logits, label, NO_LOG_Q, weight).item() == pytest.approx((0.5 * positive + 2 * LN2) / 2.5)
    assert BPR()(logits, label, NO_LOG_Q, weight).item() == pytest.approx((0.5 * -math.log(3 / 4) + 1.0 * LN2) / 1.5)
    softmax = SampledSoftmax()(logits, label, NO_LOG_Q, weight).item()
    assert softmax == pytest.approx((0.5 * -math.log(3 / 5) + 1.0 * LN3) / 1.5)


@pytest.mark.parametrize("objective", [BPR(), SampledSoftmax()])
def test_labels_of_zero_give_no_loss(objective: BPR | SampledSoftmax) -> None:
    logits = torch.randn(2, 3, requires_grad=True)
    loss = objective(logits, torch.zeros(2), NO_LOG_Q, TWO)
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()


def test_temperature_must_be_positive() -> None:
    with pytest.raises(UserError, match=r"objective\.temperature"):
        SampledSoftmax(temperature=0)


def test_keep_hardest_keeps_the_positive_and_the_highest_negatives() -> None:
    logits = torch.tensor([[-9.0, 1.0, 3.0, 2.0], [9.0, 0.0, -1.0, -2.0]])
    log_q = torch.arange(8.0).view(2, 4)

    def kept(count: int) -> tuple[Tensor, Tensor]:
        return keep_hardest(logits, log_q, count)

    assert kept(2)[0].tolist() == [[-9.0, 3.0, 2.0], [9.0, 0.0, -1.0]]
    assert kept(2)[1].tolist() == [[0.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
    assert kept(3)[0] is logits
