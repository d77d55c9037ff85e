"""A Lightning callback that tells a study how a trial is doing, and ends trials without prospects."""

import math
from typing import Any

import lightning
import optuna
from lightning.pytorch.callbacks import Callback

from recsys.errors import UserError
from recsys.tuning.lease import Lease


class LeaseLostError(Exception):
    """Another process has taken the trial over; this one must leave it alone."""


class ReportEpochs(Callback):
    """Reports the objective after each validation.

    Args:
        trial: the trial.
        objective: the validation metric to report, which may lead to pruning; None, for studies whose objectives no
            pruner can judge, only looks after the lease.
        lease: the trial's lease.

    Attributes:
        epochs: validations so far, with those before a resumed run was killed.

    Raises:
        TrialPruned: from a training that is to end early.
        LeaseLostError: from one that another process has taken over.
        UserError: from one whose objective is unknown or no longer finite.
    """

    def __init__(self, trial: optuna.Trial, objective: str | None, lease: Lease) -> None:
        known = trial.storage.get_trial(trial._trial_id).intermediate_values
        self.epochs = 1 + max(known, default=-1)
        self._trial = trial
        self._objective = objective
        self._lease = lease

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Report, and raise if this was the last epoch that the trial gets."""
        if trainer.sanity_checking:
            return
        if self._lease.lost.is_set():
            raise LeaseLostError(f"trial {self._trial.number} is run by another process now")
        self.epochs = trainer.current_epoch + 1
        # All processes of a distributed training must agree on when to end, and only the first may speak to the study.
        prune = trainer.is_global_zero and self._report(trainer.callback_metrics, trainer.current_epoch)
        if trainer.strategy.broadcast(prune):
            raise optuna.TrialPruned(f"pruned after epoch {trainer.current_epoch}")

    def _report(self, metrics: dict[str, Any], epoch: int) -> bool:
        """Report the epoch's value; whether the trial should end."""
        if self._objective is None:
            return False
        if self._objective not in metrics:
            known = ", ".join(name for name in metrics if name.startswith("val/"))
            raise UserError(f"sweeps.objective is {self._objective}, which no epoch logs: choose among {known}.")
        value = float(metrics[self._objective])
        if not math.isfinite(value):
            raise UserError(f"{self._objective} became {value} in epoch {epoch}.")
        if epoch not in self._trial.storage.get_trial(self._trial._trial_id).intermediate_values:
            self._trial.report(value, step=epoch)
        return bool(self._trial.should_prune())
