"""Runs sweeps through the command line and reads what their studies say, for `sweep.py` and `prune.py`."""

import os
import subprocess
import sys
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial

from recsys.tuning.storage import open_storage

ROOT = Path(__file__).parents[1]


def sweep(folder: Path, *options: str) -> list[FrozenTrial]:
    """The trials of a sweep in `folder`, which goes on if it was begun there before."""
    asked = [f"sweeps.folder={folder}", "sweeps.name=benchmark", "sweeps.final_seeds=0"]
    subprocess.run(
        [sys.executable, str(ROOT / "train.py"), "-m", *options, *asked],
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "WANDB_MODE": "disabled"},
    )
    return optuna.load_study(study_name="benchmark", storage=open_storage(None, folder)).trials
