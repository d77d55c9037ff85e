"""What a sweep adds to its trials, and what two jobs at a time gain over one, on the generated platform.

`python -m benchmarks.sweep`. Overhead is the time between the ends of two trials of one process, less what the later
trial itself took. Trials an hour count from the first trial's start, so the start of the processes is left out.
"""

import json
import os
import tempfile
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np
from optuna.trial import FrozenTrial

from benchmarks._sweeps import sweep

TRIALS = 12
OPTIONS = ("sweeps=grid", f"seed=range({TRIALS})", "trainer.max_epochs=4", "callbacks.early_stopping.patience=99")


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        rates = {}
        for jobs in (1, 2):
            folder = Path(temporary) / str(jobs)
            trials = sweep(folder, *OPTIONS, f"sweeps.n_jobs={jobs}", "sweeps.threads=1")
            rates[jobs] = trials_an_hour(trials)
            print(
                f"{jobs} job(s) of one thread: {rates[jobs]:.0f} trials an hour, overhead a trial after the first "
                f"{overhead(folder, trials):.2f} s (trials of {own_seconds(folder, trials):.1f} s)"
            )
        print(f"two jobs give {rates[2] / rates[1]:.2f}x the trials an hour of one, on {os.cpu_count()} processors")


def trials_an_hour(trials: list[FrozenTrial]) -> float:
    """Trials over the time from the first one's start to the last one's end."""
    started = min(trial.datetime_start for trial in trials if trial.datetime_start)
    ended = max(trial.datetime_complete for trial in trials if trial.datetime_complete)
    return 3600 * len(trials) / (ended - started).total_seconds()


def overhead(folder: Path, trials: list[FrozenTrial]) -> float:
    """Median seconds between trials of one process that no trial accounts for."""
    of_process: dict[int, list[FrozenTrial]] = defaultdict(list)
    for trial in sorted(trials, key=lambda trial: trial.number):
        of_process[trial.user_attrs["lease"]["pid"]].append(trial)
    gaps = [
        (later.datetime_complete - earlier.datetime_complete).total_seconds() - seconds_of(folder, later)
        for one in of_process.values()
        for earlier, later in pairwise(one)
    ]
    return float(np.median(gaps))


def own_seconds(folder: Path, trials: list[FrozenTrial]) -> float:
    """Median seconds of a trial itself."""
    return float(np.median([seconds_of(folder, trial) for trial in trials]))


def seconds_of(folder: Path, trial: FrozenTrial) -> float:
    """Seconds that the trial's run accounts for."""
    cost = json.loads((folder / str(trial.number) / "metrics.json").read_text())["cost"]
    return float(sum(cost["seconds"].values()))


if __name__ == "__main__":
    main()
