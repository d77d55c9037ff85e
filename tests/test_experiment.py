"""A whole run in this process: what a refitted network may know, and rolling origins."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from lightning.pytorch.callbacks import Callback

import train
from recsys.errors import UserError
from recsys.experiment import Experiment
from recsys.serving.bundle import load_bundle
from recsys.sources.base import Tables
from tests.conftest import ROOT
from tests.factories import tiny_log, tiny_tables, with_future_changed

SIZE = {"num_users": 14, "num_contents": 20, "num_events": 300}
OPTIONS = (
    *("name=tiny", "trainer.max_epochs=2", "+trainer.enable_progress_bar=false", "~callbacks.progress"),
    *("model.hidden=8", "loader.snapshots=2", "negatives.count=2"),
)


@pytest.fixture(autouse=True)
def _hydra() -> Iterator[None]:
    train.register_resolvers()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        yield
    GlobalHydra.instance().clear()


@dataclass
class Given:
    """Tables as a source."""

    tables: Tables

    def load(self) -> Tables:
        return self.tables


def experiment(run_dir: Path, tables: Tables, *options: str) -> Experiment:
    given = {option.partition("=")[0] for option in options}
    usual = [option for option in OPTIONS if option.partition("=")[0] not in given]
    made: Experiment = train.experiment(compose("train", [*usual, f"run_dir={run_dir}", *options]))
    return replace(made, source=Given(tables))


def run(run_dir: Path, tables: Tables, *options: str) -> dict[str, Any]:
    experiment(run_dir, tables, *options).run()
    content: dict[str, Any] = json.loads((run_dir / "metrics.json").read_text())
    return content


@pytest.mark.parametrize("change", [0, 1])
def test_nothing_at_or_after_t_test_reaches_a_refitted_network(tmp_path: Path, change: int) -> None:
    plain = tiny_log(**SIZE).boundaries
    fixed = f"data.boundaries=[{plain.t_val},{plain.t_test}]"
    tables = tiny_tables(**SIZE)
    changed = with_future_changed(tables, plain.t_test, np.random.default_rng(change))
    changed.interactions.loc[len(changed.interactions)] = tables.interactions.nlargest(1, "timestamp").iloc[0]
    metrics = [run(tmp_path / name, given, fixed) for name, given in (("plain", tables), ("changed", changed))]
    assert metrics[0]["test"] != metrics[1]["test"], "the change was none"
    for part in ("validation", "threshold", "refit"):
        assert metrics[0][part] == metrics[1][part], part
    bundles = [load_bundle(tmp_path / name / "bundle") for name in ("plain", "changed")]
    weights = [(tmp_path / name / "bundle" / "model.safetensors").read_bytes() for name in ("plain", "changed")]
    assert weights[0] == weights[1]
    left, right = bundles
    assert left.log.boundaries.t_val == left.log.boundaries.t_test == plain.t_test
    assert left.log.boundaries.chosen_at == plain.t_val
    users = np.arange(left.log.users.count_before(plain.t_test))
    contents = np.arange(left.log.contents.count_before(plain.t_test))
    scores = [bundle.scorer.score(users, contents, plain.t_test).numpy().tobytes() for bundle in (left, right)]
    assert scores[0] == scores[1]


def test_a_refit_learns_from_validation(tmp_path: Path) -> None:
    tables = tiny_tables(**SIZE)
    with_it, without = (run(tmp_path / name, tables, f"refit={name}") for name in ("true", "false"))
    assert with_it["validation"] == without["validation"]
    assert with_it["test"] != without["test"]
    assert "refit" not in without
    assert load_bundle(tmp_path / "false" / "bundle").log.boundaries == tiny_log(**SIZE).boundaries


def test_each_origin_is_a_run_on_the_log_until_then(tmp_path: Path) -> None:
    tables = tiny_tables(**SIZE)
    whole = run(tmp_path / "whole", tables, "evaluation.origins=3")
    trial = run(tmp_path / "trial", tables, "evaluation.origins=3", "evaluation.test=false")
    assert "test" not in trial
    assert trial["validation"] == whole["origins"][0]["validation"], "a trial sees the first origin only"
    assert trial["boundaries"] == whole["origins"][0]["boundaries"]

    times = np.sort(tables.interactions.drop_duplicates(["user_id", "content_id", "type"])["timestamp"].to_numpy())
    early = tables.interactions[tables.interactions["timestamp"] < times[int(0.8 * len(times))]]
    alone = run(tmp_path / "alone", replace(tables, interactions=early.reset_index(drop=True)))
    of_first = whole["origins"][0]
    for part in ("validation", "test", "threshold", "refit", "boundaries"):
        assert alone[part] == of_first[part], part
    assert whole["origins"][2]["test"] == run(tmp_path / "last", tables)["test"]

    per_user = pd.read_parquet(tmp_path / "whole" / "per_user.parquet")
    assert per_user.groupby(["origin", "split"]).ngroups == 6
    test = per_user[per_user["split"] == "test"]
    assert whole["test"]["all"]["users"] == len(test)
    assert whole["test"]["all"]["ndcg@10"] == pytest.approx(test["ndcg@10"].mean())
    of_origins = test.groupby("origin")["ndcg@10"].mean()
    assert [one["test"]["all"]["ndcg@10"] for one in whole["origins"]] == pytest.approx(of_origins.tolist())
    assert whole["mean"]["test"]["all"]["ndcg@10"] == pytest.approx(of_origins.mean())


def test_a_run_that_ends_after_validation_asks_nothing_of_test(tmp_path: Path) -> None:
    plain, tables = tiny_log(**SIZE).boundaries, tiny_tables(**SIZE)
    late = tables.interactions["timestamp"].to_numpy() * 10**9 >= plain.t_test
    views = tables.interactions.assign(type=np.where(late, "view", tables.interactions["type"]))
    options = (f"data.boundaries=[{plain.t_val},{plain.t_test}]", "data.target=[like,inspire,rating]")
    given = replace(tables, interactions=views)
    with pytest.raises(UserError, match="test"):
        run(tmp_path / "tested", given, *options)
    assert "validation" in run(tmp_path / "trial", given, *options, "evaluation.test=false")


UNBUILDABLE = {
    "optimizer.lr=-1": "optimizer could not be built with these options: {lr: -1, weight_decay: 1.0e-05} (ValueError",
    "optimizer.lr=abc": "optimizer.lr is abc: it must be a number",
    "optimizer.weight_decay=-1": "weight_decay: -1} (ValueError: Invalid weight_decay value: -1)",
    "scheduler.factor=2": "scheduler could not be built with these options: {mode: max, factor: 2, patience: 3}",
    "scheduler.patience=abc": "scheduler.patience is abc",
    "trainer.accelerator=nothing": "trainer could not be built with these options: {accelerator: nothing, devices: 1",
    "trainer.max_epochs=-5": "trainer could not be built with these options: {",
    "trainer.max_epochs=abc": "trainer.max_epochs is abc: it must be a number",
    "trainer.devices=0": "devices: 0,",
    "+trainer.precision=3": "precision: 3}",
    "model.hidden=abc": "model.hidden is abc: it must be a number",
    "model.dropout=a": "model.dropout is a",
    "model.similarity=abc": "model.similarity is abc: it must be true or false",
    "+model.depth=3": "model could not be built with these options: {hidden: 8",
    "loader.snapshots=abc": "loader.snapshots is abc",
    "+loader.parts=3": "loader could not be built with these options: {snapshots: 2",
}


@pytest.mark.parametrize("option", UNBUILDABLE)
def test_options_that_nothing_can_be_built_of_are_one_sentence(tmp_path: Path, option: str) -> None:
    with pytest.raises(UserError) as error:
        experiment(tmp_path, tiny_tables(**SIZE), option).run()
    assert UNBUILDABLE[option] in str(error.value)
    assert "\n" not in str(error.value)
    assert "object at" not in str(error.value)


def test_a_fault_in_training_stays_a_fault(tmp_path: Path) -> None:
    class Broken(Callback):
        def on_train_epoch_start(self, trainer: object, pl_module: object) -> None:
            raise ValueError("nobody expected this")

    with pytest.raises(ValueError, match="nobody expected this"):
        experiment(tmp_path, tiny_tables(**SIZE)).run(watchers=[Broken()])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("evaluation.origins=0",), "at least 1"),
        (("evaluation.origins=11",), "evaluation.origins is 11"),
        (("evaluation.origins=2", "data.boundaries=[2024-01-02,2024-01-03]"), "data.boundaries"),
    ],
    ids=["none", "too many", "fixed times"],
)
def test_origins_that_cannot_be(tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    with pytest.raises(UserError, match=said):
        experiment(tmp_path, tiny_tables(**SIZE), *options).run()
