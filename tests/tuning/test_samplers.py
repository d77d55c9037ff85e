"""Every sampler and pruner of `sweeps/` does its work on a study of ours."""

import math
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from hydra.utils import instantiate
from optuna.trial import TrialState

from recsys.tuning.phase import seeded
from recsys.tuning.space import Params, parse_space
from recsys.tuning.storage import open_storage
from recsys.tuning.study import join_study
from tests.conftest import ROOT

SWEEPS = ROOT / "sweeps"
SAMPLERS = sorted(path.stem for path in (SWEEPS / "sampler").glob("*.yaml"))
CHOOSING = [name for name in SAMPLERS if name not in ("grid", "brute_force")]
PRUNERS = sorted(path.stem for path in (SWEEPS / "pruner").glob("*.yaml") if path.stem != "none")
SPACE = parse_space({"x": "interval(-1, 1)", "y": "range(1, 6)", "lr": "tag(log, interval(1e-4, 1))"}, {}, {})


def built(group: str, name: str) -> Any:
    content = yaml.safe_load((SWEEPS / group / f"{name}.yaml").read_text().replace("${trainer.max_epochs}", "9"))
    return instantiate(content)


def search(folder: Path, sampler: str, n_trials: int = 15) -> list[Params]:
    chooser = seeded(built("sampler", sampler), seed=3, first=None)
    shared = join_study("s", open_storage(None, folder), directions=["maximize"], plan={}, n_trials=n_trials)
    while trial := shared.take(chooser):
        params = SPACE.suggest(trial)
        shared.study.tell(trial, -(float(params["x"] or 0) ** 2) + math.log10(float(params["lr"] or 1)))
    return [trial.params for trial in shared.trials()]


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("name", CHOOSING)
def test_samplers_repeat_themselves_also_after_a_break(tmp_path: Path, name: str) -> None:
    whole = search(tmp_path / "whole", name)
    assert len({params["x"] for params in whole}) == len(whole), "the sampler asks the same again"
    search(tmp_path / "broken", name, n_trials=7)
    assert search(tmp_path / "broken", name) == whole


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("name", PRUNERS)
def test_pruners_give_up_the_worse_and_never_the_best(tmp_path: Path, name: str) -> None:
    pruner = built("pruner", name)
    shared = join_study("s", open_storage(None, tmp_path), directions=["maximize"], plan={}, n_trials=30, pruner=pruner)
    while trial := shared.take(lambda number: optuna.samplers.RandomSampler(seed=number)):
        # Every third trial is good and gets better; the others are bad and get worse.
        good = trial.number % 3 == 0
        pruned = False
        for epoch in range(9):
            trial.report(0.1 + 0.1 * epoch if good else 0.05 - (trial.number + epoch) / 1000, epoch)
            if trial.should_prune():
                pruned = True
                break
        shared.study.tell(trial, None if pruned else float(good), TrialState.PRUNED if pruned else TrialState.COMPLETE)
    states = {good: [t.state for t in shared.trials() if (t.number % 3 == 0) == good] for good in (True, False)}
    assert states[False].count(TrialState.PRUNED) >= 5
    assert states[True].count(TrialState.PRUNED) <= 4
    assert shared.study.best_trial.number % 3 == 0
