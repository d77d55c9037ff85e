"""What a sweep has left behind: trials in order, curves from study and logs, and the commands that go on from it."""

import math
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from optuna.trial import FrozenTrial

from recsys.errors import UserError
from recsys.tuning.results import SweepResults, read_sweep
from tests.tuning.sweeps import COMPLETE, FAIL, PRUNED, RUNNING, WAITING, make_sweep, trial, write_log


def read(folder: Path) -> SweepResults:
    return read_sweep(folder.name, folder.parent)


def numbers(trials: list[FrozenTrial]) -> list[int]:
    return [found.number for found in trials]


def test_best_trials_come_first(tmp_path: Path) -> None:
    values = (0.1, 0.3, math.inf, 0.2)
    of_heads = [trial({"model.heads": heads}, value) for heads, value in zip((1, 2, 4, 8), values, strict=True)]
    trials = [*of_heads, trial({"model.heads": 1}, 0.9, PRUNED)]
    sweep = read(make_sweep(tmp_path / "most", trials))
    assert numbers(sweep.completed()) == [0, 1, 3]
    assert numbers(sweep.ranked()) == [1, 3, 0]
    assert numbers(sweep.best()) == [1]
    sweep = read(make_sweep(tmp_path / "least", trials, directions=("minimize",)))
    assert numbers(sweep.ranked()) == [0, 3, 1]


def test_pareto_front(tmp_path: Path) -> None:
    # By hand: 1 beats 0 in both, 3 is beaten by 2; 1, 2 and 4 beat one another in one objective each.
    values = [(0.2, 5.0), (0.3, 4.0), (0.5, 6.0), (0.4, 7.0), (0.1, 1.0)]
    trials = [trial({"model.heads": 1}, both) for both in values]
    sweep = read(
        make_sweep(
            tmp_path / "s", trials, objectives=("val/ndcg@10", "cost/parameters"), directions=("maximize", "minimize")
        )
    )
    assert numbers(sweep.best()) == [2, 1, 4]
    # Of a smaller number of trials than the study has.
    assert numbers(replace(sweep, trials=sweep.trials[:2]).best()) == [1]
    assert numbers(sweep.ranked(1)) == [4, 1, 0, 2, 3]


def test_states_and_params(tmp_path: Path) -> None:
    trials = [
        trial({"model.heads": 1, "seed": 0}, 0.1),
        trial({"optimizer.lr": 0.1, "seed": 0}, None, PRUNED),
        trial({"seed": 0}, None, FAIL),
        trial({"seed": 1}, None, RUNNING),
        trial(state=WAITING),
        trial(state=WAITING),
        trial(state=WAITING),
    ]
    sweep = read(make_sweep(tmp_path / "s", trials, n_trials=6))
    assert sweep.states() == {"finished": 1, "pruned": 1, "failed": 1, "running": 1, "waiting": 2}
    assert sweep.params() == ["model.heads", "optimizer.lr", "seed"]


def test_curves_join_what_was_reported_and_what_was_logged(tmp_path: Path) -> None:
    trials = [
        trial({"model.heads": 1}, 0.3, reported={0: 0.1, 1: 0.3}),  # reported and logged
        trial({"model.heads": 1}, 0.2, PRUNED, reported={0: 0.2}),  # its folder is on another machine
        trial({"model.heads": 1}, 0.4),  # only logged, in two sittings
        trial(state=WAITING),
    ]
    folder = make_sweep(tmp_path / "s", trials)
    gap = np.nan
    logged = {
        "train/loss": [1.0, gap, gap, gap],
        "val/ndcg@10": [gap, 0.11, 0.3, 0.31],
        "val/auroc": [gap, 0.5, 0.6, 0.61],
        "val/map@10": [gap, gap, gap, 0.2],  # only known at the end, which belongs to no epoch
    }
    write_log(folder, 0, epoch=[0, 0, 1, gap], step=[1, 2, 3, 0], **logged)
    write_log(folder, 2, epoch=[0, 1], step=[1, 2], **{"val/ndcg@10": [0.1, 0.2]})
    write_log(folder, 2, version=1, epoch=[1, 2], step=[2, 3], **{"val/ndcg@10": [0.25, 0.4]})
    expected = pd.DataFrame(
        [
            [0, 0, 0.1, 0.5],
            [0, 1, 0.3, 0.6],
            [1, 0, 0.2, gap],
            [2, 0, 0.1, gap],
            [2, 1, 0.25, gap],
            [2, 2, 0.4, gap],
        ],
        columns=["trial", "epoch", "value", "val/auroc"],
    )
    pd.testing.assert_frame_equal(read(folder).curves(), expected)


def test_curves_of_a_sweep_without_any_epoch(tmp_path: Path) -> None:
    curves = read(make_sweep(tmp_path / "s", [trial({"model.heads": 1}, 0.1)])).curves()
    assert list(curves) == ["trial", "epoch", "value"]
    assert curves.empty


def test_a_trial_says_where_its_folder_is(tmp_path: Path) -> None:
    trials = [trial({"seed": 0}, 0.1), trial({"seed": 1}, 0.1, folder="elsewhere/runs/s/0")]
    folder = make_sweep(tmp_path / "s", trials)
    sweep = read(folder)
    assert [sweep.trial_folder(found) for found in sweep.trials] == [folder / "0", folder / "0"]


def test_the_best_command_repeats_the_best_trial(tmp_path: Path) -> None:
    params = {"variant": "no_tags", "optimizer.lr": 0.00123456789, "seed": 3}
    trials = [trial(params, 0.2), trial({"variant": "default", "optimizer.lr": 0.1, "seed": 0}, 0.1)]
    variants = {"default": [], "no_tags": ["graph.tags=false"]}
    command = read(make_sweep(tmp_path / "s", trials, variants=variants)).best_command()
    assert command is not None
    assert shlex.split(command) == [
        *("python", "train.py", "data=movielens", "data.path=/a b"),
        *("graph.tags=false", "optimizer.lr=0.00123456789", "seed=3"),
    ]
    assert read(make_sweep(tmp_path / "none", [trial(params, None, FAIL)])).best_command() is None


def test_the_best_command_is_what_was_tested(tmp_path: Path) -> None:
    final = {"overrides": ["a=[1, 2]"], "seeds": [0], "test": {}, "validation": {}}
    folder = make_sweep(tmp_path / "s", [trial({"seed": 0}, 0.1)], final=final)
    assert read(folder).best_command() == "python train.py 'a=[1, 2]'"


def test_the_dashboard_reads_the_same_storage(tmp_path: Path) -> None:
    folder = make_sweep(tmp_path / "my sweep", [])
    assert read(folder).dashboard_command() == f"optuna-dashboard '{folder}/study.journal'"
    url = f"sqlite:///{tmp_path}/studies.db"
    sweep = read(make_sweep(tmp_path / "shared", [trial({"seed": 0}, 0.1)], storage=url))
    assert sweep.dashboard_command() == f"optuna-dashboard {url}"
    assert [found.state for found in sweep.trials] == [COMPLETE]


def test_mistakes_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no sweep named 'x'; there is none"):
        read_sweep("x", tmp_path)
    make_sweep(tmp_path / "tune", [])
    folder = make_sweep(tmp_path / "heads", [])
    with pytest.raises(UserError, match=r"has no sweep named '\.\./heads'; there are heads, tune"):
        read_sweep("../heads", tmp_path)
    with pytest.raises(UserError, match="holds no study of 'heads'; name its storage with --storage URL"):
        read_sweep("heads", tmp_path, f"sqlite:///{tmp_path}/other.db")
    (folder / "study.journal").unlink()
    with pytest.raises(UserError, match="no trial of 'heads' has begun"):
        read(folder)
    (folder / "study.journal").write_text("no\nJSON\n")
    with pytest.raises(UserError, match=r"study\.journal is damaged"):
        read(folder)
    (folder / "sweep.json").write_text('{"name": ')
    with pytest.raises(UserError, match=r"sweep\.json cannot be read"):
        read(folder)
    for content in ("[]", "{}"):
        (folder / "sweep.json").write_text(content)
        with pytest.raises(UserError, match=r"sweep\.json is damaged: it must hold baseline"):
            read(folder)
