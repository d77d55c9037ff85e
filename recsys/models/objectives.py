"""Training losses on a positive's logit and those of its negatives; `lightning_module.py` calls them."""

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from recsys.checks import check_number, check_switch


class Objective(Protocol):
    """A loss over B positives with N negatives each.

    Attributes:
        by_label: whether positives count in proportion to their label, beside their weight.
    """

    @property
    def by_label(self) -> bool:
        """See above."""
        ...

    def __call__(self, logits: Tensor, label: Tensor, log_q: Tensor, weight: Tensor) -> Tensor:
        """The loss, a scalar.

        Args:
            logits: column 0 is the positive, the others are its negatives, [B, 1 + N].
            label: soft label of each positive in [0, 1], [B].
            log_q: log probability that the negative sampler draws the content in this place, [B, 1 + N].
            weight: how much each positive with its negatives counts, [B].
        """
        ...


class BCE:
    """Binary cross-entropy with logits on soft strength labels (report, Eq. 6); negatives have label 0.

    The negatives of a positive count together as much as the positive itself. So a logit's probability is that of a
    positive against one random negative, whatever N is, which is what linking metrics measure; and many negatives
    make the ranking sharper (one alone does not rank) without drowning the positives.
    """

    by_label = False  # which is what a logit is to come near

    def __call__(self, logits: Tensor, label: Tensor, log_q: Tensor, weight: Tensor) -> Tensor:
        """See `Objective`."""
        positive = F.binary_cross_entropy_with_logits(logits[:, 0], label, reduction="none")
        return _weighted_mean((positive + F.softplus(logits[:, 1:]).mean(dim=1)) / 2, weight)


class BPR:
    """Bayesian personalised ranking (Rendle et al., 2009): the mean over pairs of -log sigmoid(positive - negative).

    Positives count in proportion to their label, so that a like matters more than a view.
    """

    by_label = True

    def __call__(self, logits: Tensor, label: Tensor, log_q: Tensor, weight: Tensor) -> Tensor:
        """See `Objective`."""
        return _weighted_mean(F.softplus(logits[:, 1:] - logits[:, :1]).mean(dim=1), label * weight)


class SampledSoftmax:
    """Softmax cross-entropy of the positive among its negatives: -log softmax(logit / temperature - log q)[positive].

    Subtracting log q, the log-Q correction (Bengio and Senecal, 2008; Yi et al., 2019), makes up for contents that
    are drawn more often as negatives, such as popular ones with in-batch negatives. Positives count in proportion to
    their label.

    Args:
        temperature: divides the logits; smaller is sharper.
        log_q_correction: whether to subtract log q.
    """

    by_label = True

    def __init__(self, temperature: float = 1.0, log_q_correction: bool = True) -> None:
        check_number("objective.temperature", temperature, 0, above=True)
        check_switch("objective.log_q_correction", log_q_correction)
        self.temperature = temperature
        self.log_q_correction = log_q_correction

    def __call__(self, logits: Tensor, label: Tensor, log_q: Tensor, weight: Tensor) -> Tensor:
        """See `Objective`."""
        logits = logits / self.temperature
        if self.log_q_correction:
            logits = logits - log_q
        return _weighted_mean(-logits.log_softmax(dim=1)[:, 0], label * weight)


def keep_hardest(logits: Tensor, log_q: Tensor, keep: int) -> tuple[Tensor, Tensor]:
    """Only the `keep` negatives with the highest logits, next to the positive: [B, 1 + N] -> [B, 1 + keep] each."""
    if keep >= logits.shape[1] - 1:
        return logits, log_q
    hardest = logits.detach()[:, 1:].topk(keep, dim=1).indices + 1
    columns = torch.cat([torch.zeros_like(hardest[:, :1]), hardest], dim=1)
    return logits.gather(1, columns), log_q.gather(1, columns)


def _weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    return (values * weight).sum() / weight.sum().clamp_min(torch.finfo(weight.dtype).tiny)
