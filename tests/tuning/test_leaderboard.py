"""The leaderboard: its file, its comparisons by hand, and the whole of it through the command line."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from recsys.errors import UserError
from recsys.evaluation.significance import compare_with_baseline
from recsys.tuning.leaderboard.page import write_html
from recsys.tuning.leaderboard.plan import FINAL, Model, Plan, read_plan
from recsys.tuning.leaderboard.results import Board, read_board
from recsys.tuning.leaderboard.tables import write_csv, write_json
from recsys.tuning.space import parse_space
from tests.conftest import ROOT

TINY = ["data=synthetic", "data.num_users=100", "data.num_contents=120", "data.num_events=2500"]
SAGE = ["model=hetero_sage", "model.hidden=8", "loader.snapshots=2", "negatives.count=4", "trainer.max_epochs=2"]
FILE: dict[str, Any] = {
    "out": "board",
    "n_trials": 2,
    "seeds": 2,
    "data": {
        "one": {"overrides": [*TINY, "data.source.seed=1"]},
        "two": {"overrides": [*TINY, "data.source.seed=2"], "origins": 2, "n_trials": 1},
        "absent": {"folder": "no/such/folder", "overrides": ["data=tables", "data.path=no/such/folder"]},
    },
    "models": {
        "popularity": {
            "overrides": ["model=popularity", "model.window=0.05,0.5"],
            "sweep": "grid",
            "seeds": 1,
            "peer": True,
        },
        "sage": {"overrides": SAGE},
    },
}


def written(folder: Path, content: Any) -> Path:
    path = folder / "board.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


def plan_of(folder: Path, content: Any = None, **chosen: list[str]) -> Plan:
    return read_plan(written(folder, content or FILE), ROOT / "conf", **chosen)


def test_the_entries_are_every_model_on_every_data_set_that_is_there(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    assert [entry.name for entry in plan.entries] == ["one/popularity", "one/sage", "two/popularity", "two/sage"]
    assert [(entry.n_trials, entry.seeds) for entry in plan.entries] == [(2, 1), (0, 2), (1, 1), (0, 2)]
    assert plan.left_out == ("absent is left out: there is no folder no/such/folder.",)
    assert "evaluation.origins=2" in plan.entries[2].overrides
    chosen = plan_of(tmp_path, data=["two"], models=["sage"])
    assert [entry.folder for entry in chosen.entries] == [plan.entries[3].folder]


@pytest.mark.parametrize(
    ("where", "value", "same"),
    [
        (("seeds",), 3, False),
        (("data", "one", "origins"), 2, False),
        (("models", "sage", "overrides"), [*SAGE, "objective=bpr"], False),
        (("models", "sage", "peer"), True, True),
        (("n_trials",), 5, True),  # it has no search
    ],
    ids=lambda value: ".".join(value) if isinstance(value, tuple) else None,
)
def test_an_entry_is_run_again_only_if_its_settings_change(
    tmp_path: Path, where: tuple[str, ...], value: Any, same: bool
) -> None:
    changed = json.loads(json.dumps(FILE))
    place = changed
    for key in where[:-1]:
        place = place[key]
    place[where[-1]] = value
    before, after = (plan_of(tmp_path, of, data=["one"], models=["sage"]).entries[0] for of in (FILE, changed))
    assert (before.folder == after.folder) == same


def test_an_entry_is_run_again_if_its_data_change(tmp_path: Path) -> None:
    tables = tmp_path / "tables"
    (tables / "deep").mkdir(parents=True)
    (tables / "deep" / "interactions.csv").write_text("a")
    content = {**FILE, "data": {"one": {"overrides": [], "folder": str(tables)}}}

    def folder() -> Path:
        return plan_of(tmp_path, content, data=["one"], models=["sage"]).entries[0].folder

    before = folder()
    (tables / ".leftover").write_text("of an editor")
    (tables / "deep" / "interactions.csv").touch()
    assert folder() == before
    (tables / "deep" / "interactions.csv").write_text("b")
    assert folder() != before


COMPOSED: dict[str, Any] = {
    **FILE,
    "data": {"one": {"overrides": TINY}},
    "models": {
        "ease": {"overrides": ["model=ease"], "sweep": "ease"},
        "tower": {"overrides": ["model=two_tower"], "sweep": "two_tower"},  # its search chooses between objectives
        "bce": {"overrides": ["model=two_tower", "objective=bce"], "sweep": "two_tower"},
        "gat": {"overrides": ["model=gat_sage"], "sweep": "tune"},
        "as_it_is": {"overrides": ["model=gat_sage"], "sweep": "tune", "n_trials": 0},
    },
}


@pytest.mark.parametrize(
    ("file", "before", "after", "changed"),
    [
        ("sweeps/base.yaml", "${monitor}", "val/auroc", {"ease", "tower", "bce", "gat"}),
        ("sweeps/pruner/hyperband.yaml", "min_resource: 5", "min_resource: 6", {"tower", "bce", "gat"}),
        ("sweeps/ease.yaml", "interval(5, 5000)", "interval(5, 500)", {"ease"}),
        ("sweeps/ease.yaml", "# nothing", "# really nothing", set()),
        ("model/ease.yaml", "cold_window: ", "cold_window: 1", {"ease"}),
        ("model/gat_sage.yaml", "heads: 2", "heads: 4", {"gat", "as_it_is"}),
        ("objective/bpr.yaml", "_target_: ", "more: 1\n_target_: ", {"tower"}),
        ("objective/bce.yaml", "_target_: ", "more: 1\n_target_: ", {"bce"}),
        ("train.yaml", "smoothing: 5", "smoothing: 4", {*COMPOSED["models"]}),
        ("data/tables.yaml", "defaults:", "more: 1\ndefaults:", set()),
        ("hydra/default.yaml", "%H:%M:%S", "%H:%M", set()),
    ],
)
def test_an_entry_is_run_again_if_what_it_is_composed_of_changes(
    tmp_path: Path, file: str, before: str, after: str, changed: set[str]
) -> None:
    conf = tmp_path / "conf"
    shutil.copytree(ROOT / "conf", conf)
    shutil.copytree(ROOT / "sweeps", conf / "sweeps")  # found before the project's own
    path = written(tmp_path, COMPOSED)
    folders = {entry.model.name: entry.folder for entry in read_plan(path, conf).entries}
    text = (conf / file).read_text()
    assert before in text
    (conf / file).write_text(text.replace(before, after))
    now = {entry.model.name: entry.folder for entry in read_plan(path, conf).entries}
    assert {name for name, folder in folders.items() if now[name] != folder} == changed


def test_a_model_that_cannot_be_composed_leaves_the_others_theirs(tmp_path: Path) -> None:
    spoilt = {**FILE, "models": {**FILE["models"], "none": {"overrides": ["model=none_such"]}}}
    folders = {entry.name: entry.folder for entry in plan_of(tmp_path, spoilt).entries}
    assert folders.items() >= {entry.name: entry.folder for entry in plan_of(tmp_path).entries}.items()
    assert {"one/none", "two/none"} < folders.keys()


BAD = {
    "no yaml": ("{", "cannot be read"),
    "a list": ("[1, 2]", "must be a mapping"),
    "no models": ({**FILE, "models": {}}, "has no models"),
    "unknown key": ({**FILE, "model": {}}, "has 'model'"),
    "unknown key of a model": ({**FILE, "models": {"a": {"overrides": [], "pear": True}}}, "models.a has 'pear'"),
    "no overrides": ({**FILE, "models": {"a": {"overrides": "model=ease"}}}, "must be a list"),
    "no seeds": ({**FILE, "seeds": 0}, "seeds is 0"),
    "no n_trials": ({key: value for key, value in FILE.items() if key != "n_trials"}, "n_trials"),
    "two controls": ({**FILE, "models": {n: {"overrides": [], "control": True} for n in "ab"}}, "only one"),
    "a model in a word": ({**FILE, "models": {"p": "popularity"}}, "models.p must be a mapping"),
    "a data set as a list": ({**FILE, "data": {"g": ["data=synthetic"]}}, "data.g must be a mapping"),
    "a folder that is a number": ({**FILE, "data": {"g": {"folder": 5}}}, "data.g.folder is 5"),
    "out that is a number": ({**FILE, "out": 5}, "has no out"),
    "a name that is a number": ({**FILE, "data": {2024: {}}}, "data has the name 2024: .* in quotes"),
    "a name that leaves the folder": ({**FILE, "models": {"../../x": {"overrides": []}}}, "name '../../x'"),
    "control in words": ({**FILE, "models": {"a": {"overrides": [], "control": "yes please"}}}, "a.control is yes"),
    "peer as a number": ({**FILE, "models": {"a": {"overrides": [], "peer": 1}}}, "a.peer is 1: .* true or false"),
    "two searches": ({**FILE, "models": {"a": {"overrides": [], "sweep": ["tune"]}}}, "a.sweep is"),
    "n_trials of nothing": ({**FILE, "n_trials": None, "models": {"a": {"overrides": []}}}, "incomplete: .*n_trials"),
    "no such variable": ({**FILE, "out": "${oc.env:RECSYS_NO_SUCH_VARIABLE}"}, "RECSYS_NO_SUCH_VARIABLE"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_refused(tmp_path: Path, case: str) -> None:
    content, said = BAD[case]
    with pytest.raises(UserError, match=said):
        plan_of(tmp_path, content)


def test_unknown_names_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="models has no 'ease'"):
        plan_of(tmp_path, models=["ease"])
    with pytest.raises(UserError, match=r"none\.yaml"):
        read_plan(tmp_path / "none.yaml", ROOT / "conf")


SHIPPED = read_plan(ROOT / "benchmarks" / "leaderboard.yaml", ROOT / "conf", data=["generated"]).models


@pytest.mark.parametrize("model", SHIPPED, ids=lambda model: model.name)
def test_the_models_of_the_shipped_file_compose(model: Model) -> None:
    chosen = [override.partition("=") for override in model.overrides]
    files = [ROOT / "conf" / group / f"{name}.yaml" for group, _, name in chosen if group in ("model", "experiment")]
    files += [] if model.sweep is None else [ROOT / "sweeps" / f"{model.sweep}.yaml"]
    if missing := [file for file in files if not file.is_file()]:
        pytest.skip(f"there is no {missing[0].relative_to(ROOT)}")
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        compose("train", ["name=x", *model.overrides])


@pytest.mark.parametrize("model", [model for model in SHIPPED if model.sweep], ids=lambda model: model.name)
def test_a_search_varies_what_its_model_has_and_nothing_that_is_fixed(model: Model) -> None:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("train", ["name=x", f"sweeps={model.sweep}", *model.overrides], return_hydra_config=True)
        keys = parse_space(config.sweeps.space, config.sweeps.when, config.sweeps.variants, model.overrides).texts()
    assert not keys.keys() & {override.partition("=")[0] for override in model.overrides}
    assert {key for key in keys if OmegaConf.select(config, key, default="absent") == "absent"} == set()


def test_networks_and_their_controls_are_tuned_alike() -> None:
    searched = {model.name: model for model in SHIPPED}
    keys = {}
    for name in ("gat_sage", "gat_sage_n", "gat_sage_propagate", "hetero_sage"):
        file = ROOT / "sweeps" / f"{searched[name].sweep}.yaml"
        space = yaml.safe_load(file.read_text())["space"]
        keys[name] = parse_space(space, {}, {}, searched[name].overrides).texts()
    whole = keys["gat_sage"]
    assert keys["hetero_sage"] == {key: text for key, text in whole.items() if key != "model.heads"}
    without = {key: text for key, text in whole.items() if key not in ("model.layers", "model.heads")}
    assert keys["gat_sage_n"] == keys["gat_sage_propagate"] == without
    assert len({searched[name].n_trials for name in keys}) == 1
    assert {model.name for model in SHIPPED if not model.n_trials} == {"random", "report"}


def test_the_shipped_file_has_rivals_peers_and_a_control() -> None:
    assert {model.name for model in SHIPPED if model.control} == {"gat_sage_n"}
    assert sum(model.peer for model in SHIPPED) >= 10
    assert all(model.sweep or model.n_trials == 0 for model in SHIPPED)


def finish(entry_folder: Path, of_seeds: list[dict[str, Any]], origins: int = 1) -> None:
    """Write what a finished sweep leaves: for each seed `validation` (one a origin) and `test` (user -> NDCG@10)."""
    for seed, found in enumerate(of_seeds):
        run = entry_folder / "final" / "0" / str(seed)
        run.mkdir(parents=True)
        values = [value for origin in found["test"] for value in origin]
        metrics = {"ndcg@10": float(np.mean(values)), "users": len(values), "auroc": 0.5}
        one = [{"validation": {"all": {"ndcg@10": value}}} for value in found["validation"]]
        content = {"validation": {"all": {"ndcg@10": float(np.mean(found["validation"]))}}, "test": {"all": metrics}}
        content["cost"] = {"seconds": {"training": 2.0, "refit": 1.0}, "peak_memory_mb": 100.0, "parameters": 7}
        (run / "metrics.json").write_text(json.dumps(content | ({"origins": one} if origins > 1 else {})))
        table = [
            {
                "user_id": user,
                "origin": origin + 1,
                "split": split,
                **dict.fromkeys(("ndcg@10", "recall@20", "mrr@10"), v),
            }
            for split in ("validation", "test")
            for origin, values in enumerate(found["test"])
            for user, v in enumerate(values)
        ]
        pd.DataFrame(table).to_parquet(run / "per_user.parquet")
    runs = [f"final/0/{seed}" for seed in range(len(of_seeds))]
    final = {"overrides": ["a=1"], "asked": len(runs), "seeds": list(range(len(runs))), "runs": runs}
    (entry_folder / FINAL).write_text(json.dumps(final))


def board_by_hand(folder: Path) -> tuple[Plan, Board, dict[str, np.ndarray]]:
    """Two peers, the control and two models over two origins of 40 users each; one model has failed, one waits."""
    names = ("good_on_validation", "good_on_test", "control", "model", "weak", "failed", "waiting")
    models: dict[str, Any] = {name: {"overrides": [f"model={name}"]} for name in names}
    for name in names[:2]:
        models[name] |= {"peer": True, "seeds": 1}
    models["control"]["control"] = True
    models["weak"] |= {"sweep": "grid", "n_trials": 4}
    content = {**FILE, "out": str(folder / "out"), "data": {"set": {"origins": 2}}, "models": models}
    plan = plan_of(folder, content)
    rng = np.random.default_rng(0)
    base = rng.random((2, 40)) * 0.2
    level = {"good_on_validation": 0.1, "good_on_test": 0.3, "control": 0.12, "model": 0.4, "weak": 0.0}
    # Pooled over both origins the second peer leads on validation; what it is chosen by is the first origin alone.
    validation = {"good_on_validation": [0.5, 0.1], "good_on_test": [0.4, 0.9]}
    values = {}
    for entry in plan.entries:
        name = entry.model.name
        if name not in level:
            continue
        of_seeds = [np.clip(base + level[name] + rng.normal(size=base.shape) * 0.05, 0, 1) for _ in range(entry.seeds)]
        seeds = [{"validation": validation.get(name, [0.3, 0.3]), "test": of.tolist()} for of in of_seeds]
        finish(entry.folder, seeds, origins=2)
        values[name] = np.mean(of_seeds, axis=0).ravel()
    failed = next(entry for entry in plan.entries if entry.model.name == "failed")
    failed.folder.mkdir(parents=True)
    (failed.folder / "error.txt").write_text("<why> it failed\n")
    return plan, read_board(plan), values


def test_comparisons_by_hand(tmp_path: Path) -> None:
    _, board, values = board_by_hand(tmp_path)
    (standing,) = board.standings
    assert [score.model.name for score in standing.scores] == [
        "model",
        "good_on_test",
        "control",
        "good_on_validation",
        "weak",
    ]
    assert standing.best_peer == "good_on_validation", "the best peer was chosen by tests"
    assert standing.failed == {"failed": "<why> it failed"}
    assert standing.waiting == ("waiting",)
    users = np.tile(np.arange(40), 2)  # each is one user at both origins
    expected = compare_with_baseline(pd.DataFrame(values), "good_on_validation", test="bootstrap", user=users)
    assert standing.versus_best_peer.keys() == expected.keys()
    for name, found in standing.versus_best_peer.items():
        assert found.mean == pytest.approx((values[name] - values["good_on_validation"]).mean())
        assert (found.low, found.high) == pytest.approx((expected[name].low, expected[name].high), abs=0.002)
        assert found.p_holm == pytest.approx(expected[name].p_holm, abs=0.01)
    assert standing.versus_best_peer["model"].p_holm < 0.01
    assert set(standing.versus_control) == {"model", "weak"}
    assert standing.versus_control["weak"].mean == pytest.approx((values["weak"] - values["control"]).mean())
    model = standing.score("model")
    assert model is not None
    assert model.test["all"]["ndcg@10"].mean == pytest.approx(values["model"].mean())
    assert len(model.test["all"]["ndcg@10"].values) == 2
    assert model.seconds.mean == 3.0
    low, high = model.intervals["ndcg@10"]
    assert low < values["model"].mean() < high
    assert next(iter(board.mean_ranks.items())) == ("model", (1.0, 1))


def test_the_tables_and_the_page_say_the_same(tmp_path: Path) -> None:
    plan, board, values = board_by_hand(tmp_path)
    for name, writer in (("b.csv", write_csv), ("b.json", write_json), ("b.html", write_html)):
        writer(board, plan.out / name)
    table = pd.read_csv(plan.out / "b.csv").set_index("model")
    content = json.loads((plan.out / "b.json").read_text())["data"]["set"]
    page = (plan.out / "b.html").read_text()
    for name, of_users in values.items():
        assert table.loc[name, "ndcg@10"] == pytest.approx(of_users.mean())
        assert content["models"][name]["test"]["all"]["ndcg@10"]["mean"] == pytest.approx(of_users.mean())
        assert f"{of_users.mean():.4f}" in page
    assert table.loc["failed", "error"] == "<why> it failed"
    assert pd.isna(table.loc["waiting", "ndcg@10"])
    assert table.loc["model", "versus_best_peer_p_holm"] == content["models"]["model"]["versus_best_peer"]["p_holm"]
    assert table.loc["model", "ratio_to_best_peer"] == pytest.approx(
        values["model"].mean() / values["good_on_validation"].mean()
    )
    assert "versus_control" not in content["models"]["good_on_test"]
    assert (table.loc["weak", "trials"], content["models"]["weak"]["trials"]) == (4, 4)
    assert (table.loc["model", "trials"], content["models"]["model"]["trials"]) == (0, 0)
    num_tables = 4  # in which the name of a model stands
    assert page.count('<span class="tag">as it is</span>') == num_tables * len({*values} - {"weak"})
    assert "&lt;why&gt; it failed" in page
    assert "Not run yet: waiting" in page
    assert page.count("bootstrap over users, each drawn with all its origins") == 2  # of the intervals and of p
    assert "http" not in page.replace("http://www.w3.org", ""), "the page asks for something from elsewhere"
    assert "mathdefault" not in page


def test_what_a_finished_entry_has_lost_is_said(tmp_path: Path) -> None:
    plan, _, _ = board_by_hand(tmp_path)
    folder = next(entry.folder for entry in plan.entries if entry.model.name == "model")
    (folder / "final" / "0" / "1" / "per_user.parquet").unlink()
    (standing,) = read_board(plan).standings
    assert "delete it to run set/model again" in standing.failed["model"]


@pytest.mark.parametrize("changed", [{"seeds": [1], "runs": ["final/0/1"]}, {"asked": None}, "not json"])
def test_an_entry_of_which_a_seed_has_failed_is_not_finished(tmp_path: Path, changed: Any) -> None:
    plan, _, _ = board_by_hand(tmp_path)
    entry = next(entry for entry in plan.entries if entry.model.name == "model")
    assert entry.is_finished
    path = entry.folder / FINAL
    path.write_text(changed if isinstance(changed, str) else json.dumps({**json.loads(path.read_text()), **changed}))
    (entry.folder / "error.txt").write_text("failed with 1 of 2 seeds\n")
    assert not entry.is_finished
    (standing,) = read_board(plan).standings
    assert standing.failed["model"] == "failed with 1 of 2 seeds"


def start(path: Path, log: Path) -> "subprocess.Popen[bytes]":
    with log.open("wb") as stream:
        return subprocess.Popen(
            [sys.executable, "-m", "recsys.cli", "leaderboard", str(path)],
            cwd=path.parent,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        )


def wait_for(reached: Callable[[], bool], seconds: float = 900) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.long
def test_a_leaderboard_from_the_command_line(tmp_path: Path) -> None:
    path, log = written(tmp_path, FILE), tmp_path / "log"
    finals = lambda: sorted((tmp_path / "board").glob("entries/*/*/*/final.json"))  # noqa: E731
    first = start(path, log)
    begun = tmp_path / "board" / "entries" / "one" / "sage"
    try:
        wait_for(lambda: first.poll() is not None or any(begun.glob("*/final/default/*/checkpoints/last.ckpt")))
        children = psutil.Process(first.pid).children(recursive=True)
    finally:
        first.kill()
        first.wait()
    assert children
    psutil.wait_procs(children, timeout=30)
    assert not any(child.is_running() for child in children), "something goes on without the command"
    done_before = [(file, file.stat().st_mtime_ns) for file in finals()]
    assert [file.parts[-4:-2] for file, _ in done_before] == [("one", "popularity")]

    assert start(path, log).wait(timeout=900) == 0, log.read_text()
    assert len(finals()) == 4
    assert [(file, file.stat().st_mtime_ns) for file, _ in done_before] == done_before
    said = log.read_text()
    assert "absent is left out" in said
    assert "Written: board/leaderboard.html" in said

    times = {file: file.stat().st_mtime_ns for file in (tmp_path / "board").rglob("metrics.json")}
    assert start(path, log).wait(timeout=300) == 0
    assert times == {file: file.stat().st_mtime_ns for file in (tmp_path / "board").rglob("metrics.json")}

    table = pd.read_csv(tmp_path / "board" / "leaderboard.csv").set_index(["data", "model"])
    content = json.loads((tmp_path / "board" / "leaderboard.json").read_text())["data"]
    page = (tmp_path / "board" / "leaderboard.html").read_text()
    assert len(table) == 4
    assert table["error"].isna().all() if "error" in table else True
    for data, seeds in (("one", 2), ("two", 2)):
        users = {
            model: per_user(tmp_path / "board" / "entries" / data / model, count)
            for model, count in (("popularity", 1), ("sage", seeds))
        }
        assert table.loc[(data, "popularity"), "best_peer"]
        for model, frame in users.items():
            assert table.loc[(data, model), "users"] == len(frame)
            assert table.loc[(data, model), "ndcg@10"] == pytest.approx(frame.mean())
            assert f"{frame.mean():.4f}" in page
        frame = pd.DataFrame(users)
        whose = frame.index.get_level_values("user_id").to_numpy()
        expected = compare_with_baseline(frame, "popularity", test="bootstrap", user=whose)["sage"]
        found = content[data]["models"]["sage"]["versus_best_peer"]
        assert found["mean"] == pytest.approx((users["sage"] - users["popularity"]).mean())
        for key, value in {"low": expected.low, "high": expected.high, "p_holm": expected.p_holm}.items():
            assert found[key] == pytest.approx(value), key
    assert content["two"]["origins"] == 2
    assert content["one"]["models"]["popularity"]["overrides"][-1].startswith("model.window=")


def per_user(entry: Path, seeds: int) -> pd.Series:
    """NDCG@10 of each origin and user on test, mean over the seeds, in the order of origins and ids."""
    files = sorted(entry.glob("*/final/*/*/per_user.parquet"))
    assert len(files) == seeds
    tables = [pd.read_parquet(file) for file in files]
    tested = pd.concat([table[table["split"] == "test"] for table in tables])
    mean: pd.Series = tested.groupby(["origin", "user_id"])["ndcg@10"].mean()
    return mean
