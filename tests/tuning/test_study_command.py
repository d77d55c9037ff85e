"""`recsys study`: tables on the terminal, three files, commands to copy, and one sentence for mistakes."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_cli import Run, assert_error, run
from tests.tuning.sweeps import FAIL, PRUNED, make_sweep, trial, write_users

__all__ = ["run"]  # the fixture


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """An ablation of two configurations with two seeds each, and some trials that went wrong."""
    trials = [
        *(trial({"model.heads": heads, "seed": seed}, 0.1 * heads, epochs=3) for heads in (1, 2) for seed in (0, 1)),
        trial({"model.heads": 4, "seed": 0}, 0.7, PRUNED),
        trial({"model.heads": 8, "seed": 0}, 0.8),
        trial({"model.heads": 8, "seed": 1}, None, FAIL, error="[red]\x1b[31m out of memory"),
    ]
    folder = make_sweep(tmp_path / "sweeps" / "heads", trials, baseline={"model.heads": 1})
    for number, made in enumerate(trials):
        if made.values:
            write_users(folder, number, {user: made.values[0] + user / 1000 for user in range(20)})
    return folder


def test_tables_files_and_commands(run: Run, sweep: Path) -> None:
    done = run("study", "heads", "--dir", sweep.parent)
    assert (done.code, done.err) == (0, "")
    lines = [" ".join(line.replace("│", " ").split()) for line in done.out.splitlines()]
    assert "Sweep heads: 7 trials, 5 finished, 1 pruned, 1 failed" in lines
    assert lines.index("5 0.8000 heads=8 seed=0") < lines.index("2 0.2000 heads=2 seed=0 3")
    assert "heads=1 (baseline) 2 0.1000 0.0000" in lines
    assert "heads=2 2 0.2000 0.0000 +0.1000 *** +0.1000 to +0.1000 < 0.001" in lines
    assert "Not compared: heads=8: it has seeds 0, the baseline 0, 1: trial 6 (seed 1) failed." in lines
    assert "1 of the configurations tried so far have no finished trial." in lines
    assert "Best: python train.py data=movielens 'data.path=/a b' model.heads=2 seed=0" in lines
    for name in ("report.html", "trials.csv", "trial-epochs.csv"):
        assert f"Written: {sweep / name}" in lines
        assert (sweep / name).stat().st_size > 0
    assert f"Dashboard: optuna-dashboard {sweep}/study.journal (pip install optuna-dashboard)" in lines
    assert "\x1b" not in done.out


def test_long_commands_stay_on_one_line(run: Run, tmp_path: Path) -> None:
    final = {"overrides": [f"option{n}=value" for n in range(40)], "seeds": [0], "test": {}, "validation": {}}
    make_sweep(tmp_path / "s", [trial({"seed": 0}, 0.1)], final=final)
    done = run("study", "s", "--dir", tmp_path)
    assert any(line.endswith("option39=value") and "option0=value" in line for line in done.out.splitlines())


def test_a_study_in_a_database(run: Run, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/studies.db"
    make_sweep(tmp_path / "s", [trial({"seed": 0}, 0.25)], storage=url)
    for arguments in ((), ("--storage", url)):
        done = run("study", "s", "--dir", tmp_path, *arguments)
        assert done.code == 0
        assert "0.2500" in done.out
        assert f"Dashboard: optuna-dashboard {url} (pip" in done.out


def test_a_sweep_that_has_only_begun(run: Run, tmp_path: Path) -> None:
    make_sweep(tmp_path / "s", [], n_trials=3)
    done = run("study", "s", "--dir", tmp_path)
    assert done.code == 0
    assert "Sweep s: 3 trials\nNo trial has finished yet.\n" in done.out
    assert "Best:" not in done.out


def test_mistakes_are_one_sentence(run: Run, sweep: Path, tmp_path: Path) -> None:
    assert_error(run("study", "layers", "--dir", sweep.parent), "'layers'", "there are heads")
    assert_error(run("study", "heads", "--dir", tmp_path / "no"), "there is none")
    assert_error(
        run("study", "heads", "--dir", sweep.parent, "--storage", "postgresql://me:secret@host/db"), "password"
    )
    assert not list(sweep.glob("*.csv"))


def test_it_does_not_wait_for_torch(sweep: Path) -> None:
    script = (
        f"import sys; from recsys import cli; sys.argv = ['recsys', 'study', 'heads', '--dir', {str(sweep.parent)!r}]\n"
        "try:\n    cli.main()\nexcept SystemExit:\n    print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
