"""The ablation table: configurations over their seeds, each compared with the baseline user by user, on validation."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from optuna.trial import FrozenTrial, TrialState

from recsys.evaluation.significance import PairedDifference, compare_with_baseline
from recsys.sources.base import USER
from recsys.tuning.results import SweepResults
from recsys.tuning.space import SEED, configuration, summary

Configuration = tuple[tuple[str, Any], ...]


@dataclass(frozen=True, kw_only=True)
class Row:
    """A configuration.

    Attributes:
        label: what sets it apart from the others.
        is_baseline: whether the others are compared with it.
        seeds: of its finished trials.
        mean: of the objective over the seeds.
        std: likewise, with n - 1; None for one seed.
        difference: from the baseline, in each user's metric averaged over the seeds; None for the baseline itself, and
            where nothing could be compared.
        reason: why it could not be compared, if so.
    """

    label: str
    is_baseline: bool
    seeds: tuple[Any, ...]
    mean: float
    std: float | None
    difference: PairedDifference | None
    reason: str


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The ablation table.

    Attributes:
        objective: what `mean` and the differences are of.
        maximizes: whether more of it is better.
        rows: the baseline, then the others, the best first.
        notes: sentences on what could not be compared, and why.
    """

    objective: str
    maximizes: bool
    rows: tuple[Row, ...]
    notes: tuple[str, ...]

    @property
    def compares(self) -> bool:
        """Whether any configuration could be compared with the baseline."""
        return any(row.difference for row in self.rows)

    @property
    def says_something(self) -> bool:
        """Whether the table holds more than a list of trials does."""
        return any(row.is_baseline or len(row.seeds) > 1 for row in self.rows)


class IncomparableError(Exception):
    """Why a configuration cannot be compared."""


def compare_configurations(sweep: SweepResults) -> Comparison:
    """Put together the trials that differ only by their seed, and compare them with the sweep's baseline.

    The metric is the first objective that users have one by one. Two configurations are only compared over the same
    seeds and the same users: anything else would compare the seeds or the users.
    """
    groups = _groups(sweep)
    notes = []
    unfinished = len({configuration(trial.params) for trial in sweep.trials if trial.params}) - len(groups)
    if unfinished:
        notes.append(f"{unfinished} of the configurations tried so far have no finished trial.")
    objective = 0
    baseline: Configuration | None = None
    compared: dict[Configuration, PairedDifference] = {}
    reasons: dict[Configuration, str] = {}
    try:
        baseline = _baseline(sweep, groups)
        objective, metric = _metric(sweep, groups[baseline])
        compared, reasons = _differences(sweep, groups, baseline, metric)
    except IncomparableError as reason:
        notes.append(f"Nothing is compared: {reason}.")

    sign = -1 if sweep.maximizes(objective) else 1
    means = {group: float(np.mean([t.values[objective] for t in trials])) for group, trials in groups.items()}
    labels = _labels(list(groups))
    notes += _lucky_seed(sweep, groups, means, labels)
    return Comparison(
        objective=sweep.objectives[objective],
        maximizes=sweep.maximizes(objective),
        rows=tuple(
            Row(
                label=labels[group],
                is_baseline=group == baseline,
                seeds=_seeds(groups[group]),
                mean=means[group],
                std=_std([trial.values[objective] for trial in groups[group]]),
                difference=compared.get(group),
                reason=reasons.get(group, ""),
            )
            for group in sorted(groups, key=lambda group: (group != baseline, sign * means[group]))
        ),
        notes=tuple(notes),
    )


def _lucky_seed(
    sweep: SweepResults,
    groups: Mapping[Configuration, list[FrozenTrial]],
    means: Mapping[Configuration, float],
    labels: Mapping[Configuration, str],
) -> list[str]:
    """A note where the best single trial owes its place to its seed: another configuration is better on average."""
    most = max(map(len, groups.values()), default=0)
    if most < 2 or len(sweep.objectives) > 1:
        return []
    choose = max if sweep.maximizes() else min
    steady = choose((group for group, trials in groups.items() if len(trials) == most), key=means.__getitem__)
    best = sweep.ranked()[0]
    lucky = configuration(best.params)
    if lucky == steady:
        return []
    seed = best.params.get(SEED)
    return [f"The best single trial is {labels[lucky]} with seed {seed}; {labels[steady]} is better over {most} seeds."]


def _groups(sweep: SweepResults) -> dict[Configuration, list[FrozenTrial]]:
    """Configuration -> its finished trials, one a seed: the first where a sampler has asked again."""
    groups: dict[Configuration, dict[Hashable, FrozenTrial]] = {}
    for trial in sweep.completed():
        groups.setdefault(configuration(trial.params), {}).setdefault(trial.params.get(SEED), trial)
    return {group: list(of_seeds.values()) for group, of_seeds in groups.items()}


def _baseline(sweep: SweepResults, groups: Mapping[Configuration, list[FrozenTrial]]) -> Configuration:
    """The one configuration that has the baseline's params."""
    asked = {name: value for name, value in sweep.baseline.items() if name != SEED}
    if not asked:
        raise IncomparableError("the sweep names no baseline")
    text = summary(asked)
    found = [group for group in groups if asked.items() <= dict(group).items()]
    if not found:
        raise IncomparableError(f"no trial of the baseline ({text}) has finished")
    if len(found) > 1:
        raise IncomparableError(
            f"{len(found)} configurations have the baseline's params ({text}); let sweeps.baseline name the others, too"
        )
    return found[0]


def _metric(sweep: SweepResults, baseline: list[FrozenTrial]) -> tuple[int, str]:
    """The first objective that users have one by one, and its column in the trials' tables of users."""
    known = set(_users_of(sweep, baseline[0]).columns)
    for place, objective in enumerate(sweep.objectives):
        if objective.startswith("val/") and objective.removeprefix("val/") in known:
            return place, objective.removeprefix("val/")
    raise IncomparableError(f"{' and '.join(sweep.objectives)} cannot be told user by user, as a comparison needs")


def _differences(
    sweep: SweepResults, groups: Mapping[Configuration, list[FrozenTrial]], baseline: Configuration, metric: str
) -> tuple[dict[Configuration, PairedDifference], dict[Configuration, str]]:
    """The differences of the configurations that can be compared, and why the others cannot."""
    expected = _per_user(sweep, groups[baseline], metric)
    per_user, reasons = {"baseline": expected}, {}
    names = {group: str(place) for place, group in enumerate(groups) if group != baseline}
    for group, name in names.items():
        try:
            _require_seeds(sweep, group, _seeds(groups[group]), _seeds(groups[baseline]))
            values = _per_user(sweep, groups[group], metric)
            if not values.index.equals(expected.index):
                raise IncomparableError(f"its {len(values)} users are not the {len(expected)} of the baseline")
        except IncomparableError as reason:
            reasons[group] = str(reason)
        else:
            per_user[name] = values
    if len(expected) < 2:
        raise IncomparableError("that takes at least two evaluated users")
    compared = compare_with_baseline(pd.DataFrame(per_user), "baseline")
    return {group: compared[name] for group, name in names.items() if name in compared}, reasons


def _require_seeds(
    sweep: SweepResults, group: Configuration, seeds: tuple[Any, ...], expected: tuple[Any, ...]
) -> None:
    if seeds == expected:
        return
    others = [
        f"trial {trial.number} (seed {trial.params.get(SEED)}) {_FATES[trial.state]}"
        for trial in sweep.trials
        if trial.params and configuration(trial.params) == group and trial.state in _FATES
    ]
    because = f": {', '.join(others)}" if others else ""
    raise IncomparableError(f"it has seeds {_listed(seeds)}, the baseline {_listed(expected)}{because}")


_FATES = {TrialState.PRUNED: "was pruned", TrialState.FAIL: "failed", TrialState.RUNNING: "still runs"}


def _per_user(sweep: SweepResults, trials: list[FrozenTrial], metric: str) -> pd.Series:
    """Each user's metric, averaged over the trials, by user id."""
    of_trials = []
    for trial in trials:
        users = _users_of(sweep, trial)
        if metric not in users:
            raise IncomparableError(f"the {_file(sweep, trial).name} of trial {trial.number} has no {metric}")
        of_trials.append(users.set_index(USER)[metric].sort_index())
        if not of_trials[-1].index.equals(of_trials[0].index):
            raise IncomparableError(f"trials {trials[0].number} and {trial.number} evaluated different users")
    mean: pd.Series = pd.concat(of_trials, axis="columns").mean(axis="columns")
    return mean


def _users_of(sweep: SweepResults, trial: FrozenTrial) -> pd.DataFrame:
    """Metrics of each validation user of the trial."""
    file = _file(sweep, trial)
    try:
        return pd.read_parquet(file)
    except FileNotFoundError:
        raise IncomparableError(f"{file} is missing (a trial leaves it on the machine that ran it)") from None
    except (OSError, ValueError):
        raise IncomparableError(f"{file} cannot be read") from None


def _file(sweep: SweepResults, trial: FrozenTrial) -> Path:
    return sweep.trial_folder(trial) / "per_user.parquet"


def _seeds(trials: list[FrozenTrial]) -> tuple[Any, ...]:
    """The trials' seeds in order; (None,) where the sweep varies no seed."""
    return tuple(sorted((trial.params.get(SEED) for trial in trials), key=lambda seed: (seed is None, seed)))


def _listed(seeds: tuple[Any, ...]) -> str:
    return ", ".join(map(str, seeds))


def _std(values: list[float]) -> float | None:
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def _labels(groups: list[Configuration]) -> dict[Configuration, str]:
    """A few words for each configuration: the params that not all have in common."""
    shared = set.intersection(*map(set, groups)) if groups else set()
    return {group: summary(dict(pair for pair in group if pair not in shared)) or "all" for group in groups}
