"""What the run's folder holds: exact JSON, original ids, and never half a file."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recsys.data.event_log import EventLog
from recsys.errors import UserError
from recsys.evaluation.protocol import Evaluation, evaluate
from recsys.evaluation.run_folder import (
    forget_earlier_run,
    learning_curves,
    write_metrics,
    write_per_user,
    write_recommendations,
)
from recsys.files import replacing
from tests.evaluation.fakes import early_log, random_scorer, task_of


@pytest.fixture
def log() -> EventLog:
    return early_log(1)


@pytest.fixture
def evaluations(log: EventLog) -> tuple[Evaluation, Evaluation]:
    scorer = random_scorer(log)
    index, validation_task = task_of(log, "validation")
    validation = evaluate(scorer, log, index, validation_task)
    return validation, evaluate(scorer, log, index, task_of(log, "test")[1], threshold=validation.threshold)


def test_metrics_json(tmp_path: Path, evaluations: tuple[Evaluation, Evaluation]) -> None:
    validation, test = evaluations
    given = {
        "validation": validation.metrics,
        "test": test.metrics,
        "threshold": validation.threshold,
        "seed": 3,
        "oracle": {"ndcg@10": 0.5},
    }
    path = write_metrics(tmp_path, given)
    assert path == tmp_path / "metrics.json"
    content = json.loads(path.read_text())
    assert content == given
    for split in ("validation", "test"):
        assert {"all", "warm_users", "warm_contents"} <= content[split].keys()
        for values in content[split].values():
            assert {"users", "positives", "ndcg@10", "recall@20", "coverage@10"} <= values.keys()
            assert all(np.isfinite(value) for value in values.values())
        assert {"auroc", "average_precision", "f1", "mae", "rmse", "score_spread"} <= content[split]["all"].keys()
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.json"]


def test_metrics_json_refuses_what_it_must_not_hold(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_metrics(tmp_path, {"validation": {"all": {"ndcg@10": float("nan")}}})
    assert list(tmp_path.iterdir()) == []


def test_recommendations_have_original_ids(
    tmp_path: Path, log: EventLog, evaluations: tuple[Evaluation, Evaluation]
) -> None:
    recommendations = evaluations[1].recommendations
    frame = pd.read_parquet(write_recommendations(tmp_path, log, recommendations))
    assert frame.columns.tolist() == ["user_id", "content_id", "rank", "score"]
    assert frame["user_id"].dtype == np.int64
    assert set(frame["user_id"]) <= set(log.users.ids)
    for row in (0, len(frame) // 2, len(frame) - 1):
        assert frame["user_id"].iloc[row] == log.users.ids[recommendations["user"].iloc[row]]
        assert frame["content_id"].iloc[row] == log.contents.ids[recommendations["content"].iloc[row]]
    assert (frame["rank"] == recommendations["rank"]).all()
    assert (frame["score"] == recommendations["score"]).all()


def test_a_refused_write_is_one_sentence_and_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")

    def write_and_fail() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half of the n")
            raise OSError("disk full")

    with pytest.raises(UserError, match=r"file\.txt cannot be written \(disk full\)"):
        write_and_fail()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file.txt"]
    with replacing(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"


def test_per_user_has_original_ids_and_averages_to_the_metrics(
    tmp_path: Path, log: EventLog, evaluations: tuple[Evaluation, Evaluation]
) -> None:
    validation, test = evaluations
    table = pd.read_parquet(write_per_user(tmp_path, [(1, log, validation), (1, log, test), (2, log, test)]))
    counts = table.groupby(["origin", "split"]).size().to_dict()
    assert counts == {
        (1, "validation"): len(validation.per_user),
        (1, "test"): len(test.per_user),
        (2, "test"): len(test.per_user),
    }
    written = table[table["split"] == "validation"]
    assert written["user_id"].tolist() == log.users.ids[validation.per_user["user"].to_numpy()].tolist()
    assert {"cold", "positives"} <= set(written)
    for metric in ("ndcg@10", "recall@20", "mrr@10"):
        assert written[metric].mean() == pytest.approx(validation.metrics["all"][metric])


def test_curves_pass_over_a_sitting_that_was_killed_before_it_wrote(tmp_path: Path) -> None:
    for version, content in enumerate(["epoch,val/loss\n0,0.5\n", "", "epoch,val/loss\n1,0.4\n"]):
        folder = tmp_path / "logs" / f"version_{version}"
        folder.mkdir(parents=True)
        (folder / "metrics.csv").write_text(content)
    curves = learning_curves(tmp_path)
    assert curves is not None
    assert curves["val/loss"].tolist() == [0.5, 0.4]


def test_curves_are_those_of_the_last_time_an_epoch_was_trained(tmp_path: Path) -> None:
    for version, epochs in enumerate([range(6), range(6, 10), range(4)]):  # killed, resumed, then begun anew
        folder = tmp_path / "logs" / f"version_{version}"
        folder.mkdir(parents=True)
        (folder / "metrics.csv").write_text("epoch,val/loss\n" + "".join(f"{e},{version}\n" for e in epochs))
    curves = learning_curves(tmp_path)
    assert curves is not None
    assert curves[["epoch", "val/loss"]].to_numpy().tolist() == [[epoch, 2] for epoch in range(4)]


@pytest.mark.parametrize("was_run", [True, False])
def test_a_run_begun_anew_keeps_nothing_of_the_one_before_and_all_that_is_of_none(
    tmp_path: Path, was_run: bool
) -> None:
    for name in ("checkpoints/origin_1/last.ckpt", "bundle/log.parquet", "report.html", "logs/x.csv", "own.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    before = set(tmp_path.rglob("*"))
    if was_run:
        (tmp_path / "cleaning.csv").touch()
    forget_earlier_run(tmp_path)
    if was_run:
        assert sorted(path.name for path in tmp_path.iterdir()) == ["cleaning.csv", "logs", "own.txt"]
    else:
        assert set(tmp_path.rglob("*")) == before
