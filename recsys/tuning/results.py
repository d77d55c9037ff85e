"""What a sweep has left in its folder and its study so far; `comparison` and `report` say what it means."""

import json
import math
import shlex
from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
from optuna import Study
from optuna.trial import FrozenTrial, TrialState

from recsys.errors import UserError
from recsys.evaluation.run_folder import learning_curves
from recsys.tuning.best import best_trial, pareto_front
from recsys.tuning.space import Space
from recsys.tuning.storage import JOURNAL, open_storage
from recsys.tuning.study import PLAN

ASKED = {"name", "storage", "objectives", "directions", "baseline", "space", "n_trials", "command"}  # in sweep.json
STATES = {
    TrialState.COMPLETE: "finished",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}


@dataclass(frozen=True, kw_only=True)
class SweepResults:
    """A sweep, finished or not.

    Attributes:
        name: of the sweep and its study.
        folder: where its trials' folders are.
        storage: URL of the study's storage; None for the journal in the folder.
        objectives: the validation metrics that were searched by, such as `val/ndcg@10`.
        directions: "maximize" or "minimize", one for each objective.
        baseline: params of the configuration that others are compared with; empty if there is none.
        space: param -> its values as they were asked for.
        n_trials: how many trials the sweep is to have in all.
        command: the command line that started it.
        study: Optuna's study.
        trials: the first `n_trials` of the study, by number.
        final: the content of `final.json`; None before the best configuration was tested.
    """

    name: str
    folder: Path
    storage: str | None
    objectives: tuple[str, ...]
    directions: tuple[str, ...]
    baseline: Mapping[str, Any]
    space: Mapping[str, str]
    n_trials: int
    command: str
    study: Study
    trials: tuple[FrozenTrial, ...]
    final: Mapping[str, Any] | None

    def completed(self) -> list[FrozenTrial]:
        """The finished trials with finite values, by number."""
        return [
            trial
            for trial in self.trials
            if trial.state == TrialState.COMPLETE and all(math.isfinite(value) for value in trial.values)
        ]

    def ranked(self, objective: int = 0) -> list[FrozenTrial]:
        """The finished trials, the best by one of the objectives first."""
        sign = -1 if self.maximizes(objective) else 1
        return sorted(self.completed(), key=lambda trial: sign * trial.values[objective])

    def best(self) -> list[FrozenTrial]:
        """The best trial (see `best_trial`); of several objectives the Pareto front, by the first objective."""
        ranked = self.ranked()
        if len(self.objectives) == 1:
            return [best_trial(self.completed(), self.maximizes())] if ranked else []
        return pareto_front(ranked, self.study.directions)

    def maximizes(self, objective: int = 0) -> bool:
        """Whether more is better."""
        return self.directions[objective] == "maximize"

    def states(self) -> dict[str, int]:
        """How many trials have finished, were pruned, ...; only states that some trial is in."""
        counts = {word: sum(trial.state == state for trial in self.trials) for state, word in STATES.items()}
        return {word: count for word, count in counts.items() if count}

    def params(self) -> list[str]:
        """All params that any trial has, in the order of the search space."""
        tried = dict.fromkeys(name for trial in self.trials for name in trial.params)
        return [name for name in self.space if name in tried] + [name for name in tried if name not in self.space]

    def trial_folder(self, trial: FrozenTrial) -> Path:
        """The trial's run folder; it is missing here if another machine ran the trial."""
        return self.folder / Path(str(trial.user_attrs.get("folder", trial.number))).name

    def curves(self) -> pd.DataFrame:
        """What is known of every trial after each of its epochs.

        Returns:
            `trial, epoch, value` (of the first objective; NaN in epochs without validation), and a column for every
            other validation metric in the trials' logs.
        """
        objective = self.objectives[0]
        of_trials = []
        for trial in self.trials:
            reported = pd.Series(trial.intermediate_values, dtype=float, name="value").rename_axis("epoch")
            logged = learning_curves(self.trial_folder(trial))
            epochs = reported.to_frame()
            if logged is not None:
                means = logged.groupby("epoch").mean(numeric_only=True).filter(regex="^val/")
                known = means.dropna(how="all").dropna(axis="columns", how="all")
                epochs = epochs.join(known, how="outer")
            if objective in epochs:
                epochs["value"] = epochs["value"].fillna(epochs.pop(objective))
            of_trials.append(epochs.sort_index().reset_index().assign(trial=trial.number))
        begun = [epochs for epochs in of_trials if len(epochs)]
        if not begun:
            return pd.DataFrame({"trial": [], "epoch": [], "value": []})
        together = pd.concat(begun, ignore_index=True)
        metrics = sorted(str(name) for name in together if name not in ("trial", "epoch", "value"))
        return together[["trial", "epoch", "value", *metrics]].astype({"epoch": int})

    def best_command(self) -> str | None:
        """The command line that repeats the best trial, or what was tested; None before a trial has finished."""
        if self.final is not None:
            return shlex.join(["python", "train.py", *self.final["overrides"]])
        plan = self.study.user_attrs[PLAN]
        chosen = [Space((), plan["variants"]).overrides(trial.params) for trial in self.best()[:1]]
        return shlex.join(["python", "train.py", *plan["overrides"], *chosen[0]]) if chosen else None

    def dashboard_command(self) -> str:
        """The command line that shows the study in optuna-dashboard."""
        if self.storage is None:
            return shlex.join(["optuna-dashboard", str(self.folder / JOURNAL)])
        return shlex.join(["optuna-dashboard", self.storage])


def read_sweep(name: str, directory: Path, storage: str | None = None) -> SweepResults:
    """Read what the sweep has left behind.

    Args:
        name: of the sweep.
        directory: the folder with the sweeps' folders.
        storage: URL of its study's storage; by default the one that the sweep was started with.

    Raises:
        UserError: if there is no such sweep, or its files or study cannot be read.
    """
    known = sorted(path.parent.name for path in directory.glob("*/sweep.json"))
    if name not in known:
        there = f"there are {', '.join(known)}" if known else "there is none"
        raise UserError(f"{directory} has no sweep named {name!r}; {there}.")
    folder = directory / name
    asked = _read_json(folder / "sweep.json", ASKED)
    final = folder / "final.json"
    url = storage or asked["storage"]
    if url is None and not (folder / JOURNAL).is_file():
        raise UserError(f"{folder} has no {JOURNAL}: no trial of {name!r} has begun, or its study was lost.")
    where = folder / JOURNAL if url is None else url
    try:
        study = optuna.load_study(study_name=asked["name"], storage=open_storage(url, folder))
    except ValueError as error:
        raise UserError(f"{where} is damaged: {error}.") from error
    except KeyError as error:
        raise UserError(f"{where} holds no study of {asked['name']!r}; name its storage with --storage URL.") from error
    if PLAN not in study.user_attrs:
        raise UserError(f"the study {name!r} was not made by a sweep: there is no plan in it.")
    return SweepResults(
        name=asked["name"],
        folder=folder,
        storage=url,
        objectives=tuple(asked["objectives"]),
        directions=tuple(asked["directions"]),
        baseline=asked["baseline"] or {},
        space=asked["space"],
        n_trials=asked["n_trials"],
        command=asked["command"],
        study=study,
        trials=tuple(study.get_trials(deepcopy=False)[: asked["n_trials"]]),
        final=_read_json(final, {"overrides", "test"}) if final.is_file() else None,
    )


def _read_json(path: Path, needed: Set[str]) -> dict[str, Any]:
    """The content of a file that must have these keys."""
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}.") from error
    if not isinstance(content, dict) or not content.keys() >= needed:
        raise UserError(f"{path} is damaged: it must hold {', '.join(sorted(needed))}; repeat the sweep's command.")
    return content
