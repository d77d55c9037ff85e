"""A sweep's report: tables that a person can open, and one valid page whatever the study looks like."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from optuna.trial import FrozenTrial

from recsys.tuning.comparison import compare_configurations
from recsys.tuning.report import importances, measured, trials_table, write_sweep_report
from recsys.tuning.results import read_sweep
from tests.evaluation.test_report import Page
from tests.tuning.sweeps import FAIL, PRUNED, RUNNING, WAITING, make_sweep, trial, write_log, write_users


def report(folder: Path) -> str:
    sweep = read_sweep(folder.name, folder.parent)
    page, *tables = write_sweep_report(sweep, compare_configurations(sweep))
    assert [path.name for path in tables] == ["trials.csv", "trial-epochs.csv"]
    assert not list(folder.glob(".*.part"))
    return page.read_text(encoding="utf-8")


def valid(text: str) -> Page:
    """The page, which must be well-formed, self-contained, and link only to what it has."""
    page = Page(text)
    assert all(address.startswith("#") for address in page.addresses)
    assert {address[1:] for address in page.addresses} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert not re.search(r"(src|href)\s*=\s*[\"']?\s*(https?:)?//", text)
    assert not re.search(r"url\((?!#)", text)
    assert "nan" not in " ".join(page.text).split()
    return page


def text_of(page: Page) -> str:
    return " ".join(" ".join(page.text).split())


def searched(count: int, seed: int = 0) -> list[FrozenTrial]:
    """Trials whose value depends on the heads alone; layers only exist beside one loader."""
    rng = np.random.default_rng(seed)
    trials = []
    for number in range(count):
        params: dict[str, Any] = {
            "model.heads": int(rng.choice([1, 2, 4, 8])),
            "optimizer.lr": float(10 ** rng.uniform(-4, -1)),
            "loader": ("snapshot", "neighbor")[number % 2],
        }
        if number % 2:
            params["model.num_layers"] = int(rng.integers(1, 5))
        value = 0.1 * params["model.heads"] + 0.001 * float(rng.uniform())
        trials.append(trial(params, value, reported={0: value / 2, 1: value}, epochs=2))
    return trials


def test_trials_table(tmp_path: Path) -> None:
    trials = [
        trial({"model.heads": 2, "seed": 0}, 0.25, reported={0: 0.1}, seconds=61.5, epochs=7),
        trial({"optimizer.lr": 0.01}, 0.1, PRUNED, reported={0: 0.2, 3: 0.1}),
        trial({"model.heads": 1}, None, FAIL, error='NaN, "again"'),
        trial({"model.heads": 1}, None, RUNNING),
        trial(state=WAITING),
    ]
    folder = make_sweep(tmp_path / "s", trials)
    report(folder)
    table = pd.read_csv(folder / "trials.csv")
    assert list(table) == [
        *("number", "state", "val/ndcg@10", "model.heads", "optimizer.lr", "seed"),
        *("epochs", "seconds", "started", "ended", "error"),
    ]
    assert table["number"].tolist() == [0, 1, 2, 3, 4]
    assert table["state"].tolist() == ["COMPLETE", "PRUNED", "FAIL", "RUNNING", "WAITING"]
    assert table["val/ndcg@10"].fillna(-1).tolist() == [0.25, 0.1, -1, -1, -1]
    assert table["model.heads"].fillna(-1).tolist() == [2, -1, 1, 1, -1]
    assert table["epochs"].fillna(-1).tolist() == [7, 2, -1, -1, -1]
    assert table["seconds"].fillna(-1).tolist() == [61.5, 60, 60, -1, -1]
    assert table["started"].fillna("").tolist() == ["2024-05-06 07:08:09"] * 4 + [""]
    assert table["ended"].notna().tolist() == [True, True, True, False, False]
    assert table["error"].fillna("").tolist() == ["", "", 'NaN, "again"', "", ""]


def test_trials_table_of_several_objectives(tmp_path: Path) -> None:
    folder = make_sweep(
        tmp_path / "s",
        [trial({"seed": 0}, (0.1, 9)), trial({"seed": 1}, None, FAIL)],
        objectives=("val/ndcg@10", "cost/parameters"),
        directions=("maximize", "minimize"),
    )
    table = trials_table(read_sweep("s", tmp_path))
    assert table[["val/ndcg@10", "cost/parameters"]].iloc[0].tolist() == [0.1, 9]
    assert table[["val/ndcg@10", "cost/parameters"]].iloc[1].isna().all()
    assert folder.is_dir()


def test_trial_epochs(tmp_path: Path) -> None:
    folder = make_sweep(tmp_path / "s", [trial({"seed": 0}, 0.2, reported={0: 0.1, 1: 0.2})])
    write_log(folder, 0, epoch=[0, 1], step=[1, 2], **{"val/ndcg@10": [0.1, 0.2], "val/loss": [0.9, 0.8]})
    report(folder)
    assert (folder / "trial-epochs.csv").read_text() == "trial,epoch,value,val/loss\n0,0,0.1,0.9\n0,1,0.2,0.8\n"


def test_a_search_with_everything(tmp_path: Path) -> None:
    trials = [
        *searched(12),
        trial({"model.heads": 1, "optimizer.lr": 0.1}, 0.05, PRUNED, reported={0: 0.05}, epochs=1),
        trial({"model.heads": 8}, None, FAIL, error="<b>out of memory</b>"),
        trial({"model.heads": 4}, None, RUNNING, reported={0: 0.2}),
    ]
    final = {
        "overrides": ["model.heads=8"],
        "seeds": [0, 1],
        "test": {
            "ndcg@10": {"mean": 0.71, "std": 0.0123, "values": [0.7, 0.72]},
            "users": {"mean": 9.0, "values": [9]},
        },
        "validation": {"ndcg@10": {"mean": 0.8125, "std": 0.001, "values": [0.8, 0.81]}},
    }
    folder = make_sweep(tmp_path / "s", trials, n_trials=20, final=final)
    text = report(folder)
    page = valid(text)
    shown = text_of(page)
    # history, curves, importances, slices, parallel
    assert page.tags.count("svg") == 5
    best = max(found.values[0] for found in trials[:12])
    assert f"best val/ndcg@10 {best:.4f}" in shown
    assert "trials finished, of 20 12 pruned 1 failed 1 running 1 epochs in all 26" in shown
    assert "A pruned trial trained for 1.0 epochs on average, a finished one for 2.0." in shown
    assert "python train.py model.heads=8" in shown
    assert "python train.py -m sweeps=s data=movielens" in shown
    assert "0.7100 ± 0.0123" in shown
    assert "0.8125 ± 0.0010" in shown
    assert "Trained anew with seeds 0, 1;" in shown
    assert "<b>out of memory</b>" in shown
    assert "b" not in page.tags
    assert "tag(log, interval(1e-4, 1e-1))" in shown
    assert "Not every trial has model.num_layers, so it has no importance here." in shown
    assert f"best, trial {max(range(12), key=lambda number: trials[number].values[0])}" in text


def test_ablation(tmp_path: Path) -> None:
    values = {"default": (0.2, 0.22), "no_tags": (0.1, 0.1), "$x & <y>": (0.3, 0.3), "no_moods": (0.2,)}
    trials = [trial({"variant": name, "seed": seed}, v) for name, both in values.items() for seed, v in enumerate(both)]
    folder = make_sweep(tmp_path / "s", trials, baseline={"variant": "default"}, variants=dict.fromkeys(values, ()))
    rng = np.random.default_rng(0)
    for number, found in enumerate(trials):
        write_users(folder, number, dict(enumerate(found.values[0] + rng.normal(scale=0.02, size=40))))
    text = report(folder)
    page = valid(text)
    shown = text_of(page)
    assert "variant=default baseline 2 0.2100 0.0141" in shown
    assert re.search(
        r"variant=\$x & <y> 2 0\.3000 0\.0000 \+0\.0\d{3} \*\*\* \+0\.0\d{3} to \+0\.\d{4} < 0\.001", shown
    )
    assert re.search(r"variant=no_tags 2 0\.1000 0\.0000 -0\.1\d{3} \*\*\*", shown)
    assert "variant=no_moods 1 0.2000 – not compared: it has seeds 0, the baseline 0, 1" in shown
    assert text.count('class="better"') == text.count('class="worse"') == 1
    assert "Differences from the baseline" in text
    assert "variant=$x &amp; &lt;y&gt;" in text


def test_less_is_better_in_an_ablation(tmp_path: Path) -> None:
    trials = [trial({"model.heads": count}, value) for count, value in ((1, 0.5), (2, 0.2))]
    folder = make_sweep(
        tmp_path / "s",
        trials,
        objectives=("val/mae",),
        directions=("minimize",),
        baseline={"model.heads": 1},
    )
    for number, found in enumerate(trials):
        write_users(folder, number, {user: found.values[0] + user / 1000 for user in range(30)}, metric="mae")
    assert report(folder).count('class="better"') == 1


SEVERAL: Mapping[str, Any] = {
    "objectives": ("val/ndcg@10", "cost/inference_seconds"),
    "directions": ("maximize", "minimize"),
}
STUDIES: dict[str, tuple[Sequence[FrozenTrial], Mapping[str, Any], int]] = {
    "no trial": ([], {"n_trials": 9}, 0),
    "all waiting": ([trial(state=WAITING)] * 2, {}, 0),
    "running": ([trial({"model.heads": 1}, None, RUNNING, {0: 0.1})], {}, 1),
    "all failed": ([trial({"model.heads": 1}, None, FAIL), trial({}, None, FAIL, error="x")], {}, 0),
    "all pruned": ([trial({"model.heads": 1}, 0.1, PRUNED, {0: 0.1}), trial({"model.heads": 2}, None, PRUNED)], {}, 1),
    "a single trial": ([trial({"model.heads": 1}, 0.1)], {}, 1),
    "constant params": ([trial({"model.heads": 1, "optimizer.lr": 0.01}, 0.1 * n) for n in range(6)], {}, 1),
    "constant value": ([trial({"model.heads": n, "optimizer.lr": 0.01 * n}, 0.1) for n in (1, 2, 4, 8)], {}, 3),
    "infinite values": ([trial({"model.heads": 1}, value) for value in (float("inf"), -float("inf"), 0.1)], {}, 1),
    "categories": ([trial({"loader": ("snapshot", "neighbor")[n % 2], "seed": n}, n / 9) for n in range(5)], {}, 4),
    "hostile names": ([trial({"variant": v}, n / 9) for n, v in enumerate(("$x & <y>", "no_tags") * 2)], {}, 4),
    "no overlap": ([trial({n: v}, 0.1 * v) for n in ("model.heads", "model.num_layers") for v in (1, 2)], {}, 3),
    "large values": ([trial({"seed": n}, 1e6 * n) for n in range(5)], {}, 4),
    "two objectives": ([trial({"model.heads": n}, (n, n * 1e-6)) for n in (1, 2, 4, 8)], SEVERAL, 7),
    "two objectives, one trial": ([trial({"model.heads": 1}, (1, 1))], SEVERAL, 2),
    "two objectives, none": ([trial({"model.heads": 1}, None, FAIL)], SEVERAL, 0),
    "three objectives": (
        [trial({"model.heads": n}, (n, -n, n % 3)) for n in (1, 2, 4, 8)],
        {"objectives": ("val/a", "val/b", "val/c"), "directions": ("maximize",) * 3},
        9,
    ),
}


# What an earlier test has left to the garbage collector may be closed, with a warning, while this one runs.
@pytest.mark.filterwarnings("error", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", STUDIES)
def test_every_kind_of_study_has_a_valid_page(tmp_path: Path, kind: str) -> None:
    trials, options, num_plots = STUDIES[kind]
    folder = make_sweep(tmp_path / "s", trials, **options)
    page = valid(report(folder))
    assert page.tags.count("svg") == num_plots
    assert len(pd.read_csv(folder / "trials.csv")) == len(trials)
    assert ("No trial has finished yet." in text_of(page)) == (not read_sweep("s", tmp_path).completed())


def test_importances_find_what_matters(tmp_path: Path) -> None:
    make_sweep(tmp_path / "s", searched(30))
    (of_objective,) = importances(read_sweep("s", tmp_path)).values()
    assert set(of_objective) == {"model.heads", "optimizer.lr", "loader"}
    assert next(iter(of_objective)) == "model.heads"
    assert of_objective["model.heads"] > 0.9
    assert sum(of_objective.values()) == pytest.approx(1)


def test_same_study_same_bytes(tmp_path: Path) -> None:
    folder = make_sweep(tmp_path / "s", searched(4))
    assert report(folder) == report(folder)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.25, "0.2500"), (0.0, "0.0000"), (-0.5, "-0.5000"), (0.000012, "1.20e-05"), (123456.0, "123,456")],
)
def test_measured(value: float, text: str) -> None:
    assert measured(value) == text
