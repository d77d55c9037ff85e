"""What a sweep refuses before it begins."""

from functools import partial
from typing import Any

import optuna
import pytest

from recsys.errors import UserError
from recsys.tuning.exhaustive import Exhaustive
from recsys.tuning.settings import SweepSettings


def settings(**changed: Any) -> SweepSettings:
    usual: dict[str, Any] = {
        "name": "s",
        "folder": "runs/sweeps/s",
        "storage": None,
        "objective": "val/ndcg@10",
        "direction": "maximize",
        "space": {"seed": "0,1"},
        "when": {},
        "variants": {},
        "overrides": [],
        "baseline": {},
        "n_trials": 4,
        "n_jobs": 1,
        "threads": None,
        "sampler": partial(optuna.samplers.RandomSampler),
        "pruner": None,
        "seed": 0,
        "lease": 60,
        "attempts": 3,
        "max_failures": 5,
        "final_seeds": 3,
        "best_dir": "conf/experiment",
        "worker": None,
    }
    return SweepSettings(**{**usual, **changed})


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"objective": "test/ndcg@10"}, "must not see the test set; take val/ndcg@10"),
        (
            {"objective": ["val/ndcg@10", "test/auroc"], "direction": ["maximize", "maximize"]},
            "must not see the test set",
        ),
        ({"objective": "ndcg@10"}, "choose val/METRIC or one of cost/training_seconds"),
        ({"direction": "up"}, "give maximize or minimize"),
        ({"objective": ["val/a", "val/b"]}, "for each of 2 objectives"),
        (
            {
                "objective": ["val/a", "cost/inference_seconds"],
                "direction": ["maximize", "minimize"],
                "pruner": optuna.pruners.MedianPruner(),
            },
            "several objectives cannot prune.*sweeps/pruner=none",
        ),
        ({"objective": "cost/parameters", "pruner": optuna.pruners.MedianPruner()}, "only known at a trial's end"),
        ({"n_trials": None}, "sweeps.n_trials is missing"),
        ({"n_trials": -1}, "sweeps.n_trials is -1"),
        ({"n_trials": 0, "final_seeds": 0}, "tests nothing"),
        ({"n_jobs": 0}, "sweeps.n_jobs is 0"),
        ({"max_failures": -1}, "sweeps.max_failures is -1"),
    ],
)
def test_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        settings(**changed)


def test_a_grid_knows_its_own_end() -> None:
    assert settings(n_trials=None, sampler=Exhaustive()).n_trials is None
