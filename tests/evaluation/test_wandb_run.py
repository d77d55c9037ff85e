"""What real offline runs of W&B hold: everything a run is worth, nothing of the machine, and one run for each run."""

import json
import re

import pytest

from recsys.evaluation.examples import NUM_USERS
from recsys.evaluation.wandb_run import BEST, EXAMPLES, portable
from recsys.secret_values import LEFT_OUT
from tests.wandb_runs import OfflineRun, offline_runs

Runs = dict[str, OfflineRun]


def written(run: OfflineRun) -> dict:
    """The run's `metrics.json`."""
    return json.loads((run.folder.parents[1] / "metrics.json").read_text())


def test_each_run_of_a_process_is_a_run_of_its_own(wandb_runs: Runs) -> None:
    ids = {name: run.run.run_id for name, run in wandb_runs.items()}
    assert ids.pop("resumed") == ids["failed"]  # a resumed run goes on with its own
    assert len(set(ids.values())) == len(ids)
    assert all(offline_runs(run.folder.parents[1])[0].run.run_id in ids.values() for run in wandb_runs.values())


def test_runs_end_as_what_they_are(wandb_runs: Runs) -> None:
    codes = {name: run.exit_code for name, run in wandb_runs.items()}
    assert codes == {"trial": 0, "pruned": 0, "failed": 1, "resumed": 0, "peer": 0, "refit": 0}
    assert [name for name, run in wandb_runs.items() if run.summary.get("pruned")] == ["pruned"]


def test_a_trial_is_named_and_grouped(wandb_runs: Runs) -> None:
    run = wandb_runs["trial"].run
    assert (run.run_group, run.display_name, run.job_type, list(run.tags)) == ("heads", "0: heads=4", "trial", ["a"])
    assert run.project == "recsys"


def test_every_epoch_is_a_point_and_the_best_is_in_the_summary(wandb_runs: Runs) -> None:
    run = wandb_runs["trial"]
    logged = {name for row in run.history for name in row if name.startswith(("val/", "train/"))}
    assert logged == set(BEST)
    for name, kind in BEST.items():
        definition = run.definitions[name]
        assert definition.step_metric == "epoch"
        assert getattr(definition.summary, kind)
        curve = run.curve(name)
        assert set(curve) == {0, 1}
        assert run.summary[name] == {kind: {"max": max, "min": min}[kind](curve.values())}


def test_partial_curves_of_ended_runs_stay_and_a_resumed_one_goes_on(wandb_runs: Runs) -> None:
    assert [set(wandb_runs[name].curve("val/ndcg@10")) for name in ("pruned", "failed", "resumed")] == [{0}, {0}, {1}]
    whole = wandb_runs["trial"].curve("val/ndcg@10")
    parts = wandb_runs["failed"].curve("val/ndcg@10") | wandb_runs["resumed"].curve("val/ndcg@10")
    assert parts == whole


def test_a_trial_logs_the_final_validation_by_slice_and_nothing_of_test(wandb_runs: Runs) -> None:
    run = wandb_runs["trial"]
    final = written(run)["validation"]
    logged = {name: value for name, value in run.summary.items() if re.match(r"validation/.*/", name)}
    assert logged == {f"validation/{slice_}/{m}": v for slice_, values in final.items() for m, v in values.items()}
    assert {"all", "warm_users", "cold_users"} <= final.keys()
    assert not [name for name in [*run.summary, *(key for row in run.history for key in row)] if "test" in name]
    assert run.summary["validation/all/ndcg@10"] == pytest.approx(run.summary["val/ndcg@10"]["max"])


def test_a_run_that_tests_logs_test_by_slice(wandb_runs: Runs) -> None:
    run = wandb_runs["peer"]
    for split in ("validation", "test"):
        for slice_, values in written(run)[split].items():
            for metric, value in values.items():
                assert run.summary[f"{split}/{slice_}/{metric}"] == value
    assert not {"validation/confusion", "validation/recommendations"} & run.summary.keys()


def test_a_model_without_epochs_has_one_point(wandb_runs: Runs) -> None:
    run = wandb_runs["peer"]
    assert run.curve("val/ndcg@10") == {0: run.summary["validation/all/ndcg@10"]}
    assert run.artifacts.keys() == {"run_table"}  # no checkpoint


def test_costs_are_logged(wandb_runs: Runs) -> None:
    run = wandb_runs["trial"]
    assert run.summary["cost/parameters"] > 0
    assert run.summary["cost/training_seconds"] == written(run)["cost"]["seconds"]["training"]
    assert {"cost/inference_seconds", "cost/peak_memory_mb"} <= run.summary.keys()


@pytest.mark.parametrize(("name", "split"), [("trial", "validation"), ("peer", "test")])
def test_plots_are_pages_with_the_drawing(wandb_runs: Runs, name: str, split: str) -> None:
    run = wandb_runs[name]
    plots = {plot for plot in ("confusion", "calibration") if f"{split}/{plot}" in run.summary}
    assert plots == ({"confusion"} if name == "peer" else {"confusion", "calibration"})  # a peer gives no probability
    for plot in plots:
        text = run.media(f"{split}/{plot}")
        assert text.startswith("<!DOCTYPE html>")
        assert text.count("<svg") == text.count("</svg>") == 1
        assert "http" not in text
    cells = re.findall(r">\s*([\d,]+)\s*<", run.media(f"{split}/confusion"))
    _, false_positives, false_negatives, true_positives = (int(cell.replace(",", "")) for cell in cells)
    f1 = 2 * true_positives / (2 * true_positives + false_positives + false_negatives)
    assert f1 == pytest.approx(written(run)[split]["all"]["f1"])


@pytest.mark.parametrize(("name", "split"), [("trial", "validation"), ("peer", "test")])
def test_example_recommendations_are_a_table(wandb_runs: Runs, name: str, split: str) -> None:
    table = json.loads(wandb_runs[name].media(f"{split}/recommendations"))
    assert table["columns"] == EXAMPLES
    rows = [dict(zip(EXAMPLES, row, strict=True)) for row in table["data"]]
    users = {row["user"] for row in rows}
    assert len(users) == NUM_USERS
    assert [row["rank"] for row in rows] == [rank for _ in users for rank in range(1, 11)]
    assert {row["hit"] for row in rows} == {True, False}
    assert {row["cold"] for row in rows} == {True, False}
    assert all(bool(row["history"]) != row["cold"] for row in rows)
    assert all(row["recommended"] for row in rows)


def test_the_best_checkpoint_is_an_artifact(wandb_runs: Runs) -> None:
    run = wandb_runs["trial"]
    model = run.artifacts["model"]
    assert model.name == f"model-{run.run.run_id}"
    assert {*model.aliases} - {"latest"} == {"best"}
    (file,) = model.manifest.contents
    assert (file.path, file.size) == (
        "best.ckpt",
        (run.folder.parents[1] / "checkpoints" / "best.ckpt").stat().st_size,
    )
    assert json.loads(model.metadata) == {"split": "validation", **written(run)["validation"]["all"]}
    assert "model" not in wandb_runs["pruned"].artifacts


def test_a_refitted_network_is_an_artifact_with_what_it_reaches_itself(wandb_runs: Runs) -> None:
    run = wandb_runs["refit"]
    model = run.artifacts["model"]
    assert {*model.aliases} - {"latest"} == {"refit"}
    assert [file.path for file in model.manifest.contents] == ["refit.ckpt"]
    assert json.loads(model.metadata) == {"split": "test", **written(run)["test"]["all"]}


def test_config_is_whole_and_knows_no_machine(wandb_runs: Runs) -> None:
    for name, run in wandb_runs.items():
        assert run.config["optimizer"]["lr"] == 0.003
        assert run.config["run_dir"] == run.folder.parents[1].name
        assert str(run.folder.parents[2]) not in json.dumps(run.config), name
    assert wandb_runs["trial"].config["model"]["hidden"] == 8
    assert wandb_runs["pruned"].config == wandb_runs["trial"].config | {
        "name": "pruned",
        "run_dir": "pruned",
        **{key: wandb_runs["pruned"].config[key] for key in ("callbacks", "trainer", "logger")},
    }


def test_no_command_line_and_no_output_are_sent(wandb_runs: Runs) -> None:
    for run in wandb_runs.values():
        assert not {"environment", "output_raw", "output"} & run.kinds


def test_portable_values() -> None:
    given = {
        "path": "/home/someone/logs/shop",
        "relative": "runs/one",
        "aside": "../private/shop",
        "within": "runs/../../private/shop",
        "home": "~/secret/shop",
        "windows": ["C:\\Users\\someone\\shop", "..\\private\\shop"],
        "file": "file:///home/someone/shop",
        "url": "postgresql://someone:p%2Fss@w@host:5432/studies",
        "proxy": "https://token@host/a@b",
        "list": ["/a/b", 1, None, (0.5, True)],
        "mail": "a@b",
        "separators": "/",
        "api": {"params": {"api_key": "S3CRET"}},
    }
    assert portable(given) == {
        "path": "shop",
        "relative": "runs/one",
        "aside": "shop",
        "within": "shop",
        "home": "shop",
        "windows": ["shop", "shop"],
        "file": "shop",
        "url": "postgresql://host:5432/studies",
        "proxy": "https://host/a@b",
        "list": ["b", 1, None, [0.5, True]],
        "mail": "a@b",
        "separators": "/",
        "api": {"params": {"api_key": LEFT_OUT}},
    }
