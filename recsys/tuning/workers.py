"""Processes of this machine that run trials for a sweep."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

WATCH_STDIN = "RECSYS_WATCH_STDIN"  # set for processes whose standard input ends with the one that started them
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclass(frozen=True)
class Ended:
    """A process that has ended.

    Attributes:
        pid: its number.
        code: its exit code; minus the signal that killed it.
        log: what it printed.
    """

    pid: int
    code: int
    log: Path

    @property
    def reason(self) -> str:
        """How it ended, in words."""
        if self.code < 0:
            return f"was killed by {signal.Signals(-self.code).name}"
        return f"ended with exit code {self.code}"

    def last_words(self) -> str:
        """The stacks that a crash has left, or the last lines that it printed."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        crash = next((place for place, line in enumerate(lines) if line.startswith("Fatal Python error")), -20)
        return "\n".join(line for line in lines[crash:] if not line.startswith("Extension modules"))


def child_environment(threads: int) -> dict[str, str]:
    """The environment of a process that uses so many threads and ends with its standard input."""
    return {**os.environ, **dict.fromkeys(THREADS, str(threads)), WATCH_STDIN: "1"}


class Workers:
    """Starts processes and sees them end. They end with this process, however that ends.

    Args:
        command: what to run.
        folder: each writes what it prints to `<number>.log` in it, and has `<number>` as a folder of its own.
        threads: CPU threads of each.
    """

    def __init__(self, command: Sequence[str], folder: Path, threads: int) -> None:
        self._command = command
        self._folder = folder
        self._threads = threads
        self._running: list[tuple[subprocess.Popen[bytes], Path]] = []

    def __len__(self) -> int:
        """Number of processes that run."""
        return len(self._running)

    @property
    def pids(self) -> list[int]:
        """Numbers of those that run, and of those whose end `ended` has not told yet."""
        return [process.pid for process, _ in self._running]

    def start(self) -> None:
        """Start one more."""
        self._folder.mkdir(parents=True, exist_ok=True)
        number = 0
        while True:
            log = self._folder / f"{number}.log"
            try:
                stream = log.open("xb")
                break
            except FileExistsError:
                number += 1
        environment = child_environment(self._threads)
        with stream:
            process = subprocess.Popen(
                [*self._command, f'run_dir="{self._folder / str(number)}"'],
                stdin=subprocess.PIPE,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,  # Ctrl-C is for the sweep, which then ends them
            )
        self._running.append((process, log))

    def ended(self) -> list[Ended]:
        """Those that have ended since the last call."""
        gone = [(process, log) for process, log in self._running if process.poll() is not None]
        self._running = [pair for pair in self._running if pair not in gone]
        return [Ended(process.pid, int(process.returncode), log) for process, log in gone]

    def stop(self) -> None:
        """End all."""
        for process, _ in self._running:
            process.kill()
        for process, _ in self._running:
            process.wait()
        self._running = []


def end_with_parent() -> None:
    """Have this process end at once when its standard input does, if it was told that this means its parent's end."""
    if os.environ.get(WATCH_STDIN):
        threading.Thread(target=_end_with_stdin, daemon=True).start()


def _end_with_stdin() -> None:
    # Not by way of sys.stdin: its lock would be held when the interpreter ends.
    while os.read(0, 4096):
        continue
    os._exit(1)


def worker_command(arguments: Sequence[str]) -> list[str]:
    """The command line of a process of this program with other arguments."""
    return [sys.executable, str(Path(sys.argv[0]).resolve()), *arguments]
