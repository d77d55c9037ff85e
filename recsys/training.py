"""How a network is fitted: once with validation, which chooses the epochs, and once more on all that comes before test.

Both may be killed at any time: `fit` and `refit` on the same folder then go on where they were.
"""

import json
import os
import time
from collections.abc import Callable, Iterable, Sequence, Set
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import lightning
import torch
from lightning.pytorch.callbacks import Callback, Checkpoint, EarlyStopping, LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.strategies.launchers import _MultiProcessingLauncher

from recsys.building import built
from recsys.errors import UserError
from recsys.files import replacing
from recsys.loading.datamodule import GraphDataModule
from recsys.models.lightning_module import LinkPredictionModule

LAST, REFIT = "last.ckpt", "refit.ckpt"
CHOICE = "choice.json"
# What a checkpoint must hold to take its weights, and to go on from it.
WEIGHTS = frozenset({"state_dict", "epoch"})
TO_RESUME = WEIGHTS | {"pytorch-lightning_version", "global_step", "loops", "callbacks", "optimizer_states"}

# Callbacks that watch a training with validation or choose from it; a refit has nothing for them to see.
WATCHING = (Checkpoint, EarlyStopping, LearningRateMonitor)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What validation has chosen; `choice.json` beside the checkpoints, written when the training has ended.

    Attributes:
        checkpoint: path of the best epoch's checkpoint, seen from the file's folder; None where no callback keeps one,
            and so the last epoch's weights count.
        epochs: trained until then, that epoch included.
        rates: learning rates of each of these epochs, one for each group of parameters.
        max_epochs: the most epochs that the training was allowed; one that is allowed more goes on.
        seconds: that the training took, over all sittings.
    """

    checkpoint: str | None
    epochs: int
    rates: list[list[float]]
    max_epochs: int | None
    seconds: float = field(compare=False)

    def write(self, folder: Path) -> None:
        """Write it into `folder`."""
        with replacing(folder / CHOICE) as temporary:
            temporary.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """The choice in `folder`; None before the training has ended.

        Raises:
            UserError: if its file is damaged.
        """
        path = folder / CHOICE
        if not path.is_file():
            return None
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise UserError(
                f"{path} is damaged, so what validation has chosen is not known: begin anew without ckpt=."
            ) from error


class RecordedRates(Callback):
    """Keeps the learning rates of each epoch, over all sittings of a resumed training.

    Attributes:
        rates: of each epoch so far, one for each group of parameters.
    """

    def __init__(self) -> None:
        self.rates: list[list[float]] = []

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Record the rates that the epoch begins with."""
        self.rates = [*self.rates[: trainer.current_epoch], [group["lr"] for group in _groups(trainer)]]

    def state_dict(self) -> dict[str, Any]:
        """The rates, for a checkpoint."""
        return {"rates": self.rates}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.rates = state_dict["rates"]


class Stopwatch(Callback):
    """Seconds of a training over all its sittings, up to the last checkpoint of each that was killed."""

    def __init__(self) -> None:
        self._earlier = 0.0
        self._since: float | None = None

    @property
    def seconds(self) -> float:
        """So far."""
        return self._earlier + (0.0 if self._since is None else time.perf_counter() - self._since)

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Begin a sitting."""
        self._since = time.perf_counter()

    def state_dict(self) -> dict[str, Any]:
        """The seconds, for a checkpoint."""
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._earlier = state_dict["seconds"]


class Relocated(Callback):
    """Has checkpoints know the earlier ones in their folder, by whatever path the folder was reached when it had them.

    Lightning forgets the best epoch where the path is another one, be it relative, or of a folder that was moved.

    Args:
        folder: of the checkpoints.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def on_load_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Rewrite what the callbacks are about to go on from."""
        for state in checkpoint["callbacks"].values():
            if "dirpath" not in state:
                continue
            before, state["dirpath"] = state["dirpath"], str(self._folder)
            for name in ("best_model_path", "kth_best_model_path", "last_model_path"):
                state[name] = self._here(state[name], before)
            state["best_k_models"] = {self._here(path, before): s for path, s in state["best_k_models"].items()}

    def _here(self, path: str, before: str) -> str:
        return str(self._folder / os.path.relpath(path, before)) if path else path


class ReplayedRates(Callback):
    """Gives each epoch the learning rates that it had in another training.

    Args:
        rates: of each epoch, one for each group of parameters.
    """

    def __init__(self, rates: Sequence[Sequence[float]]) -> None:
        self._rates = rates

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Set the rates of the epoch that begins."""
        for group, rate in zip(_groups(trainer), self._rates[trainer.current_epoch], strict=True):
            group["lr"] = rate


def fit(
    make_trainer: Callable[..., lightning.Trainer],
    callbacks: Iterable[Callback],
    module: LinkPredictionModule,
    data: GraphDataModule,
    *,
    folder: Path,
    ckpt: str | None,
    **options: Any,
) -> Choice:
    """Train with validation; `module` ends with the weights of its best epoch.

    Args:
        make_trainer: builds the trainer.
        callbacks: of the training.
        module: to train.
        data: its batches.
        folder: where checkpoints go.
        ckpt: a checkpoint to go on from; one of another folder asks for this folder's own last one, if there is any.
            None begins anew.
        options: further ones of the trainer.

    Returns:
        What validation has chosen.

    Raises:
        UserError: if the training was interrupted, or what it goes on from is damaged or of another network.
    """
    recorded, watch, callbacks = RecordedRates(), Stopwatch(), list(callbacks)
    relocated = Relocated(folder)
    trainer = built("trainer", make_trainer, callbacks=[*callbacks, recorded, watch, relocated], **options)
    choice = None if ckpt is None else Choice.read(folder)
    if choice is None or choice.max_epochs != trainer.max_epochs:
        start = None if ckpt is None else _point_to_resume_from(folder, Path(ckpt))
        if start is not None:
            _load_weights(module, start, TO_RESUME)  # while nothing of the earlier training is gone
        for stale in (CHOICE, REFIT):
            (folder / stale).unlink(missing_ok=True)
        _train(trainer, module, data, start)
        choice = _choice(trainer, callbacks, recorded, watch, folder)
        if choice.checkpoint is not None and trainer.is_global_zero:
            choice.write(folder)
    if choice.checkpoint is not None:
        _load_weights(module, folder / choice.checkpoint)
    return choice


def refit(
    make_trainer: Callable[..., lightning.Trainer],
    callbacks: Iterable[Callback],
    module: LinkPredictionModule,
    data: GraphDataModule,
    choice: Choice,
    *,
    folder: Path,
) -> tuple[Path | None, float]:
    """Train for as many epochs as validation has chosen, without any validation.

    The recipe is fixed: every epoch has the learning rates that it had in the training that validation has watched, no
    scheduler reacts to anything, and the weights after the last epoch count. An epoch has as many steps as `data` gives
    it: from windows as many as before, each with more pairs, unless they are split; by neighbour sampling more.

    Args:
        make_trainer: builds the trainer.
        callbacks: of the first training, as they were before it; those that only watch are left out.
        module: to train, with fresh weights and without a scheduler.
        data: its batches.
        choice: of `fit`.
        folder: where `refit.ckpt` is written after each epoch; one that is there is gone on from.

    Returns:
        The checkpoint of the last epoch, None where the trainer keeps none, and the seconds of all sittings.

    Raises:
        UserError: if the training was interrupted, or what it goes on from is damaged or of another network.
    """
    kept = ModelCheckpoint(dirpath=folder, filename=Path(REFIT).stem, enable_version_counter=False)
    watch = Stopwatch()
    taken = [one for one in callbacks if not isinstance(one, WATCHING)]
    trainer = built(
        "trainer",
        make_trainer,
        callbacks=[*taken, ReplayedRates(choice.rates), watch, kept, Relocated(folder)],
        logger=False,
        max_epochs=choice.epochs,
        limit_val_batches=0,
    )
    checkpoint = folder / REFIT
    start = checkpoint if checkpoint.is_file() else None
    if start is not None:
        _load_weights(module, start, TO_RESUME)
    _train(trainer, module, data, start)
    if not checkpoint.is_file():
        return None, watch.seconds
    _load_weights(
        module, checkpoint
    )  # where a callback averages weights, the checkpoint surely holds the averaged ones
    return checkpoint, watch.seconds


def fresh(callbacks: Iterable[Callback], folder: Path | None = None) -> list[Callback]:
    """Copies of callbacks that no trainer has had yet, for a training of their own.

    Args:
        callbacks: to copy.
        folder: where their checkpoints go; None leaves that as it is.
    """
    copies = [deepcopy(callback) for callback in callbacks]
    for copy in copies:
        if folder is not None and isinstance(copy, ModelCheckpoint):
            copy.dirpath = str(folder)
    return copies


def last_checkpoint(run_dir: Path) -> Path | None:
    """The checkpoint from which a run that was killed goes on; None if it has none yet."""
    found = [*run_dir.glob(f"checkpoints/{LAST}"), *run_dir.glob(f"checkpoints/*/{LAST}")]
    return found[0] if found else None


def best_checkpoint(callbacks: Iterable[Callback]) -> Path | None:
    """The checkpoint of the best epoch, if one of the callbacks keeps it and there was an epoch."""
    kept = [callback for callback in callbacks if isinstance(callback, ModelCheckpoint) and callback.monitor]
    return Path(kept[0].best_model_path) if kept and kept[0].best_model_path else None


def _choice(
    trainer: lightning.Trainer, callbacks: Iterable[Callback], recorded: RecordedRates, watch: Stopwatch, folder: Path
) -> Choice:
    best = best_checkpoint(callbacks)
    if best is None:
        epochs, name = trainer.current_epoch, None
    else:
        epochs = int(_read(best)["epoch"]) + 1
        name = os.path.relpath(best, folder)
    return Choice(
        checkpoint=name,
        epochs=epochs,
        rates=recorded.rates[:epochs],
        max_epochs=trainer.max_epochs,
        seconds=watch.seconds,
    )


def _point_to_resume_from(folder: Path, ckpt: Path) -> Path | None:
    if ckpt.resolve().parent == folder.resolve() and ckpt.name != REFIT:
        return ckpt
    return folder / LAST if (folder / LAST).is_file() else None


def _train(trainer: lightning.Trainer, module: LinkPredictionModule, data: GraphDataModule, ckpt: Path | None) -> None:
    if isinstance(trainer.strategy.launcher, _MultiProcessingLauncher):
        raise UserError(
            "trainer.strategy copies this process to make others, which the log and its loaders do not survive: use "
            "ddp_find_unused_parameters_true, which starts them anew."
        )
    # weights_only: nothing in a checkpoint may run code.
    trainer.fit(module, datamodule=data, ckpt_path=ckpt, weights_only=True)
    if trainer.interrupted:
        raise UserError("training was interrupted; resume it with ckpt=PATH of the run's checkpoints/last.ckpt.")


def _load_weights(module: LinkPredictionModule, checkpoint: Path, parts: Set[str] = WEIGHTS) -> None:
    content = _read(checkpoint, parts)
    try:
        module.load_state_dict(content["state_dict"])
    except (RuntimeError, TypeError) as error:
        first = " ".join(" ".join(str(error).splitlines()[:2]).split()).rstrip(".")
        raise UserError(
            f"{checkpoint} is of another network: give the options as they were in the run that wrote it, or begin "
            f"anew without ckpt= ({first})."
        ) from error
    module.scorer.reset()


def _read(checkpoint: Path, parts: Set[str] = WEIGHTS) -> dict[str, Any]:
    """The content of a checkpoint that must have these parts."""
    try:
        content = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except Exception as error:  # which one depends on the place of the damage
        raise _damaged(checkpoint) from error
    if not isinstance(content, dict) or not content.keys() >= parts:
        raise _damaged(checkpoint)
    return content


def _damaged(checkpoint: Path) -> UserError:
    return UserError(f"{checkpoint} is missing, damaged or no checkpoint of a run: begin anew without ckpt=.")


def _groups(trainer: lightning.Trainer) -> list[dict[str, Any]]:
    return [group for optimizer in trainer.optimizers for group in optimizer.param_groups]
