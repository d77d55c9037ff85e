"""What the finished entries of a leaderboard have come to, and how they compare; `tables` and `page` write it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from recsys.errors import UserError
from recsys.evaluation.significance import PairedDifference, bootstrap_means, compare_with_baseline, interval
from recsys.sources.base import USER
from recsys.tuning.leaderboard.plan import FINAL, METRIC, DataSet, Entry, Model, Plan
from recsys.tuning.spread import Spread, over_seeds

PER_USER = ("ndcg@10", "recall@20", "mrr@10")  # metrics that users have one by one, so with an interval
UNIT = ["origin", USER]


@dataclass(frozen=True, kw_only=True)
class Score:
    """A model that was tested on a data set.

    Attributes:
        model: which one.
        n_trials: of its search; 0 if it was tested as it is.
        seeds: it was tested with.
        chosen_by: METRIC on validation, of the first origin, mean over seeds: nothing that any origin tests.
        test: slice -> metric -> spread over the seeds; metrics that not every seed has are absent.
        intervals: metric of PER_USER -> 95% interval of its mean over other users like these.
        seconds: to train, with the refit, over all origins.
        peak_memory_mb: of the process, MB.
        parameters: trained numbers.
        per_user: PER_USER of each origin and user on test, mean over seeds; indexed by UNIT.
        overrides: the best configuration.
    """

    model: Model
    n_trials: int
    seeds: tuple[int, ...]
    chosen_by: float
    test: Mapping[str, Mapping[str, Spread]]
    intervals: Mapping[str, tuple[float, float]]
    seconds: Spread
    peak_memory_mb: float
    parameters: int
    per_user: pd.DataFrame
    overrides: tuple[str, ...]

    @property
    def value(self) -> float:
        """METRIC on test, all users, mean over seeds."""
        return self.test["all"][METRIC].mean


@dataclass(frozen=True, kw_only=True)
class Standing:
    """The models on one data set.

    Attributes:
        data: the set.
        scores: of the models that were tested, the best first.
        best_peer: name of the peer that is best on validation; None while no peer was tested.
        control: name of the control, if it was tested.
        versus_best_peer: model -> its difference from that peer in METRIC; p-values are corrected for all models.
        versus_control: likewise from the control, of the models that are no peers.
        failed: model -> why it has no score.
        waiting: models that were not run yet.
    """

    data: DataSet
    scores: tuple[Score, ...]
    best_peer: str | None
    control: str | None
    versus_best_peer: Mapping[str, PairedDifference]
    versus_control: Mapping[str, PairedDifference]
    failed: Mapping[str, str]
    waiting: tuple[str, ...]

    def score(self, model: str | None) -> Score | None:
        """The score of a model, if it was tested."""
        return next((score for score in self.scores if score.model.name == model), None)


@dataclass(frozen=True, kw_only=True)
class Board:
    """The whole leaderboard so far.

    Attributes:
        standings: one a data set.
        left_out: a sentence on each data set that is not there.
        mean_ranks: model -> (mean rank by METRIC over the data sets where it was tested, number of these), best first.
    """

    standings: tuple[Standing, ...]
    left_out: tuple[str, ...]
    mean_ranks: Mapping[str, tuple[float, int]]


def read_board(plan: Plan) -> Board:
    """Read what the entries of a leaderboard have left behind so far."""
    standings = tuple(_standing(data, [entry for entry in plan.entries if entry.data == data]) for data in plan.data)
    ranks: dict[str, list[float]] = {}
    for standing in standings:
        places = rankdata([-score.value for score in standing.scores])
        for score, place in zip(standing.scores, places, strict=True):
            ranks.setdefault(score.model.name, []).append(float(place))
    means = {model: (float(np.mean(places)), len(places)) for model, places in ranks.items()}
    in_order = dict(sorted(means.items(), key=lambda item: (-item[1][1], item[1][0])))
    return Board(standings=standings, left_out=plan.left_out, mean_ranks=in_order)


def _standing(data: DataSet, entries: Sequence[Entry]) -> Standing:
    scores, failed, waiting = [], {}, []
    for entry in entries:
        if entry.is_finished:
            try:
                scores.append(read_score(entry))
            except UserError as error:
                failed[entry.model.name] = str(error)
        elif entry.error is not None:
            failed[entry.model.name] = entry.error
        else:
            waiting.append(entry.model.name)
    scores.sort(key=lambda score: -score.value)
    peers = [score for score in scores if score.model.peer]
    best_peer = max(peers, key=lambda score: score.chosen_by).model.name if peers else None
    control = next((score.model.name for score in scores if score.model.control), None)
    rivals = [score for score in scores if not score.model.peer]
    return Standing(
        data=data,
        scores=tuple(scores),
        best_peer=best_peer,
        control=control,
        versus_best_peer=_differences(scores, best_peer),
        versus_control=_differences(rivals, control),
        failed=failed,
        waiting=tuple(waiting),
    )


def _differences(scores: Sequence[Score], baseline: str | None) -> dict[str, PairedDifference]:
    """Differences of those models that were tested for the same users as the baseline."""
    columns = {score.model.name: score.per_user[METRIC] for score in scores}
    if baseline not in columns or len(columns) < 2:
        return {}
    expected = columns[baseline].index
    same = {name: values for name, values in columns.items() if values.index.equals(expected)}
    if len(same) < 2 or len(np.unique(_users(expected))) < 2:
        return {}
    return compare_with_baseline(pd.DataFrame(same), baseline, test="bootstrap", user=_users(expected))


def read_score(entry: Entry) -> Score:
    """Read a finished entry.

    Raises:
        UserError: if a file of it is missing or cannot be read.
    """
    try:
        final = json.loads((entry.folder / FINAL).read_text(encoding="utf-8"))
        folders = [entry.folder / run for run in final["runs"]]
        runs = [json.loads((folder / "metrics.json").read_text(encoding="utf-8")) for folder in folders]
        per_user = _per_user(folders)
        # Later origins validate on what earlier ones test: a choice by them would be a choice by tests.
        chosen_by = [run.get("origins", [run])[0]["validation"]["all"][METRIC] for run in runs]
        seconds = [run["cost"]["seconds"] for run in runs]
        low, high = interval(bootstrap_means(per_user.to_numpy(), _users(per_user.index)))
        return Score(
            model=entry.model,
            n_trials=entry.n_trials,
            seeds=tuple(final["seeds"]),
            chosen_by=float(np.mean(chosen_by)),
            test={name: over_seeds([run["test"].get(name, {}) for run in runs]) for name in runs[0]["test"]},
            intervals={name: (float(low[i]), float(high[i])) for i, name in enumerate(PER_USER)},
            seconds=Spread.of([stages["training"] + stages.get("refit", 0.0) for stages in seconds]),
            peak_memory_mb=float(max(run["cost"]["peak_memory_mb"] for run in runs)),
            parameters=int(runs[0]["cost"]["parameters"]),
            per_user=per_user,
            overrides=tuple(final["overrides"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{entry.folder} cannot be read ({error}): delete it to run {entry.name} again.") from error


def _users(index: pd.Index) -> np.ndarray:
    """Whose each row is; somebody who was tested at several origins has several rows, and is still one user."""
    return np.asarray(index.get_level_values(USER))


def _per_user(folders: Sequence[Path]) -> pd.DataFrame:
    """Mean over the runs of what each user of each origin gets on test."""
    of_runs: list[pd.DataFrame] = []
    for folder in folders:
        users = pd.read_parquet(folder / "per_user.parquet")
        tested = users[users["split"] == "test"].set_index(UNIT)[list(PER_USER)].sort_index()
        if of_runs and not tested.index.equals(of_runs[0].index):
            raise ValueError(f"{folder} has tested other users than {folders[0]}")
        of_runs.append(tested)
    mean: Any = sum(of_runs[1:], of_runs[0]) / len(of_runs)
    frame: pd.DataFrame = mean
    return frame
