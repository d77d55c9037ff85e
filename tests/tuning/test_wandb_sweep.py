"""What W&B is told of a search: the same space, in its own words, with a command that Hydra takes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir

import train
from recsys.errors import UserError
from recsys.tuning.space import parse_space
from recsys.tuning.wandb_sweep import described, parameters, searched
from tests.conftest import ROOT


@pytest.fixture(autouse=True)
def _in_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def sweep_of(*overrides: str) -> dict:
    config, settings, search = searched(overrides)
    return described(settings, search, config.sweeps.pruner)


def command(module: str, *arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Run a module without any key."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("WANDB")}
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        capture_output=True,
        text=True,
        env={**env, "HOME": str(home)},
        cwd=ROOT,
        check=False,
    )


def test_the_kept_file_is_what_the_search_says() -> None:
    kept = yaml.safe_load((ROOT / "sweeps" / "wandb.yaml").read_text())
    assert kept == sweep_of("sweeps=tune")
    assert kept["method"] == "bayes"
    assert kept["metric"] == {"name": "val/ndcg@10", "goal": "maximize"}
    assert kept["early_terminate"]["type"] == "hyperband"
    assert kept["command"][-1] == "${args_no_hyphens}"
    assert {"logger=wandb", "evaluation.test=false"} <= set(kept["command"])


def test_every_kind_of_values() -> None:
    space = parse_space(
        {
            "a": "choice(1, 2)",
            "b": "null, true, x",
            "c": "range(1, 4)",
            "d": "range(0, 10, 5)",
            "e": "interval(0.0, 0.5)",
            "f": "tag(log, interval(1e-4, 1e-2))",
            "g": "int(interval(2, 8))",
            "h": "tag(log, int(interval(2, 64)))",
            "i": "range(0.0, 1.0, 0.25)",
        },
        {},
        {},
    )
    assert parameters(space) == {
        "a": {"values": [1, 2]},
        "b": {"values": ["null", "true", "x"]},
        "c": {"distribution": "int_uniform", "min": 1, "max": 3},
        "d": {"values": [0, 5]},
        "e": {"distribution": "uniform", "min": 0.0, "max": 0.5},
        "f": {"distribution": "log_uniform_values", "min": 1e-4, "max": 1e-2},
        "g": {"distribution": "int_uniform", "min": 2, "max": 8},
        "h": {"distribution": "q_log_uniform_values", "q": 1, "min": 2, "max": 64},
        "i": {"values": [0.0, 0.25, 0.5, 0.75]},
    }


def test_hydra_takes_what_an_agent_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = sweep_of("sweeps=tune", "data.num_users=500", "model.heads=1,8")
    assert sweep["parameters"]["model.heads"] == {"values": [1, 8]}
    chosen = {key: spec["values"][-1] if "values" in spec else spec["min"] for key, spec in sweep["parameters"].items()}
    passed = [word for word in sweep["command"] if not word.startswith("${")]
    passed += [f"{key}={value}" for key, value in chosen.items()]  # as W&B's agent fills in ${args_no_hyphens}
    train.register_resolvers()
    monkeypatch.setenv("WANDB_RUN_ID", "x1y2z3")
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("train", [*passed, "name=one"])
    assert (config.model.heads, config.model.layers, config.optimizer.weight_decay) == (8, 0, 1e-6)
    assert (config.data.num_users, config.evaluation.test) == (500, False)
    assert config.run_dir == "runs/sweeps/tune_synthetic_gat_sage/x1y2z3"
    assert (config.logger.wandb.group, config.logger.wandb.name) == (sweep["name"], None)


@pytest.mark.parametrize(
    ("options", "method", "early"),
    [
        (("sweeps=heads",), "grid", False),
        (("sweeps=tune", "sweeps/sampler=random"), "random", True),
        (("sweeps=tune", "sweeps/pruner=none"), "bayes", False),
    ],
    ids=lambda value: value[-1] if isinstance(value, tuple) else "",
)
def test_how_values_are_chosen_and_trials_end(options: tuple[str, ...], method: str, early: bool) -> None:
    sweep = sweep_of(*options)
    assert sweep["method"] == method
    assert ("early_terminate" in sweep) == early


def test_a_metric_that_epochs_do_not_have_is_the_final_one() -> None:
    assert sweep_of("sweeps=heads", "sweeps.objective=val/map@10")["metric"]["name"] == "validation/all/map@10"
    costs = sweep_of("sweeps=heads", "sweeps.objective=cost/parameters")
    assert costs["metric"] == {"name": "cost/parameters", "goal": "minimize"}


def test_the_goal_follows_the_monitor() -> None:
    sweep = sweep_of("sweeps=tune", "monitor=val/loss", "monitor_mode=min")
    assert sweep["metric"] == {"name": "val/loss", "goal": "minimize"}
    assert {"monitor=val/loss", "monitor_mode=min"} <= set(sweep["command"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("model=popularity",), "sweeps=NAME"),
        (("sweeps=wandb",), "sweeps=NAME"),
        (("sweeps=tune", "+data.api_key=hunter2"), "data.api_key is a secret"),
        (("sweeps=tune", "sweeps/pruner=median"), "hyperband"),
        (("sweeps=tune", "sweeps.objective=test/ndcg@10"), "test"),
        (("sweeps=tune", "+sweeps.when={model.layers: {model.hidden: 64}}"), "conditions"),
        (
            (
                *("sweeps=tune", "sweeps/pruner=none", "sweeps.objective=[val/ndcg@10,cost/parameters]"),
                "sweeps.direction=[maximize,minimize]",
            ),
            "one objective",
        ),
    ],
    ids=lambda value: value[-1] if isinstance(value, tuple) else value,
)
def test_what_wandb_cannot_do_is_said(options: tuple[str, ...], said: str) -> None:
    with pytest.raises(Exception, match=said) as caught:
        sweep_of(*options)
    assert isinstance(caught.value, UserError) or isinstance(caught.value.__cause__, UserError)


@pytest.mark.parametrize(
    ("module", "arguments"),
    [("recsys.tuning.wandb_sweep", ("sweeps=tune",)), ("recsys.tuning.dashboard", ("--entity", "someone"))],
    ids=["sweep", "dashboard"],
)
def test_without_a_key_there_is_one_sentence(tmp_path: Path, module: str, arguments: tuple[str, ...]) -> None:
    done = command(module, *arguments, home=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "WANDB_API_KEY" in done.stderr
    assert "Traceback" not in done.stderr


def test_outside_the_project_there_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="project's folder"):
        searched(["sweeps=tune"])


@pytest.mark.parametrize("options", [("-m", "sweeps=wandb"), ("sweeps=wandb",)], ids=["searched", "run"])
def test_the_file_for_wandb_is_no_search_of_hydra(options: tuple[str, ...], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "train.py"), *options], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 2
    assert [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "Traceback" not in done.stderr
