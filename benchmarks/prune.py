"""What pruning saves on kuairand: epochs and the best validation NDCG@10 of a sweep with and without it, same seeds.

`python -m benchmarks.prune [FOLDER]`; the environment variable RECSYS_DATA names the folder of real logs. Both sweeps
try the same configurations, drawn at random, for 30 epochs each, so that only the pruner differs. It takes about 20
minutes on one thread; with FOLDER it can be stopped and goes on there.
"""

import os
import sys
import tempfile
from pathlib import Path

from optuna.trial import FrozenTrial, TrialState

from benchmarks._sweeps import sweep

DATA = Path(os.environ.get("RECSYS_DATA", "../shared/data"))
TRIALS = 16


def main() -> None:
    if not (DATA / "kuairand").is_dir():
        print(f"skipped: no {DATA / 'kuairand'} (set RECSYS_DATA)")
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else temporary)
        options = (
            *("sweeps=tune", "sweeps/sampler=random", f"sweeps.n_trials={TRIALS}", "sweeps.threads=1"),
            *("experiment=kuairand", f"data.path={DATA / 'kuairand'}", "model.hidden=32", "loader.snapshots=6"),
            *("trainer.max_epochs=30", "callbacks.early_stopping.patience=99"),
        )
        whole = sweep(folder / "whole", *options, "sweeps/pruner=none")
        pruned = sweep(folder / "pruned", *options, "sweeps/pruner=successive_halving")
    for name, trials in (("whole", whole), ("pruned", pruned)):
        cut = sum(trial.state == TrialState.PRUNED for trial in trials)
        print(f"{name}: {len(trials)} trials, {cut} pruned, {epochs(trials)} epochs, best {best(trials):.4f}")
    print(
        f"pruned reaches {best(pruned) / best(whole):.3f} of the best NDCG@10 in {epochs(pruned) / epochs(whole):.2f} "
        "of the epochs"
    )


def epochs(trials: list[FrozenTrial]) -> int:
    """Epochs of all trials together."""
    return sum(trial.user_attrs["epochs"] for trial in trials)


def best(trials: list[FrozenTrial]) -> float:
    """The best value of a completed trial."""
    return max(trial.values[0] for trial in trials if trial.state == TrialState.COMPLETE)


if __name__ == "__main__":
    main()
