"""Sweep folders with hand-made trials in a real journal study."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from recsys.tuning.storage import open_storage
from recsys.tuning.study import PLAN

COMPLETE, PRUNED, FAIL = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL
RUNNING, WAITING = TrialState.RUNNING, TrialState.WAITING
STARTED = datetime(2024, 5, 6, 7, 8, 9)

VARIANTS = ("default", "no_tags", "no_moods", "$x & <y>")
# The params that the tests use: how their values are asked for, and what Optuna makes of it.
SPACE: dict[str, tuple[str, BaseDistribution]] = {
    "model.heads": ("1,2,4,8", CategoricalDistribution((1, 2, 4, 8))),
    "optimizer.lr": ("tag(log, interval(1e-4, 1e-1))", FloatDistribution(1e-4, 1e-1, log=True)),
    "model.num_layers": ("range(1, 5)", IntDistribution(1, 4)),
    "mood_weight": ("interval(0, 1)", FloatDistribution(0, 1)),
    "loader": ("snapshot,neighbor", CategoricalDistribution(("snapshot", "neighbor"))),
    "variant": (", ".join(VARIANTS), CategoricalDistribution(VARIANTS)),
    "seed": ("range(0, 5)", IntDistribution(0, 4)),
}


def trial(
    params: Mapping[str, Any] | None = None,
    value: float | Sequence[float] | None = None,
    state: TrialState = COMPLETE,
    reported: Mapping[int, float] | None = None,
    seconds: float = 60,
    **attributes: Any,
) -> FrozenTrial:
    """A trial; its number is its place among those that `make_sweep` is given."""
    values = None if value is None else [value] if isinstance(value, (int, float)) else list(value)
    made = create_trial(
        state=state,
        values=values,
        params=dict(params or {}),
        distributions={name: SPACE[name][1] for name in params or {}},
        intermediate_values=dict(reported or {}),
        user_attrs=attributes,
    )
    made.datetime_start = None if state == WAITING else STARTED
    made.datetime_complete = STARTED + timedelta(seconds=seconds) if state.is_finished() else None
    return made


def make_sweep(
    folder: Path,
    trials: Sequence[FrozenTrial],
    *,
    objectives: Sequence[str] = ("val/ndcg@10",),
    directions: Sequence[str] = ("maximize",),
    baseline: Mapping[str, Any] | None = None,
    variants: Mapping[str, Sequence[str]] | None = None,
    storage: str | None = None,
    n_trials: int | None = None,
    final: Mapping[str, Any] | None = None,
) -> Path:
    """Write `sweep.json`, the study and `final.json` as a sweep does; gives the folder."""
    folder.mkdir(parents=True)
    name = folder.name
    study = optuna.create_study(study_name=name, storage=open_storage(storage, folder), directions=list(directions))
    study.set_user_attr(PLAN, {"overrides": ["data=movielens", "data.path=/a b"], "variants": dict(variants or {})})
    study.add_trials(trials)
    varied = dict.fromkeys(key for made in trials for key in made.params)
    content = {
        "name": name,
        "storage": storage,
        "objectives": list(objectives),
        "directions": list(directions),
        "baseline": dict(baseline or {}),
        "space": {key: SPACE[key][0] for key in SPACE if key in varied},
        "n_trials": len(trials) if n_trials is None else n_trials,
        "final_seeds": 0,
        "command": f"python train.py -m sweeps={name} data=movielens",
    }
    (folder / "sweep.json").write_text(json.dumps(content))
    if final is not None:
        (folder / "final.json").write_text(json.dumps(final))
    return folder


def write_users(folder: Path, number: int, users: Mapping[Any, float], metric: str = "ndcg@10") -> None:
    """Write the `per_user.parquet` of a trial: user id -> metric."""
    path = folder / str(number) / "per_user.parquet"
    path.parent.mkdir(exist_ok=True)
    pd.DataFrame({"user_id": list(users), "cold": False, metric: list(users.values())}).to_parquet(path, index=False)


def write_log(folder: Path, number: int, version: int = 0, **columns: Sequence[float | None]) -> None:
    """Write a `metrics.csv` of a trial, as Lightning's logger does."""
    path = folder / str(number) / "logs" / f"version_{version}" / "metrics.csv"
    path.parent.mkdir(parents=True)
    pd.DataFrame(columns).to_csv(path, index=False)
