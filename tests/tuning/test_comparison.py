"""The ablation table: seeds put together, users paired, and what cannot be compared named."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from optuna.trial import FrozenTrial, TrialState

from recsys.evaluation.significance import compare_with_baseline
from recsys.tuning.comparison import Comparison, Row, compare_configurations
from recsys.tuning.results import read_sweep
from tests.tuning.sweeps import COMPLETE, FAIL, PRUNED, RUNNING, make_sweep, trial, write_users

DEFAULT = {"variant": "default"}


def heads(count: int, seed: int, value: float | None, state: TrialState = COMPLETE) -> FrozenTrial:
    return trial({"model.heads": count, "seed": seed}, value, state)


def compared(folder: Path) -> Comparison:
    return compare_configurations(read_sweep(folder.name, folder.parent))


def rows(comparison: Comparison) -> dict[str, Row]:
    return {row.label: row for row in comparison.rows}


@pytest.fixture
def users() -> np.ndarray:
    """A metric of 30 users in 6 trials: [6, 30]."""
    return np.random.default_rng(0).uniform(size=(6, 30)).round(3)


def ablation(folder: Path, users: np.ndarray) -> Path:
    """Heads 1 (baseline), 2 and 4, each with seeds 0 and 1; the trials in another order than the seeds."""
    params = [(1, 1), (2, 0), (4, 1), (4, 0), (2, 1), (1, 0)]
    trials = [heads(*of_trial, float(metric.mean())) for of_trial, metric in zip(params, users, strict=True)]
    make_sweep(folder, trials, baseline={"model.heads": 1})
    for number, metric in enumerate(users):
        ids = np.roll(np.arange(1000, 1030), number)  # the order of the rows is nobody's promise
        write_users(folder, number, dict(zip(ids, np.roll(metric, number), strict=True)))
    return folder


def test_each_configuration_is_compared_user_by_user(tmp_path: Path, users: np.ndarray) -> None:
    comparison = compared(ablation(tmp_path / "heads", users))
    by_heads = {1: users[[5, 0]], 2: users[[1, 4]], 4: users[[3, 2]]}
    expected = compare_with_baseline(
        pd.DataFrame({str(count): of_seeds.mean(axis=0) for count, of_seeds in by_heads.items()}), "1"
    )
    found = rows(comparison)
    assert set(found) == {"heads=1", "heads=2", "heads=4"}
    for count, of_seeds in by_heads.items():
        row = found[f"heads={count}"]
        means = of_seeds.mean(axis=1)
        assert row.seeds == (0, 1)
        assert row.mean == pytest.approx(means.mean())
        assert row.std == pytest.approx(abs(means[0] - means[1]) / np.sqrt(2))
        assert row.reason == ""
    for count in (2, 4):
        difference = found[f"heads={count}"].difference
        assert difference is not None
        assert vars(difference) == pytest.approx(vars(expected[str(count)]))
        assert difference.mean == pytest.approx(found[f"heads={count}"].mean - found["heads=1"].mean)
    assert found["heads=1"].difference is None
    assert [row.is_baseline for row in comparison.rows] == [True, False, False]
    assert comparison.rows[1].mean > comparison.rows[2].mean
    assert comparison.compares
    assert comparison.notes == ()


def test_less_is_better_puts_the_smallest_first(tmp_path: Path) -> None:
    folder = make_sweep(
        tmp_path / "s",
        [trial({"model.heads": count}, value) for count, value in ((1, 0.5), (2, 0.7), (4, 0.2), (8, 0.3))],
        objectives=("val/mae",),
        directions=("minimize",),
        baseline={"model.heads": 1},
    )
    for number in range(4):
        write_users(folder, number, {1: 0.5, 2: 0.25 + number}, metric="mae")
    comparison = compared(folder)
    assert [row.label for row in comparison.rows] == ["heads=1", "heads=4", "heads=8", "heads=2"]
    assert not comparison.maximizes
    assert [row.difference.mean for row in comparison.rows[1:] if row.difference] == [1, 1.5, 0.5]
    assert [row.std for row in comparison.rows] == [None] * 4
    assert [row.seeds for row in comparison.rows] == [(None,)] * 4


def test_other_seeds_are_not_compared(tmp_path: Path, users: np.ndarray) -> None:
    trials = [
        *(heads(1, seed, 0.2) for seed in (0, 1, 2)),
        *(heads(2, seed, 0.3) for seed in (0, 1)),
        heads(2, 2, 0.1, PRUNED),
        heads(4, 0, 0.3),
        heads(4, 1, None, FAIL),
        heads(4, 2, None, RUNNING),
        *(heads(8, seed, 0.2) for seed in (0, 1, 2)),
    ]
    folder = make_sweep(tmp_path / "s", trials, baseline={"model.heads": 1})
    for number in range(len(trials)):
        write_users(folder, number, dict(enumerate(users[number % 6])))
    found = rows(compared(folder))
    assert found["heads=2"].reason == "it has seeds 0, 1, the baseline 0, 1, 2: trial 5 (seed 2) was pruned"
    assert found["heads=4"].reason == (
        "it has seeds 0, the baseline 0, 1, 2: trial 7 (seed 1) failed, trial 8 (seed 2) still runs"
    )
    assert found["heads=2"].difference is found["heads=4"].difference is None
    difference = found["heads=8"].difference
    assert difference is not None
    assert difference.p_holm == difference.p_value  # the family is what was compared, which is this one alone


def test_other_users_are_not_compared(tmp_path: Path) -> None:
    trials = [trial({"model.heads": count}, 0.2) for count in (1, 2, 4, 8)]
    folder = make_sweep(tmp_path / "s", trials, baseline={"model.heads": 1})
    write_users(folder, 0, {"a": 0.1, "b": 0.2, "c": 0.3})
    write_users(folder, 1, {"a": 0.1, "b": 0.2})
    write_users(folder, 2, {"a": 0.1, "b": 0.2, "d": 0.3})
    (folder / "3").mkdir()
    (folder / "3" / "per_user.parquet").write_bytes(b"PAR1 cut short")
    found = rows(compared(folder))
    assert found["heads=2"].reason == "its 2 users are not the 3 of the baseline"
    assert found["heads=4"].reason == "its 3 users are not the 3 of the baseline"
    assert found["heads=8"].reason == f"{folder}/3/per_user.parquet cannot be read"
    assert not compared(folder).compares


def test_seeds_with_different_users_are_not_averaged(tmp_path: Path) -> None:
    trials = [heads(count, seed, 0.2) for count in (1, 2) for seed in (0, 1)]
    folder = make_sweep(tmp_path / "s", trials, baseline={"model.heads": 1})
    for number in range(4):
        write_users(folder, number, {1: 0.1, 2 if number < 3 else 3: 0.2})
    assert rows(compared(folder))["heads=2"].reason == "trials 2 and 3 evaluated different users"


def test_a_point_that_was_tried_twice_counts_once(tmp_path: Path, users: np.ndarray) -> None:
    trials = [heads(1, 0, 0.2), heads(2, 0, 0.3), heads(2, 0, 0.9), heads(1, 0, 0.9)]
    folder = make_sweep(tmp_path / "s", trials, baseline={"model.heads": 1})
    for number in (0, 1):
        write_users(folder, number, dict(enumerate(users[number])))
    found = rows(compared(folder))
    assert (found["heads=1"].mean, found["heads=2"].mean) == (0.2, 0.3)
    assert found["heads=2"].difference is not None


def test_the_first_objective_that_users_have_is_compared(tmp_path: Path) -> None:
    trials = [trial({"model.heads": count}, (0.01 * count, 0.2 / count, 0.6)) for count in (1, 2)]
    folder = make_sweep(
        tmp_path / "s",
        trials,
        objectives=("cost/inference_seconds", "val/recall@20", "val/ndcg@10"),
        directions=("minimize", "maximize", "maximize"),
        baseline={"model.heads": 1},
    )
    write_users(folder, 0, {1: 0.3, 2: 0.1}, metric="recall@20")
    write_users(folder, 1, {1: 0.1, 2: 0.1}, metric="recall@20")
    comparison = compared(folder)
    assert comparison.objective == "val/recall@20"
    assert [row.mean for row in comparison.rows] == [0.2, 0.1]
    difference = comparison.rows[1].difference
    assert difference is not None
    assert difference.mean == pytest.approx(-0.1)


def test_labels_name_what_sets_apart(tmp_path: Path) -> None:
    params = [
        {"loader": "snapshot", "model.heads": 1, "optimizer.lr": 0.001, "seed": 0},
        {"loader": "snapshot", "model.heads": 2, "seed": 0},
    ]
    folder = make_sweep(tmp_path / "s", [trial(of_trial, 0.1) for of_trial in params])
    assert set(rows(compared(folder))) == {"heads=1 lr=0.001", "heads=2"}


@pytest.mark.parametrize(
    ("baseline", "said"),
    [
        ({}, "the sweep names no baseline"),
        ({"seed": 0}, "the sweep names no baseline"),
        ({"model.heads": 8}, "no trial of the baseline (heads=8) has finished"),
        ({"loader": "snapshot"}, "2 configurations have the baseline's params (loader=snapshot)"),
        ({"model.heads": 2}, "per_user.parquet is missing"),
        ({"model.heads": 4}, "val/ndcg@10 cannot be told user by user"),
    ],
    ids=["none", "only a seed", "unfinished", "ambiguous", "no users", "no such metric"],
)
def test_without_a_baseline_nothing_is_compared(tmp_path: Path, baseline: dict[str, object], said: str) -> None:
    trials = [
        trial({"model.heads": 1, "loader": "snapshot"}, 0.1),
        trial({"model.heads": 2, "loader": "snapshot"}, 0.2),
        trial({"model.heads": 4, "loader": "neighbor"}, 0.3),
    ]
    folder = make_sweep(tmp_path / "s", trials, baseline=baseline)
    write_users(folder, 2, {1: 0.1, 2: 0.2}, metric="recall@20")
    comparison = compared(folder)
    assert said in comparison.notes[-1]
    assert comparison.notes[-1].startswith("Nothing is compared: ")
    assert not comparison.compares
    assert [row.mean for row in comparison.rows if not row.is_baseline] == sorted(
        (row.mean for row in comparison.rows if not row.is_baseline), reverse=True
    )


def test_one_user_is_too_few(tmp_path: Path) -> None:
    folder = make_sweep(tmp_path / "s", [trial({"model.heads": c}, 0.1) for c in (1, 2)], baseline={"model.heads": 1})
    for number in (0, 1):
        write_users(folder, number, {7: 0.5})
    assert "at least two" in compared(folder).notes[-1]


def test_configurations_without_a_finished_trial_are_counted(tmp_path: Path) -> None:
    trials = [heads(1, 0, 0.1), heads(2, 0, 0.1, PRUNED), heads(2, 1, None, FAIL), heads(4, 0, None, RUNNING)]
    comparison = compared(make_sweep(tmp_path / "s", trials))
    assert comparison.notes[0] == "2 of the configurations tried so far have no finished trial."
    assert len(comparison.rows) == 1
    assert not comparison.says_something


def test_a_lucky_seed_is_called_out(tmp_path: Path) -> None:
    trials = [heads(1, 0, 0.2), heads(1, 1, 0.3), heads(2, 0, 0.1), heads(2, 1, 0.35), heads(4, 0, 0.34)]
    comparison = compared(make_sweep(tmp_path / "lucky", trials))
    assert "The best single trial is heads=2 with seed 1; heads=1 is better over 2 seeds." in comparison.notes
    steady = compared(make_sweep(tmp_path / "steady", [*trials[:3], heads(2, 1, 0.2)]))
    assert not [note for note in steady.notes if "best trial" in note]
