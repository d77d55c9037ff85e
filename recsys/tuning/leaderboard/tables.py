"""Writes a leaderboard as `leaderboard.csv`, a row a data set and model, and `leaderboard.json`, with everything."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from recsys.evaluation.significance import PairedDifference
from recsys.files import replacing
from recsys.tuning.leaderboard.plan import METRIC
from recsys.tuning.leaderboard.results import PER_USER, Board, Score, Standing

HEADLINES = (
    *("ndcg@10", "recall@20", "mrr@10", "auroc", "average_precision"),
    *("coverage@10", "novelty@10", "discovery@10", "discovery_hits@10"),
)
OF_SLICES = ("ndcg@10", "recall@20", "discovery@10", "discovery_hits@10")
SLICES = ("warm_users", "cold_users", "cold_users_mood", "cold_users_regular", "warm_contents", "cold_contents")


def write_csv(board: Board, path: Path) -> None:
    """Write the table; models without a score have only their `error`, or nothing where they were not run yet."""
    rows = []
    for standing in board.standings:
        rows += [_row(board, standing, score) for score in standing.scores]
        rows += [{"data": standing.data.name, "model": name, "error": why} for name, why in standing.failed.items()]
        rows += [{"data": standing.data.name, "model": name} for name in standing.waiting]
    with replacing(path) as temporary:
        pd.DataFrame(rows).to_csv(temporary, index=False)


def write_json(board: Board, path: Path) -> None:
    """Write everything that is known, as plain values."""
    content = {
        "metric": METRIC,
        "data": {
            standing.data.name: {
                "origins": standing.data.origins,
                "best_peer": standing.best_peer,
                "control": standing.control,
                "models": {score.model.name: _plain(standing, score) for score in standing.scores},
                "failed": dict(standing.failed),
                "waiting": list(standing.waiting),
            }
            for standing in board.standings
        },
        "left_out": list(board.left_out),
        "mean_rank": {model: {"rank": rank, "data_sets": count} for model, (rank, count) in board.mean_ranks.items()},
    }
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def ratio(standing: Standing, score: Score) -> float | None:
    """How many times the best peer's METRIC the model reaches; None without one, or where that is 0."""
    peer = standing.score(standing.best_peer)
    return score.value / peer.value if peer is not None and peer.value else None


def _row(board: Board, standing: Standing, score: Score) -> dict[str, Any]:
    row: dict[str, Any] = {
        "data": standing.data.name,
        "model": score.model.name,
        "peer": score.model.peer,
        "control": score.model.control,
        "best_peer": score.model.name == standing.best_peer,
        "trials": score.n_trials,
        "seeds": len(score.seeds),
        "origins": standing.data.origins,
        "users": round(score.test["all"]["users"].mean),
        f"validation_{METRIC}": score.chosen_by,
    }
    for metric in (name for name in HEADLINES if name in score.test["all"]):
        found = score.test["all"][metric]
        row |= {metric: found.mean, f"{metric}_std": found.std}
        if metric in PER_USER:
            row |= {f"{metric}_low": score.intervals[metric][0], f"{metric}_high": score.intervals[metric][1]}
    for slice_ in (name for name in SLICES if name in score.test):
        row |= {f"{slice_}_users": round(score.test[slice_]["users"].mean)}
        of_slice = score.test[slice_]
        row |= {f"{slice_}_{metric}": of_slice[metric].mean for metric in OF_SLICES if metric in of_slice}
    row |= {
        "training_seconds": score.seconds.mean,
        "peak_memory_mb": score.peak_memory_mb,
        "parameters": score.parameters,
        "ratio_to_best_peer": ratio(standing, score),
    }
    for name, differences in (("best_peer", standing.versus_best_peer), ("control", standing.versus_control)):
        if found_difference := differences.get(score.model.name):
            plain = _difference(found_difference)
            row |= {f"versus_{name}_{key}": value for key, value in plain.items()}
    return row | {"mean_rank": board.mean_ranks[score.model.name][0]}


def _plain(standing: Standing, score: Score) -> dict[str, Any]:
    versus: Mapping[str, Mapping[str, PairedDifference]] = {
        "versus_best_peer": standing.versus_best_peer,
        "versus_control": standing.versus_control,
    }
    return {
        "peer": score.model.peer,
        "control": score.model.control,
        "trials": score.n_trials,
        "seeds": list(score.seeds),
        f"validation_{METRIC}": score.chosen_by,
        "test": {
            slice_: {metric: asdict(spread) for metric, spread in values.items()}
            for slice_, values in score.test.items()
        },
        "intervals": {metric: list(ends) for metric, ends in score.intervals.items()},
        "training_seconds": asdict(score.seconds),
        "peak_memory_mb": score.peak_memory_mb,
        "parameters": score.parameters,
        "ratio_to_best_peer": ratio(standing, score),
        **{
            name: _difference(differences[score.model.name])
            for name, differences in versus.items()
            if score.model.name in differences
        },
        "overrides": list(score.overrides),
    }


def _difference(found: PairedDifference) -> dict[str, float]:
    return {"mean": found.mean, "low": found.low, "high": found.high, "p": found.p_value, "p_holm": found.p_holm}
