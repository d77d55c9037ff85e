"""The flat table, the two towers and the report by the command line up to a bundle that recommends; what is refused."""

import json
from pathlib import Path

import pytest

from recsys.serving.bundle import load_bundle
from recsys.serving.recommender import Recommender
from tests.conftest import Command

TINY = ("data.num_users=60", "data.num_contents=80", "data.num_events=1000", "trainer.max_epochs=1")
NETWORK = ("model.hidden=8",)
RUNS = {
    "flat table": ("model=lightgbm", "model.pair_counts=false", "model.num_trees=5", "model.min_child_samples=5"),
    "two_tower": ("model=two_tower", "loader.snapshots=2", "negatives.count=2", "objective=bpr", *NETWORK),
    "report": ("experiment=report", "model.layers=2", "loader.parts=2", *NETWORK),
}


@pytest.mark.parametrize("case", RUNS)
def test_a_run_that_recommends(train: Command, tmp_path: Path, case: str) -> None:
    if "model=lightgbm" in RUNS[case]:
        pytest.importorskip("lightgbm", reason="LightGBM is not installed")
    done = train(*TINY, *RUNS[case], f"run_dir={tmp_path}/run")
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["test"]["all"]["auroc"] > 0.4
    bundle = load_bundle(tmp_path / "run" / "bundle")
    assert Recommender(bundle).for_user(bundle.log.users.ids[0]).items


def test_the_reports_recipe_on_data_that_another_experiment_describes(train: Command, tmp_path: Path) -> None:
    done = train("--cfg", "job", "--resolve", "experiment=[kuairand,report]", f"data.path={tmp_path}")
    assert done.returncode == 0, done.stderr
    for line in (
        "_target_: recsys.sources.tables.TableSource",
        "content_id: item_id",
        "_target_: recsys.loading.static_loader.StaticLoader",
        "_target_: recsys.models.gat_sage.GatSage",
        "hidden: 256",
        "layers: 4",
        "count: 1",
        "lr: 0.0001",
        "max_epochs: 10",
        "patience: 3",
        "name: tables_report",
    ):
        assert line in done.stdout, line


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("model=lightgbm", "model.num_leaves=1"), "model.num_leaves is 1"),
        (("model=lightgbm", "model.pair_counts=some"), "model.pair_counts is some: it must be true or false"),
        (("model=lightgcn", "model.l2=-1"), "model.l2 is -1"),
    ],
    ids=lambda given: given[-1].partition("=")[0] if isinstance(given, tuple) else "",
)
def test_settings_that_mean_nothing_end_with_one_sentence(
    train: Command, tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    done = train(*TINY, *options, f"run_dir={tmp_path}/run")
    assert done.returncode == 2, done.stderr
    (error,) = (line for line in done.stderr.splitlines() if line.startswith("error: "))
    assert said in error
    assert "Traceback" not in done.stderr
