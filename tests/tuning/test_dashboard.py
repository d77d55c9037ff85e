"""The dashboard: every panel shows something that real runs have logged."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from recsys.tuning.dashboard import workspace
from recsys.tuning.space import parse_space
from tests.conftest import ROOT
from tests.wandb_runs import OfflineRun

pytest.importorskip("wandb_workspaces")
SPACE = {
    "optimizer.lr": "tag(log, interval(1e-4, 1e-2))",
    "model.heads": "choice(1, 2, 4)",
    "mood_weight": "interval(0.0, 1.0)",
}


@pytest.fixture(scope="module")
def spec() -> dict[str, Any]:
    """The workspace as W&B would get it."""
    return workspace("someone", "recsys", parse_space(SPACE, {}, {}))._to_model().spec.model_dump(by_alias=True)


def sections(spec: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    return {section["name"]: section["panels"] for section in spec["section"]["panelBankConfig"]["sections"]}


def flat(values: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Nested keys with dots."""
    for key, value in values.items():
        yield prefix + key
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")


def logged(runs: dict[str, OfflineRun]) -> tuple[set[str], set[str]]:
    """Names in histories and summaries; names in configs."""
    names = {name for run in runs.values() for row in (*run.history, run.summary) for name in row}
    return names, {name for run in runs.values() for name in flat(run.config)}


@pytest.mark.parametrize(("direction", "ascending"), [("maximize", False), ("minimize", True)])
def test_the_best_runs_come_first(direction: str, ascending: bool) -> None:
    made = workspace("someone", "recsys", parse_space(SPACE, {}, {}), "val/loss", direction)
    assert [(order.item.name, order.ascending) for order in made.runset_settings.order] == [
        ("validation/all/loss", ascending)
    ]


def test_sections(spec: dict[str, Any]) -> None:
    kinds = {name: {panel["viewType"] for panel in panels} for name, panels in sections(spec).items()}
    assert kinds == {
        "Leaderboard (validation)": {"Bar Chart", "Run Comparer"},
        "Learning curves by sweep": {"Run History Line Plot"},
        "Parameters": {"Parallel Coordinates Plot", "Parameter Importance"},
        "Costs": {"Bar Chart", "Scatter Plot"},
        "Plots and recommendations": {"Media Browser", "Weave"},
    }


def test_every_panel_shows_what_runs_log(spec: dict[str, Any], wandb_runs: dict[str, OfflineRun]) -> None:
    names, options = logged(wandb_runs)
    shown: set[str] = set()
    for panel in (panel for panels in sections(spec).values() for panel in panels):
        config = panel["config"]
        of_panel = {*(config.get("metrics") or ()), *(config.get("mediaKeys") or ())}
        of_panel |= {axis for axis in (config.get("xAxis"), config.get("yAxis"), config.get("targetKey")) if axis}
        of_panel |= {column["accessor"] for column in config.get("columns") or ()}
        of_panel |= set(re.findall(r"'val': '(\w+/recommendations)'", str(config)))
        assert of_panel or panel["viewType"] == "Run Comparer"
        shown |= of_panel
    assert {name.removeprefix("summary:") for name in shown if not name.startswith("config:")} <= names
    varied = {name.removeprefix("config:").replace(".value", "") for name in shown if name.startswith("config:")}
    assert varied == set(SPACE) <= options


def test_runs_are_ranked_by_the_final_validation(spec: dict[str, Any], wandb_runs: dict[str, OfflineRun]) -> None:
    runset = spec["section"]["runSets"][0]
    (order,) = runset["sort"]["keys"]
    assert (order["key"]["section"], order["key"]["name"], order["ascending"]) == (
        "summary",
        "validation/all/ndcg@10",
        False,
    )
    pinned = [name.removeprefix("summary:") for name in runset["runFeed"]["columnOrder"][1:]]
    assert set(pinned) <= logged(wandb_runs)[0]


def test_curves_are_grouped_by_sweep_over_epochs(spec: dict[str, Any]) -> None:
    panels = sections(spec)["Learning curves by sweep"]
    assert {(panel["config"]["xAxis"], panel["config"]["groupBy"]) for panel in panels} == {("epoch", "group")}


def test_parameters_searched_by_magnitude_have_such_an_axis(spec: dict[str, Any]) -> None:
    columns = sections(spec)["Parameters"][0]["config"]["columns"]
    assert [bool(column["log"]) for column in columns] == [True, False, False, False]


def test_the_objective_can_be_another_metric() -> None:
    other = workspace("someone", "recsys", parse_space(SPACE, {}, {}), "val/recall@20")
    panels = sections(other._to_model().spec.model_dump(by_alias=True))
    assert panels["Leaderboard (validation)"][0]["config"]["metrics"] == ["validation/all/recall@20"]
    assert panels["Parameters"][1]["config"]["targetKey"] == "validation/all/recall@20"


class StandIn(BaseHTTPRequestHandler):
    """Answers as W&B's server does when a view is saved, and keeps what it was sent."""

    sent: list[dict[str, Any]] = []  # noqa: RUF012 - one server

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["content-length"])) or "{}")
        self.sent.append(request.get("variables") or {})
        viewer = {"id": "u", "entity": "someone", "username": "someone", "flags": "{}", "teams": {"edges": []}}
        view = {"view": {"id": "v", "name": "nw-1"}, "inserted": True}
        answer = json.dumps({"data": {"viewer": viewer, "upsertView": view}}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Stay silent."""


def test_it_is_saved_with_a_key(tmp_path: Path) -> None:
    with HTTPServer(("127.0.0.1", 0), StandIn) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        key = "k" * 40
        address = f"http://127.0.0.1:{server.server_port}"
        done = subprocess.run(
            [sys.executable, "-m", "recsys.tuning.dashboard", "--entity", "someone", "--project", "mine"],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={**os.environ, "HOME": str(tmp_path), "WANDB_BASE_URL": address, "WANDB_API_KEY": key},
            timeout=120,
            check=False,
        )
        server.shutdown()
    assert done.returncode == 0, done.stderr
    assert f"{address}/someone/mine" in done.stderr
    assert key not in done.stdout + done.stderr
    (saved,) = [variables for variables in StandIn.sent if "spec" in variables]
    assert (saved["entityName"], saved["projectName"]) == ("someone", "mine")
    columns = sections(json.loads(saved["spec"]))["Parameters"][0]["config"]["columns"]
    assert {"config:optimizer.value.lr", "config:negatives.value.count"} <= {column["accessor"] for column in columns}
