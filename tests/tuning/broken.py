"""Callbacks with which a trial goes wrong in its own way, each time for real."""

import ctypes
import os
import signal
import time
from pathlib import Path

import lightning
from lightning.pytorch.callbacks import Callback


class Raises(Callback):
    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        raise ZeroDivisionError("nobody expected this")


class Segfaults(Callback):
    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        ctypes.string_at(0)


class IsKilled(Callback):
    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class Waits(Callback):
    """Waits in the second epoch until it is killed, unless a file says that it need not."""

    def __init__(self, unless: str) -> None:
        self.unless = unless

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        while trainer.current_epoch == 2 and not Path(self.unless).exists():
            time.sleep(0.05)
