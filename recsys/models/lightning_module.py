"""How a network is trained: the loss of a batch, validation by the ranking protocol, the learning rate.

Batches come from `recsys.loading`, losses from `objectives.py`, networks from `gat_sage.py` and `hetero_sage.py`.
"""

from collections.abc import Callable
from copy import deepcopy
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch_geometric.metrics import LinkPredMetricCollection, LinkPredMRR, LinkPredNDCG, LinkPredRecall
from torchmetrics import MeanMetric
from torchmetrics.classification import BinaryAUROC

from recsys.building import built
from recsys.checks import check_number
from recsys.data.ranking_task import RankingBatch
from recsys.errors import UserError
from recsys.graph.schema import CONTENT, USER
from recsys.loading.batch import LinkBatch
from recsys.models.calibration import fit_calibration
from recsys.models.graph_scorer import GraphScorer
from recsys.models.objectives import Objective, keep_hardest
from recsys.models.pair_signals import signals_of_pairs
from recsys.models.ranking import Ranked, rank

WATCHED = "watched"  # name under which the smoothed validation metric is logged
# Adam makes up for it, and where gradients are clipped, the ranking's keep their share.
LEVEL_WEIGHT = 0.01
# What a user with a history counts in the moods' loss beside one without. Moods are for newcomers: who has met what is
# popular acts differently, but where nearly nobody is new still says what goes with a mood.
WARM = 0.1
PREDICTED = 100  # contents a user that `predict_step` gives


class LinkPredictionModule(LightningModule):
    """Trains a network to score the pairs of a `LinkBatch`, and ranks the users of a `RankingBatch` with it.

    loss = objective(users' pairs) + mood_weight x objective(moods' pairs): so the cold-start head is trained too.
    Moods' pairs are users' pairs with a mood in the place of the user; those of users with a history count `WARM` as
    much. Beside it the levels of users and moods are learned (see `UserLevel`), by gradients that lead nowhere else.

    A run that was killed and resumed from an epoch's last checkpoint ends with the same bits as one that was not:
    dropout is seeded anew at every step from (seed, epoch, step), and the learning rate is lowered at the end of
    validation, before any checkpoint of the epoch is written. (Lightning itself does so after writing it, and not at
    all for that epoch on resuming.)

    Args:
        scorer: scores the network over the log's graph, for validation.
        objective: the loss.
        optimizer: builds the optimizer from the parameters.
        scheduler: builds a `ReduceLROnPlateau` from the optimizer, which watches `monitor`; None keeps the rate.
        mood_weight: weight of the moods' loss.
        monitor: the validation metric that counts, one of `RankingMetrics` with the prefix "val/".
        monitor_mode: whether it is to be large ("max") or small ("min").
        smoothing: its mean over so many last epochs is logged as `WATCHED`, by which the learning rate, early stopping
            and the choice of the best epoch go: one epoch's lucky value would end a training that is still learning.
            A mean of fewer epochs is worsened by 1 for each that is missing, and so is never the best: it would be a
            matter of luck again, and where there are few users the first epoch's would win.
        seed: seeds dropout.
        averaging: decay of the moving average of the weights, in [0, 1): the scorer's network gets the average after
            every step. None trains the scorer's network itself.
        equal_users: whether all seeds of a user at one time count together as one, whatever their labels, so that
            every user counts alike, as in the metrics; else every seed does. It goes by the seeds of one batch: where a
            loader cuts a time's seeds into several, or gives each a time of its own, users with more seeds count more.
    """

    def __init__(
        self,
        *,
        scorer: GraphScorer,
        objective: Objective,
        optimizer: Callable[..., Optimizer],
        scheduler: Callable[..., ReduceLROnPlateau] | None = None,
        mood_weight: float = 0.2,
        monitor: str = "val/ndcg@10",
        monitor_mode: Literal["max", "min"] = "max",
        smoothing: int = 5,
        seed: int = 0,
        averaging: float | None = None,
        equal_users: bool = True,
    ) -> None:
        super().__init__()
        check_number("averaging", averaging, 0, 1, below=True, optional=True)
        check_number("mood_weight", mood_weight, 0)
        self.scorer = scorer
        self.network = scorer.network if averaging is None else deepcopy(scorer.network)
        self.averaged = scorer.network  # what is evaluated and kept
        self.num_averaged: Tensor
        self.recent: Tensor
        self.averaging = averaging
        self.equal_users = equal_users
        self.register_buffer("num_averaged", torch.zeros((), dtype=torch.int64))
        self.register_buffer("recent", torch.full((smoothing,), torch.nan))  # values of `monitor`
        self.objective = objective
        self.mood_weight = mood_weight
        self.monitor = monitor
        self.monitor_mode = monitor_mode
        self.seed = seed
        self.metrics = RankingMetrics()
        self._make_optimizer = optimizer
        self._make_scheduler = scheduler

    def training_step(self, batch: LinkBatch, batch_idx: int) -> Tensor:
        """The loss of one batch; one encoding of its graph serves all seeds."""
        # Checkpoints do not hold torch's random state.
        torch.manual_seed(int(np.random.SeedSequence([self.seed, self.current_epoch, batch_idx]).generate_state(1)[0]))
        vectors = self.network.encode(batch.graph)
        logits = self.network.link_logits(vectors, batch.user, batch.content, self._signals(batch))
        group = self._groups(batch)
        each = _weight(torch.ones_like(batch.label), group)
        weight = _weight(batch.label, group) if self.objective.by_label else each
        loss = self.objective(*_kept(logits, batch.label, batch.log_q, batch.keep), weight)
        self.log("train/loss", loss, on_step=False, on_epoch=True, batch_size=len(batch.user), sync_dist=True)
        level_loss = _level_loss(self.network.user_levels(vectors, batch.user), logits, each)
        if len(batch.mood) and self.mood_weight:
            seed = batch.mood_seed
            logits = self.network.mood_link_logits(vectors, batch.mood, batch.content[seed])
            asked = torch.where(batch.cold[seed], 1.0, WARM)
            kept = _kept(logits, batch.label[seed], batch.log_q[seed], batch.keep)
            mood_loss = self.objective(*kept, asked * weight[seed])
            self.log("train/mood_loss", mood_loss, on_step=False, on_epoch=True, batch_size=len(batch.mood))
            loss = loss + self.mood_weight * mood_loss
            mood_level = self.network.level.mood(batch.mood)[:, 0]
            level_loss = level_loss + _level_loss(mood_level, logits, asked * each[seed])
        loss = loss + LEVEL_WEIGHT * level_loss
        if not torch.isfinite(loss):
            raise UserError(
                f"the loss became {loss.item()} in epoch {self.current_epoch}: a smaller optimizer.lr may help."
            )
        return loss

    def on_train_batch_end(self, outputs: Any, batch: LinkBatch, batch_idx: int) -> None:
        """Move the average towards the weights of now; the first steps, which know little, are soon forgotten."""
        if self.averaging is None:
            return
        self.num_averaged += 1
        decay = min(self.averaging, float(self.num_averaged / (self.num_averaged + 10)))
        with torch.no_grad():
            now = self.network.state_dict()
            for name, average in self.averaged.state_dict().items():
                if average.is_floating_point():
                    average.lerp_(now[name], 1 - decay)
                else:
                    average.copy_(now[name])

    def on_validation_epoch_start(self) -> None:
        """Score with the weights of now, without a calibration while training goes on."""
        self.scorer.reset()
        self.metrics.reset()
        if self.trainer.state.fn == TrainerFn.FITTING:
            self.averaged.calibration.copy_(torch.tensor([1.0, 0.0]))

    def validation_step(self, batch: RankingBatch, batch_idx: int) -> None:
        """Rank a block of users and compare with what they did."""
        self.metrics.update(rank(self.scorer, batch, RankingMetrics.LONGEST), batch)

    def on_validation_epoch_end(self) -> None:
        """Calibrate probabilities, log the metrics as `val/...` and let the learning rate react."""
        if self.trainer.state.fn == TrainerFn.FITTING:
            self.averaged.calibration.copy_(torch.tensor(self.metrics.calibrate()))
            self.network.calibration.copy_(self.averaged.calibration)
        values = self._logged("val")
        if self.trainer.state.fn != TrainerFn.FITTING or self.trainer.sanity_checking:
            return
        if self.monitor not in values:
            raise UserError(f"monitor is {self.monitor!r}: choose among {', '.join(values)}.")
        self.recent = torch.cat([self.recent[1:], self.recent.new_tensor([values[self.monitor]])])
        # No two values of one of these metrics are more than 1 apart.
        missing = int(self.recent.isnan().sum())
        watched = float(self.recent.nanmean()) + (missing if self.monitor_mode == "min" else -missing)
        self.log(WATCHED, watched)
        scheduler = self.lr_schedulers()
        if isinstance(scheduler, ReduceLROnPlateau):
            scheduler.step(watched)

    def on_test_epoch_start(self) -> None:
        """Score with the weights of now."""
        self.scorer.reset()
        self.metrics.reset()

    def test_step(self, batch: RankingBatch, batch_idx: int) -> None:
        """Rank a block of users and compare with what they did."""
        self.validation_step(batch, batch_idx)

    def on_test_epoch_end(self) -> None:
        """Log the metrics as `test/...`."""
        self._logged("test")

    def on_predict_start(self) -> None:
        """Score with the weights of now."""
        self.scorer.reset()

    def predict_step(self, batch: RankingBatch, batch_idx: int) -> Ranked:
        """The best contents of a block of users."""
        return rank(self.scorer, batch, PREDICTED)

    def configure_optimizers(self) -> Any:
        """The optimizer and, where there is one, the scheduler."""
        optimizer = built("optimizer", self._make_optimizer, self.network.parameters())
        if self._make_scheduler is None:
            return optimizer
        # Not strict: Lightning looks the metric up even in epochs without validation.
        scheduler = built("scheduler", self._make_scheduler, optimizer)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "monitor": WATCHED, "strict": False},
        }

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """Does nothing at the time Lightning calls it; see `on_validation_epoch_end`."""

    def _groups(self, batch: LinkBatch) -> Tensor | None:
        """Number, from 0, of the seeds that count together as one, int64 [B]: a user's at one time; None for none."""
        if not self.equal_users:
            return None
        asked = torch.stack([batch.graph[USER].n_id[batch.user], batch.time])
        group: Tensor = torch.unique(asked, dim=1, return_inverse=True)[1]
        return group

    def _signals(self, batch: LinkBatch) -> Tensor | None:
        """What the network wants to know of paths between the seeds' ends, as of each seed's own time."""
        user, content = (
            batch.graph[kind].n_id[rows].cpu().numpy() for kind, rows in ((USER, batch.user), (CONTENT, batch.content))
        )
        return signals_of_pairs(self.network, self.scorer.graph, user, content, batch.time.cpu().numpy())

    def _logged(self, prefix: str) -> dict[str, float]:
        values = {f"{prefix}/{name}": value for name, value in self.metrics.compute().items()}
        self.log_dict(values)
        return values


class RankingMetrics(nn.Module):
    """Metrics of ranked blocks of users: `ndcg@10`, `recall@20`, `mrr@10`, and of pairs: `auroc` and `loss`.

    The pairs are the positives and their fixed negatives; `loss` is the binary cross-entropy of their logits against
    the soft label and 0. `recsys.evaluation` measures more, once training is over.
    """

    LONGEST = 20  # list that `update` needs

    def __init__(self) -> None:
        super().__init__()
        self.ranking = LinkPredMetricCollection(
            {"ndcg@10": LinkPredNDCG(10), "recall@20": LinkPredRecall(20), "mrr@10": LinkPredMRR(10)}
        )
        self.auroc = BinaryAUROC()
        self.loss = MeanMetric()
        self.logits: list[Tensor] = []
        self.labels: list[Tensor] = []
        self.calibration = (1.0, 0.0)

    def update(self, ranked: Ranked, batch: RankingBatch) -> None:
        """Add a block of users."""
        device = self.loss.device
        # An empty place (-1) becomes a content that nobody acted on, as the collection knows no empty places; positives
        # out of reach become contents that nobody is recommended.
        content = torch.from_numpy(np.where(ranked.content < 0, batch.num_contents, ranked.content))
        unborn = np.repeat(np.arange(len(batch.user)), batch.unborn)
        missed = np.stack([unborn, batch.num_contents + 1 + np.arange(len(unborn))])
        self.ranking.update(content.to(device), torch.from_numpy(np.hstack([batch.positive, missed])).to(device))
        known = ~np.isnan(ranked.negative_score)
        logits = torch.from_numpy(np.concatenate([ranked.positive_score, ranked.negative_score[known]])).to(device)
        label = torch.from_numpy(np.concatenate([batch.label, np.zeros(known.sum(), np.float32)])).to(device)
        is_positive = torch.arange(len(logits), device=device) < len(batch.label)
        # Probabilities, as the metric would take logits that happen to lie in [0, 1] for probabilities.
        self.auroc.update(logits.double().sigmoid(), is_positive)
        self.logits.append(logits.cpu())
        self.labels.append(label.cpu())

    def compute(self) -> dict[str, float]:
        """The metrics over all blocks since the last reset."""
        scale, shift = self.calibration
        for logits, label in zip(self.logits, self.labels, strict=True):
            loss = F.binary_cross_entropy_with_logits(logits * scale + shift, label, reduction="none")
            self.loss.update(loss.to(self.loss.device))
        values = {**self.ranking.compute(), "auroc": self.auroc.compute(), "loss": self.loss.compute()}
        return {name: float(value) for name, value in values.items()}

    def calibrate(self) -> tuple[float, float]:
        """Fit the scale and shift of the logits so far (see `fit_calibration`), which `loss` then goes by."""
        if self.logits:
            self.calibration = fit_calibration(torch.cat(self.logits).numpy(), torch.cat(self.labels).numpy())
        return self.calibration

    def reset(self) -> None:
        """Forget all blocks."""
        self.calibration = (1.0, 0.0)
        self.logits, self.labels = [], []
        self.ranking.reset()
        self.auroc.reset()
        self.loss.reset()


def _kept(logits: Tensor, label: Tensor, log_q: Tensor, keep: int) -> tuple[Tensor, Tensor, Tensor]:
    """The objective's arguments with only the `keep` hardest negatives."""
    logits, log_q = keep_hardest(logits, log_q, keep)
    return logits, label, log_q


def _weight(counted: Tensor, group: Tensor | None) -> Tensor:
    """Weight of each seed, [B]: what makes those `counted` [B] of a group come to 1; 1 without groups."""
    if group is None:
        return torch.ones_like(counted)
    in_all = torch.zeros_like(counted).index_add_(0, group, counted)
    return 1 / in_all.clamp_min(torch.finfo(counted.dtype).eps)[group]


def _level_loss(level: Tensor, logits: Tensor, weight: Tensor) -> Tensor:
    """How far levels [B] are from the mean logits of the negatives, [B, 1 + N]; gradients only lead to the levels."""
    error = level - logits.detach()[:, 1:].mean(dim=1)
    return (error.square() * weight).sum() / weight.sum().clamp_min(torch.finfo(weight.dtype).tiny)
