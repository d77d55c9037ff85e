"""`python train.py -m` end to end: complete, pruned, killed, failing, shared and refused sweeps."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import optuna
import psutil
import pytest
import yaml
from optuna.trial import TrialState
from sqlalchemy import create_engine

from recsys.errors import UserError
from recsys.tuning.storage import open_storage
from tests.conftest import ROOT, Command
from tests.test_train import SMALL, assert_one_sentence
from tests.tuning.test_study import DATABASES

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "WANDB_MODE": "offline"}


def options(folder: Path, *more: str) -> list[str]:
    """A sweep's command line on the small platform, with everything it writes in `folder`."""
    usual = ["trainer.max_epochs=2", "sweeps.name=s", f"sweeps.folder={folder}", f"sweeps.best_dir={folder}"]
    usual += ["sweeps.final_seeds=0", "sweeps.threads=1"]
    given = {option.partition("=")[0] for option in more}
    return ["-m", *(option for option in [*SMALL, *usual] if option.partition("=")[0] not in given), *more]


def own_sweep(folder: Path, **content: Any) -> list[str]:
    """Options of a grid that a user has written into a folder of their own."""
    (folder / "sweeps").mkdir()
    defaults = ["base", {"override sampler": "grid"}, {"override pruner": "none"}, "_self_"]
    (folder / "sweeps" / "own.yaml").write_text(yaml.safe_dump({"defaults": defaults, **content}, sort_keys=False))
    return ["sweeps=own", f"hydra.searchpath=[file://{folder}]"]


def study_of(folder: Path) -> optuna.Study:
    return optuna.load_study(study_name="s", storage=open_storage(None, folder))


def states(folder: Path) -> list[str]:
    return [trial.state.name for trial in study_of(folder).trials]


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_a_grid_over_a_conditional_space_then_the_best_on_test(train: Command, tmp_path: Path) -> None:
    space = {"model": "gat_sage,hetero_sage", "model.heads": "1,2"}
    own = own_sweep(tmp_path, space=space, when={"model.heads": {"model": "gat_sage"}})
    done = train(*options(tmp_path, *own, "sweeps.n_jobs=2", "sweeps.final_seeds=2"))
    assert done.returncode == 0, done.stderr
    study = study_of(tmp_path)
    assert [trial.params for trial in study.trials] == [
        {"model": "gat_sage", "model.heads": 1},
        {"model": "gat_sage", "model.heads": 2},
        {"model": "hetero_sage"},
    ]
    for trial in study.trials:
        run = tmp_path / str(trial.number)
        metrics = read(run / "metrics.json")
        assert "test" not in metrics, "a trial has looked at the test set"
        assert not (run / "bundle").exists()
        assert trial.value == metrics["validation"]["all"]["ndcg@10"]
        assert len(trial.intermediate_values) == 2
        assert read(run / "trial.json")["state"] == "COMPLETE"
        assert (run / "per_user.parquet").is_file()

    final = read(tmp_path / "final.json")
    runs = [read(tmp_path / "final" / str(study.best_trial.number) / str(seed) / "metrics.json") for seed in (0, 1)]
    tested = [run["test"]["all"]["ndcg@10"] for run in runs]
    assert final["test"]["ndcg@10"]["values"] == tested
    assert final["test"]["ndcg@10"]["mean"] == pytest.approx(sum(tested) / 2)
    assert final["test"]["ndcg@10"]["std"] == pytest.approx(abs(tested[0] - tested[1]) / 2**0.5)

    assert "experiment=best_s" in done.stdout
    folder = tmp_path / "searched" / "experiment"
    folder.mkdir(parents=True)
    (tmp_path / "best_s.yaml").rename(folder / "best_s.yaml")
    again = train("experiment=best_s", f"hydra.searchpath=[file://{folder.parent}]", f"run_dir={tmp_path}/again")
    assert again.returncode == 0, again.stderr
    assert read(tmp_path / "again" / "metrics.json")["test"] == runs[0]["test"]


def test_pruning_saves_epochs_and_finds_the_same_best(train: Command, tmp_path: Path) -> None:
    swept = ["sweeps=grid", "optimizer.lr=1e-2,3e-3,1e-8,1e-9,1e-10", "trainer.max_epochs=4", "sweeps.n_jobs=2"]
    pruner = ["sweeps/pruner=median", "sweeps.pruner.n_startup_trials=2", "sweeps.pruner.n_warmup_steps=0"]
    for name, more in (("whole", []), ("pruned", pruner)):
        done = train(*options(tmp_path / name, *swept, *more))
        assert done.returncode == 0, done.stderr
    whole, pruned = study_of(tmp_path / "whole"), study_of(tmp_path / "pruned")
    assert pruned.best_params == whole.best_params
    assert pruned.best_value == whole.best_value
    cut = [trial for trial in pruned.trials if trial.state == TrialState.PRUNED]
    assert cut
    assert sum(trial.user_attrs["epochs"] for trial in pruned.trials) < 5 * 4
    for trial in cut:
        run = tmp_path / "pruned" / str(trial.number)
        assert read(run / "trial.json")["state"] == "PRUNED"
        rows = (run / "logs" / "version_0" / "metrics.csv").read_text().splitlines()
        assert len(rows) > len(trial.intermediate_values), "the metrics before pruning are lost"
        assert trial.value == trial.intermediate_values[max(trial.intermediate_values)]


VARIANTS: dict[str, list[str]] = {
    "nan": ["optimizer.lr=1e30"],
    "memory": ["model.hidden=20000000"],
    "sentence": ["model.hidden=9"],
    "raises": ["+callbacks.broken={_target_: tests.tuning.broken.Raises}"],
    "segfault": ["+callbacks.broken={_target_: tests.tuning.broken.Segfaults}"],
    "killed": ["+callbacks.broken={_target_: tests.tuning.broken.IsKilled}"],
    "good": [],
}


def test_failing_trials_do_not_end_a_sweep(train: Command, tmp_path: Path) -> None:
    own = own_sweep(tmp_path, variants=VARIANTS)
    done = train(*options(tmp_path, *own, "sweeps.max_failures=6", "sweeps.attempts=2"))
    assert done.returncode == 0, done.stderr
    trials = {trial.params["variant"]: trial for trial in study_of(tmp_path).trials}
    assert trials["good"].state == TrialState.COMPLETE
    said = {
        "nan": "the loss became",
        "memory": "memory",
        "sentence": "heads",
        "raises": "ZeroDivisionError: nobody expected this",
        "segfault": "its process was killed by SIGSEGV",
        "killed": "its process was killed 2 times",
    }
    for name, words in said.items():
        assert trials[name].state == TrialState.FAIL, name
        assert words in trials[name].user_attrs["error"], name
    errors = {name: (tmp_path / str(trials[name].number) / "error.txt") for name in ("raises", "memory", "segfault")}
    assert "Traceback" in errors["raises"].read_text()
    assert "on_train_epoch_start" in errors["raises"].read_text()
    assert "Traceback" in errors["memory"].read_text()
    assert "Segmentation fault" in errors["segfault"].read_text()


def test_too_many_failures_end_it(train: Command, tmp_path: Path) -> None:
    done = train(*options(tmp_path, "sweeps=grid", "model.hidden=9,11,13", "sweeps.max_failures=1"))
    assert_one_sentence(done, "2 trials failed, more than sweeps.max_failures=1")


def start(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=ENVIRONMENT,
    )


def wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 240
    while not path.is_file() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert path.is_file(), path


def test_killed_and_repeated_equals_uninterrupted(train: Command, tmp_path: Path) -> None:
    unless = tmp_path / "go-on"
    waits = f"+callbacks.waits={{_target_: tests.tuning.broken.Waits, unless: '{unless}'}}"
    swept = ["sweeps=grid", "seed=0,1", "trainer.max_epochs=4", "model.dropout=0.3", waits]
    killed = tmp_path / "killed"
    process = start(*options(killed, *swept))
    wait_for(killed / "0" / "checkpoints" / "last.ckpt", process)
    while len(study_of(killed).trials[0].intermediate_values) < 2:
        time.sleep(0.05)
    lease = study_of(killed).trials[0].user_attrs["lease"]
    process.send_signal(signal.SIGKILL)
    process.wait()
    psutil.wait_procs([psutil.Process(lease["pid"])] if psutil.pid_exists(lease["pid"]) else [], timeout=20)
    assert not psutil.pid_exists(lease["pid"]), "the worker outlived its sweep"
    assert states(killed) == ["RUNNING", "WAITING"]

    unless.touch()
    whole = tmp_path / "whole"
    for folder in (killed, whole):
        done = train(*options(folder, *swept))
        assert done.returncode == 0, done.stderr
    resumed, uninterrupted = study_of(killed).trials, study_of(whole).trials
    assert [trial.state for trial in resumed] == [TrialState.COMPLETE] * 2
    assert [trial.value for trial in resumed] == [trial.value for trial in uninterrupted]
    assert [t.intermediate_values for t in resumed] == [t.intermediate_values for t in uninterrupted]
    assert resumed[0].user_attrs["attempts"] == 2
    assert sorted(path.name for path in killed.iterdir() if path.name.isdigit()) == ["0", "1"]
    assert "ckpt" in (killed / "0" / ".hydra" / "overrides.yaml").read_text()


def test_two_sweeps_share_one_database(train: Command, tmp_path: Path) -> None:
    url = DATABASES["postgresql"]
    try:
        open_storage(url, tmp_path)
    except UserError as error:
        pytest.skip(f"no database: {error} (set RECSYS_TEST_POSTGRESQL)")
    name = f"shared-{os.getpid()}"
    swept = ["sweeps=grid", "seed=range(4)", f"sweeps.storage={url}", f"sweeps.name={name}"]
    machines = [start(*options(tmp_path / place, *swept)) for place in ("here", "there")]
    try:
        assert [machine.wait(timeout=240) for machine in machines] == [0, 0]
        trials = optuna.load_study(study_name=name, storage=open_storage(url, tmp_path)).trials
        assert sorted(trial.params["seed"] for trial in trials) == [0, 1, 2, 3]
        assert {trial.state for trial in trials} == {TrialState.COMPLETE}
        ran = [path.name for place in ("here", "there") for path in (tmp_path / place).iterdir() if path.name.isdigit()]
        assert sorted(ran) == ["0", "1", "2", "3"], "a trial was run twice"
    finally:
        optuna.delete_study(study_name=name, storage=open_storage(url, tmp_path))
        create_engine(url).dispose()


def test_through_a_launcher_of_hydra(train: Command, tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    launcher = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "sweeps.n_jobs=2"]
    done = train(*options(tmp_path, "sweeps=grid", "seed=0,1,2", *launcher))
    assert done.returncode == 0, done.stderr
    assert states(tmp_path) == ["COMPLETE"] * 3
    pids = {trial.user_attrs["lease"]["pid"] for trial in study_of(tmp_path).trials}
    assert len(pids) == 2, "the trials did not run in two processes"


def test_several_objectives_give_a_front(train: Command, tmp_path: Path) -> None:
    objectives = ["sweeps.objective=[val/ndcg@10,cost/parameters]", "sweeps.direction=[maximize,minimize]"]
    sampler = ["sweeps=tune", "sweeps/sampler=nsgaii", "sweeps/pruner=none", "sweeps.n_trials=3", "sweeps.space={}"]
    done = train(*options(tmp_path, *sampler, "model.hidden=int(interval(2,8))", "model.heads=1", *objectives))
    assert done.returncode == 0, done.stderr
    study = study_of(tmp_path)
    assert len(study.trials) == 3
    assert all(len(trial.values) == 2 for trial in study.trials)
    by_size = sorted(study.trials, key=lambda trial: trial.params["model.hidden"])
    assert [t.values[1] for t in by_size] == sorted(t.values[1] for t in by_size)
    assert study.best_trials


REFUSED = {
    "test metric": (("sweeps=heads", "sweeps.objective=test/ndcg@10"), "must not see the test set"),
    "monitor on test": (("sweeps=heads", "monitor=test/ndcg@10"), "must not see the test set"),
    "several and a pruner": (
        ("sweeps=tune", "sweeps.objective=[val/ndcg@10,cost/parameters]", "sweeps.direction=[maximize,minimize]"),
        "several objectives cannot prune",
    ),
    "no search": (("model.heads=1,2",), "-m needs a search: add sweeps=NAME, one of"),
    "no such search": (("sweeps=head",), "heads"),
    "an interval in a grid": (("sweeps=grid", "model.dropout=interval(0,1)"), "cannot be tried value by value"),
    "an unknown option": (("sweeps=grid", "model.haeds=1,2"), "model.haeds"),
    "an unknown choice": (("sweeps=grid", "model=gat_sage,gat_age"), "gat_age"),
    "a folder of its own": (("sweeps=grid", "seed=0,1", "run_dir=x"), "a sweep sets run_dir itself"),
    "a password": (("sweeps=heads", "sweeps.storage=postgresql://me:hunter2@host/x"), "holds a password"),
    "a secret": (("sweeps=heads", "+data.api_key=hunter2"), "data.api_key is a secret"),
    "a secret of all trials": (
        ("sweeps=heads", "sweeps.overrides=['+data.api_key=hunter2']"),
        "data.api_key is a secret",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(train: Command, tmp_path: Path, case: str) -> None:
    given, said = REFUSED[case]
    done = train("-m", *given, f"sweeps.folder={tmp_path}/s" if given[0].startswith("sweeps=") else "seed=0")
    assert_one_sentence(done, said)
    assert "hunter2" not in done.stderr
    assert not any(b"hunter2" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert not any((tmp_path / "s").glob("[0-9]*"))


def test_a_search_without_m_is_refused(train: Command) -> None:
    assert_one_sentence(train("sweeps=heads"), "sweeps=... is searched with -m")
