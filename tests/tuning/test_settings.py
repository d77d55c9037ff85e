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
        "direction": None,
        "monitor": "val/ndcg@10",
        "monitor_mode": "max",
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
        ({"objective": ["val/a", "val/b"], "direction": "maximize"}, "for each of 2 objectives"),
        ({"monitor_mode": "up"}, "monitor_mode is up: it must be max or min"),
        ({"direction": "minimize"}, "minimize for val/ndcg@10, but monitor_mode is max"),
        ({"monitor_mode": "min", "direction": "maximize"}, "maximize for val/ndcg@10, but monitor_mode is min"),
        ({"objective": "val/loss", "monitor": "val/loss"}, "less is better: add monitor_mode=min"),
        ({"objective": "val/loss", "direction": "maximize"}, "maximize for val/loss, of which less is better"),
        ({"objective": "cost/parameters", "direction": "maximize"}, "maximize for cost/parameters"),
        ({"objective": ["val/auroc", "val/gini@10"], "direction": ["maximize"] * 2}, "maximize for val/gini@10"),
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


@pytest.mark.parametrize(
    ("objective", "monitor", "mode", "expected"),
    [
        ("val/ndcg@10", "val/ndcg@10", "max", ["maximize"]),
        ("val/loss", "val/loss", "min", ["minimize"]),
        ("val/score_std", "val/score_std", "min", ["minimize"]),  # whatever the monitor's mode says
        ("val/ndcg@10", "val/loss", "min", ["maximize"]),
        ("val/loss", "val/ndcg@10", "max", ["minimize"]),
        (
            ["val/ndcg@10", "cost/inference_seconds", "val/rmse"],
            "val/loss",
            "min",
            ["maximize", "minimize", "minimize"],
        ),
    ],
)
def test_the_direction_follows_the_objective(
    objective: str | list[str], monitor: str, mode: str, expected: list[str]
) -> None:
    assert settings(objective=objective, monitor=monitor, monitor_mode=mode).directions == expected


def test_a_grid_knows_its_own_end() -> None:
    assert settings(n_trials=None, sampler=Exhaustive()).n_trials is None
