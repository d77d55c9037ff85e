"""Writes what a sweep has found: `trials.csv`, `trial-epochs.csv`, and `report.html`, one self-contained page."""

import math
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from recsys.evaluation.page import write_page
from recsys.evaluation.significance import p_text
from recsys.files import replacing
from recsys.tuning import study_plots
from recsys.tuning.comparison import Comparison
from recsys.tuning.results import SweepResults
from recsys.tuning.space import shortened

BEST = 10  # how many trials are shown as the best
FEWEST = 4  # finished trials from which importances say anything
HEADLINES = ("ndcg@10", "recall@20", "hit_rate@10", "mrr@10", "map@10", "coverage@10", "auroc", "average_precision")
COUNTS = ("users", "positives")  # among the metrics, the same for every model


def write_sweep_report(sweep: SweepResults, comparison: Comparison) -> list[Path]:
    """Write the three files into the sweep's folder.

    Args:
        sweep: what is known of it so far.
        comparison: its ablation table.

    Returns:
        Their paths: the page, the trials, the epochs.
    """
    curves = sweep.curves()
    tables = {"trials.csv": trials_table(sweep), "trial-epochs.csv": curves}
    for name, table in tables.items():
        with replacing(sweep.folder / name) as temporary:
            table.to_csv(temporary, index=False)
    page = write_page(
        sweep.folder / "report.html",
        "study.html.jinja",
        package="recsys.tuning",
        sweep=sweep,
        states=sweep.states(),
        p_text=p_text,
        duration=timedelta(seconds=round(sum(seconds(trial) or 0 for trial in sweep.trials))),
        num_epochs=len(curves.dropna(subset=["value"])),
        pruned_epochs=_mean_epochs(sweep, curves, TrialState.PRUNED),
        finished_epochs=_mean_epochs(sweep, curves, TrialState.COMPLETE),
        command=sweep.best_command(),
        best=[_trial_row(trial) for trial in best_trials(sweep)],
        failed=[_trial_row(trial) for trial in sweep.trials if trial.state == TrialState.FAIL],
        tried=_tried(sweep),
        comparison=comparison,
        final=_final_rows(sweep),
        plots={name: Markup(plot) for name, plot in _plots(sweep, comparison, curves).items()},
        unweighted=_not_everywhere(sweep),
    )
    return [page, *(sweep.folder / name for name in tables)]


def best_trials(sweep: SweepResults) -> list[FrozenTrial]:
    """The trials that a reader wants to see: the best few, or the whole Pareto front."""
    return sweep.ranked()[:BEST] if len(sweep.objectives) == 1 else sweep.best()


def trials_table(sweep: SweepResults) -> pd.DataFrame:
    """A row for each trial.

    Returns:
        `number, state`, a column for each objective (of a pruned trial its last value) and for each param,
        `epochs, seconds, started, ended, error`.
    """
    params = sweep.params()
    rows = [
        [
            trial.number,
            trial.state.name,
            *(trial.values or [None] * len(sweep.objectives)),
            *(trial.params.get(name) for name in params),
            epochs(trial),
            seconds(trial),
            trial.datetime_start,
            trial.datetime_complete,
            trial.user_attrs.get("error"),
        ]
        for trial in sweep.trials
    ]
    names = ["number", "state", *sweep.objectives, *params, "epochs", "seconds", "started", "ended", "error"]
    return pd.DataFrame(rows, columns=names).astype({"epochs": "Int64"})


def epochs(trial: FrozenTrial) -> int | None:
    """How many epochs the trial has trained; None where that is not known."""
    known = trial.user_attrs.get("epochs", len(trial.intermediate_values) or None)
    return None if known is None else int(known)


def seconds(trial: FrozenTrial) -> float | None:
    """How long the trial took, s; None while it has not ended."""
    return None if trial.duration is None else round(trial.duration.total_seconds(), 3)


def measured(value: float) -> str:
    """A metric or a cost for reading: four decimals, none from a thousand on."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4f}" if abs(value) >= 0.001 or value == 0 else f"{value:.2e}"


def importances(sweep: SweepResults) -> dict[str, dict[str, float]]:
    """Objective -> param -> its share of the objective's variance over the finished trials, the largest first.

    By fANOVA (Hutter, Hoos, Leyton-Brown: An Efficient Approach for Assessing Hyperparameter Importance, 2014), over
    the params that vary and that every finished trial has. An objective that does not vary is absent.
    """
    trials = sweep.completed()
    params = [name for name in _varying(sweep) if all(name in trial.params for trial in trials)]
    if len(trials) < FEWEST or not params:
        return {}
    return {
        objective: get_param_importances(
            sweep.study,
            evaluator=FanovaImportanceEvaluator(seed=0),
            params=params,
            target=lambda trial, place=place: trial.values[place],
        )
        for place, objective in enumerate(sweep.objectives)
        if len({trial.values[place] for trial in trials}) > 1
    }


def _varying(sweep: SweepResults) -> list[str]:
    """Params with more than one value among the finished trials."""
    trials = sweep.completed()
    return [name for name in sweep.params() if len({t.params[name] for t in trials if name in t.params}) > 1]


def _not_everywhere(sweep: SweepResults) -> list[str]:
    """Params that vary but that not every finished trial has, so that they have no importance."""
    return [name for name in _varying(sweep) if any(name not in trial.params for trial in sweep.completed())]


def _plots(sweep: SweepResults, comparison: Comparison, curves: pd.DataFrame) -> dict[str, str]:
    """Name -> SVG of the plots that the sweep has data for."""
    drawn: dict[str, str] = {}
    learned = study_plots.learning_curves(sweep, curves)
    if learned is not None:
        drawn["curves"] = learned
    if not sweep.completed():
        return drawn
    drawn["history"] = study_plots.history(sweep)
    if len(sweep.objectives) > 1:
        drawn["pareto"] = study_plots.pareto_front(sweep)
    weights = importances(sweep)
    if weights:
        drawn["importances"] = study_plots.importances(weights)
    params = _varying(sweep)
    if params:
        for place in range(len(sweep.objectives)):
            drawn[f"slices{place}"] = study_plots.slices(sweep, place, params)
            drawn[f"parallel{place}"] = study_plots.parallel(sweep, place, params)
    if comparison.compares:
        drawn["forest"] = study_plots.forest(comparison)
    return drawn


def _mean_epochs(sweep: SweepResults, curves: pd.DataFrame, state: TrialState) -> float | None:
    """How many epochs the trials in a state have on average; None if there is none with epochs."""
    counts = curves.dropna(subset=["value"]).groupby("trial").size()
    of_state = counts[counts.index.isin([trial.number for trial in sweep.trials if trial.state == state])]
    return float(of_state.mean()) if len(of_state) else None


def _trial_row(trial: FrozenTrial) -> dict[str, Any]:
    """A trial for the page's tables."""
    return {
        "number": trial.number,
        "values": [measured(value) for value in trial.values or []],
        "params": {name: shortened(value) for name, value in trial.params.items()},
        "epochs": epochs(trial),
        "seconds": seconds(trial),
        "error": trial.user_attrs.get("error", "no error was noted"),
    }


def _tried(sweep: SweepResults) -> list[dict[str, Any]]:
    """A row for each param: what was asked for, how many values were tried, and the best trial's."""
    best = sweep.best()[:1]
    rows = []
    for name in dict.fromkeys([*sweep.space, *sweep.params()]):
        values = {trial.params[name] for trial in sweep.trials if name in trial.params}
        chosen = next((shortened(trial.params[name]) for trial in best if name in trial.params), None)
        rows.append(
            {
                "name": name,
                "space": sweep.space.get(name, ""),
                "count": len(values),
                "best": chosen,
            }
        )
    return rows


def _final_rows(sweep: SweepResults) -> list[dict[str, Any]]:
    """A row for each metric of the final runs: on test and validation its mean and standard deviation over seeds."""
    if sweep.final is None:
        return []
    test: Mapping[str, Mapping[str, Any]] = sweep.final["test"]
    validation: Mapping[str, Mapping[str, Any]] = sweep.final.get("validation", {})
    searched = [objective.removeprefix("val/") for objective in sweep.objectives]
    names = [
        name
        for name in dict.fromkeys((*searched, *HEADLINES, *test))
        if name in test and name not in ("users", "positives")
    ]
    return [
        {
            "name": name,
            "headline": name in searched or name in HEADLINES,
            "test": _spread(test[name]),
            "validation": _spread(validation[name]) if name in validation else "–",
        }
        for name in names
    ]


def _spread(metric: Mapping[str, Any]) -> str:
    """Mean and standard deviation, the latter only of several seeds."""
    std = metric.get("std")
    several = len(metric["values"]) > 1 and std is not None and math.isfinite(std)
    return f"{metric['mean']:.4f} ± {std:.4f}" if several else f"{metric['mean']:.4f}"
