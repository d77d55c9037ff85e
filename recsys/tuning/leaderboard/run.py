"""Runs the sweeps of a leaderboard, several at a time, each in a process of its own."""

import os
import re
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from recsys.files import replacing, writing
from recsys.tuning.leaderboard.plan import ERROR, Entry
from recsys.tuning.workers import child_environment

PAUSE = 0.2  # seconds between two looks at the processes
LOG = "leaderboard.log"


@dataclass(frozen=True)
class Running:
    """An entry that is being run.

    Attributes:
        entry: which one.
        process: runs its sweep.
    """

    entry: Entry
    process: subprocess.Popen[bytes]


def run_entries(entries: Sequence[Entry], program: Path, jobs: int, ended: Callable[[], None]) -> None:
    """Run those entries that are not finished; a failure of one is written to its `error.txt` and ends none other.

    The processes end with this one, however it ends. Run again, each sweep goes on where it was.

    Args:
        entries: of the leaderboard.
        program: `train.py`.
        jobs: entries at the same time, at least 1.
        ended: is called after each entry's end.
    """
    waiting = deque(entry for entry in entries if not entry.is_finished)
    threads = max(1, (os.cpu_count() or 1) // jobs)
    running: list[Running] = []
    failed = 0
    with tqdm(total=len(entries), initial=len(entries) - len(waiting), desc="leaderboard", unit="entry") as bar:
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    running.append(_start(waiting.popleft(), program, threads))
                for one in [one for one in running if one.process.poll() is not None]:
                    running.remove(one)
                    failed += not _has_succeeded(one)
                    ended()
                    bar.update()
                shown = ", ".join([*(one.entry.name for one in running), *([f"{failed} failed"] if failed else [])])
                if shown != (bar.postfix or ""):
                    bar.set_postfix_str(shown)
                time.sleep(PAUSE)
        finally:
            for one in running:
                one.process.kill()  # the workers of its sweep end with it
            for one in running:
                one.process.wait()


def _start(entry: Entry, program: Path, threads: int) -> Running:
    with writing(entry.folder):
        entry.folder.mkdir(parents=True, exist_ok=True)
    (entry.folder / ERROR).unlink(missing_ok=True)
    with (entry.folder / LOG).open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, str(program), *entry.arguments(threads)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=child_environment(threads),
            start_new_session=True,  # Ctrl-C is for this process, which then ends them
        )
    return Running(entry, process)


def _has_succeeded(one: Running) -> bool:
    """Whether the entry is finished; if not, its `error.txt` says why."""
    if one.entry.is_finished:
        return True
    with replacing(one.entry.folder / ERROR) as temporary:
        temporary.write_text(_reason(one) + "\n", encoding="utf-8")
    return False


def _reason(one: Running) -> str:
    """The sentence that the sweep has ended with."""
    text = (one.entry.folder / LOG).read_text(encoding="utf-8", errors="replace")
    lines = [line.strip() for line in re.split(r"[\r\n]+", text) if line.strip()]
    said = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    if said:
        return said[-1]
    code = one.process.returncode
    return f"the sweep ended with exit code {code} and said last: {lines[-1] if lines else 'nothing'}"
