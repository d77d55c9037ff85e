"""However often a download is killed, and wherever, what it comes to in the end is the same."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.sources.platform import pages
from recsys.sources.platform.download import fetch
from recsys.sources.platform.manifest import Manifest
from recsys.sources.platform.moods import MoodTable
from tests.conftest import ROOT
from tests.sources.platform.results import downloaded, expected, hurried
from tests.sources.platform.server import Request, Rows, Server, generate, serving

MOMENTS = ("before", "half", "whole", "after")


class Killed(BaseException):
    """Nothing runs after it: no handler for errors, no clearing up of files."""


@contextmanager
def killed_at(step: int, moment: str) -> Iterator[None]:
    """Let the process die at its `step`-th write to the disk: before it, half-way, when whole, or just after.

    From then on nothing more is written, for a dead process has no threads.
    """
    write, append = pages._write, Manifest.append
    state = {"left": step, "dead": False}
    one_at_a_time = threading.RLock()

    def is_time() -> bool:
        state["left"] -= 1
        if state["dead"] or (state["left"] < 0 and moment == "before"):
            state["dead"] = True
            raise Killed
        return state["left"] < 0

    def write_page(path: Path, content: bytes) -> None:
        with one_at_a_time:
            write_page_now(path, content)

    def append_line(manifest: Manifest, step: str, **values: Any) -> None:
        with one_at_a_time:
            append_line_now(manifest, step, values)

    def write_page_now(path: Path, content: bytes) -> None:
        if not is_time():
            write(path, content)
            return
        state["dead"] = True
        if moment == "after":
            write(path, content)
        else:
            part = path.with_name(f"{path.name}.part")
            part.write_bytes(content[: len(content) // 2] if moment == "half" else content)
        raise Killed

    def append_line_now(manifest: Manifest, step: str, values: dict[str, Any]) -> None:
        if not is_time():
            append(manifest, step, **values)
            return
        state["dead"] = True
        path = manifest.path
        before = path.stat().st_size if path.exists() else 0
        append(manifest, step, **values)
        if moment == "half":
            os.truncate(path, before + (path.stat().st_size - before) // 2)
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pages, "_write", write_page)
        patch.setattr(Manifest, "append", append_line)
        with suppress(Killed):
            yield


kills = st.lists(st.tuples(st.integers(0, 45), st.sampled_from(MOMENTS)), max_size=4)


@settings(deadline=None, max_examples=12)
@given(kills=kills, newest_first=st.booleans())
def test_any_kills_and_restarts_give_the_same_tables(kills: list[tuple[int, str]], newest_first: bool) -> None:
    moods, rows = MoodTable({"joyful": ["joy"]}), generate(num_users=8, num_posts=10, num_events=90)
    with serving(rows, newest_first=newest_first) as server, tempfile.TemporaryDirectory() as folder:
        for step, moment in kills:
            with killed_at(step, moment):
                fetch(hurried(server), Path(folder))
        fetch(hurried(server), Path(folder))
        assert downloaded(Path(folder), moods) == expected(rows, moods)
        assert not list((Path(folder) / "raw").glob("*.part"))


@settings(deadline=None, max_examples=12)
@given(kills=kills, newest_first=st.booleans(), added=st.integers(0, 70), pruned=st.integers(0, 70))
def test_any_kills_of_a_refresh_give_the_same_tables(
    kills: list[tuple[int, str]], newest_first: bool, added: int, pruned: int
) -> None:
    moods, rows = MoodTable({"joyful": ["joy"]}), generate(num_users=8, num_posts=10, num_events=90)
    everything = {**rows, "views": rows["views"] + _more_views(rows, added)}
    with serving(dict(rows), newest_first=newest_first) as server, tempfile.TemporaryDirectory() as folder:
        fetch(hurried(server), Path(folder))
        server.rows["views"] = everything["views"][min(pruned, len(rows["views"])) :]
        for step, moment in kills:
            with killed_at(step % 25, moment):
                fetch(hurried(server), Path(folder), refresh=True)
        fetch(hurried(server), Path(folder), refresh=True)
        found = downloaded(Path(folder), moods)
        assert found["interactions"] == expected(everything, moods)["interactions"]
        assert found["contents"] == expected(everything, moods)["contents"]


def _more_views(rows: dict[str, Rows], count: int) -> Rows:
    last = rows["views"][-1]
    return [{**last, "id": last["id"] + 1 + i, "post_id": rows["posts"][i % 10]["id"]} for i in range(count)]


def test_the_process_is_killed_with_sigkill(tmp_path: Path, moods: MoodTable) -> None:
    rows = generate()

    def slow(_: Request, server: Server) -> None:
        time.sleep(0.02)

    with serving(rows, slow) as server:
        config = tmp_path / "platform.yaml"
        config.write_text(
            f"api: {{base_url: '{server.url}', page_size: 20, requests_per_second: 200, connections: 2}}\n"
        )
        command = [sys.executable, "-m", "recsys.cli", "fetch", "--config", str(config), "--out", str(tmp_path / "out")]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        kept = 0
        for wanted in (3, 12, 20):
            process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            while process.poll() is None and len(list((tmp_path / "out").rglob("*.gz"))) < wanted:
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL, process.communicate()
            process.communicate()
            now = len(list((tmp_path / "out").rglob("*.gz")))
            assert now >= max(kept, wanted)
            kept = now
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "views" in done.stdout
    assert downloaded(tmp_path / "out", moods) == expected(rows, moods)
