"""Writes and reads the tables and figures in a run's folder; `recsys.evaluation.report` writes the page."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from recsys.files import replacing, writing
from recsys.sources.base import CONTENT, USER

if TYPE_CHECKING:  # reading what runs left behind takes no torch, which takes seconds to import
    from recsys.data.cleaning_report import CleaningReport
    from recsys.data.event_log import EventLog
    from recsys.evaluation.protocol import Evaluation


CLEANING = "cleaning.csv"
# What only one run can have; a run that begins anew in a folder takes the place of the one before.
OF_ONE_RUN = (
    *("checkpoints", "bundle", "export"),
    *("metrics.json", "per_user.parquet", "recommendations.parquet", "report.html"),
)


def forget_earlier_run(directory: Path) -> None:
    """Delete what an earlier run has left in the folder, so that nothing of it is taken for the new one's.

    A folder without `cleaning.csv`, which every run writes first, held no run: what is there is somebody's own.

    Raises:
        UserError: if the system refuses it.
    """
    if not (directory / CLEANING).is_file():
        return
    for path in map(directory.joinpath, OF_ONE_RUN):
        with writing(path):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def write_cleaning(directory: Path, report: "CleaningReport", quarantine: pd.DataFrame) -> None:
    """Write what cleaning counted and the rows it set aside: `cleaning.csv` and `quarantine.parquet`."""
    with replacing(directory / CLEANING) as temporary:
        report.to_frame().to_csv(temporary, index=False)
    with replacing(directory / "quarantine.parquet") as temporary:
        quarantine.to_parquet(temporary, index=False)


def write_metrics(directory: Path, content: Mapping[str, Any]) -> Path:
    """Write `metrics.json`: `{"validation": {slice: {metric: value}}, "test": ..., "threshold": ..., "seed": ...}`.

    Args:
        directory: the run's folder.
        content: plain values: `validation`, the metrics of the run's model by slice; `test` likewise, absent for a run
            that left the test set alone; `threshold`, the one that validation has chosen and test was measured with;
            `seed`; and further keys, such as what other scorers reach.

    Raises:
        ValueError: if a number is not finite.
    """
    path = directory / "metrics.json"
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return path


def write_per_user(directory: Path, evaluated: Sequence[tuple[int, "EventLog", "Evaluation"]]) -> Path:
    """Write `per_user.parquet`: `user_id` (original id), `origin`, `split`, `cold`, `positives` and the user's metrics.

    Runs on the same log have the same users in it, so that two models can be compared user by user.

    Args:
        directory: the run's folder.
        evaluated: evaluations of the run's model: number of the origin from 1, its log, and what was found on a split.
    """
    path = directory / "per_user.parquet"
    tables = []
    for origin, log, found in evaluated:
        users = found.per_user.drop(columns="user")
        users.insert(0, USER, log.users.ids[found.per_user["user"].to_numpy()])
        users.insert(1, "origin", origin)
        users.insert(2, "split", found.split)
        tables.append(users)
    with replacing(path) as temporary:
        pd.concat(tables, ignore_index=True).to_parquet(temporary, index=False)
    return path


def write_recommendations(directory: Path, log: "EventLog", recommendations: pd.DataFrame) -> Path:
    """Write `recommendations.parquet`: `user_id, content_id` (original ids), `rank` from 1, `score`.

    Args:
        directory: the run's folder.
        log: whose rows `recommendations` speaks of.
        recommendations: `Evaluation.recommendations`.
    """
    path = directory / "recommendations.parquet"
    with replacing(path) as temporary:
        pd.DataFrame(
            {
                USER: log.users.ids[recommendations["user"].to_numpy()],
                CONTENT: log.contents.ids[recommendations["content"].to_numpy()],
                "rank": recommendations["rank"].to_numpy(),
                "score": recommendations["score"].to_numpy(),
            }
        ).to_parquet(temporary, index=False)
    return path


def learning_curves(run_dir: Path) -> pd.DataFrame | None:
    """What the csv logger wrote, over all sittings of a resumed run; None for a model without epochs."""
    versions = sorted(run_dir.glob("logs/version_*/metrics.csv"), key=lambda path: int(path.parent.name[8:]))
    written = [version for version in versions if version.stat().st_size]  # a kill may have left an empty file
    sittings = [sitting for sitting in map(pd.read_csv, written) if "epoch" in sitting]
    if not sittings:
        return None
    # An epoch that was trained again, after a kill or by a run begun anew, has the rows of the last time.
    kept, start = [], float("inf")
    for sitting in reversed(sittings):
        kept.append(sitting[sitting["epoch"] < start])
        start = min(start, sitting["epoch"].min())
    curves: pd.DataFrame = pd.concat(kept[::-1], ignore_index=True)
    return curves
