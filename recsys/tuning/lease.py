"""Who runs a trial, and whether it is still alive; `study.py` puts back what is lost."""

import socket
import threading
import time
import uuid
from types import TracebackType
from typing import Any, Self

import psutil
from optuna import Trial
from optuna.trial import FrozenTrial, TrialState

LEASE = "lease"  # user attribute of a trial: {owner, host, pid, started, beat}; None before anybody has signed for it


class Lease:
    """Says that this process runs a trial, again and again until the end of the `with` block.

    Args:
        trial: the trial.
        seconds: after which the lease has run out unless it is renewed, which happens four times as often.

    Attributes:
        lost: set when another process has taken the trial over, so that this one must not end it.
    """

    def __init__(self, trial: Trial, seconds: float) -> None:
        self.lost = threading.Event()
        self._trial = trial
        self._pause = seconds / 4
        self._owner = uuid.uuid4().hex
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)

    def __enter__(self) -> Self:
        self._write()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def held(self) -> bool:
        """Whether the trial is still this process's own."""
        frozen = self._trial.storage.get_trial(self._trial._trial_id)
        lease = frozen.user_attrs[LEASE]
        return bool(frozen.state == TrialState.RUNNING and lease is not None and lease["owner"] == self._owner)

    def _renew(self) -> None:
        while not self._ended.wait(self._pause):
            if not self.held():
                self.lost.set()
                return
            self._write()

    def _write(self) -> None:
        process = psutil.Process()
        self._trial.set_user_attr(
            LEASE,
            {
                "owner": self._owner,
                "host": socket.gethostname(),
                "pid": process.pid,
                "started": process.create_time(),
                "beat": time.time(),
            },
        )


def is_lost(trial: FrozenTrial, seconds: float) -> bool:
    """Whether nobody runs a trial any more that is marked as running.

    On this machine the process is looked for; on others the last sign of life must be younger than `seconds`.
    """
    lease: dict[str, Any] | None = trial.user_attrs.get(LEASE)
    if lease is None:  # killed between taking the trial and signing for it
        return trial.datetime_start is None or time.time() - trial.datetime_start.timestamp() > seconds
    if lease["host"] == socket.gethostname():
        return not is_alive(lease["pid"], lease["started"])
    return time.time() - float(lease["beat"]) > seconds


def is_alive(pid: int, started: float) -> bool:
    """Whether the process is there, and not another one that was given its number."""
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - started) < 1 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def runs_in(trial: FrozenTrial, pid: int) -> bool:
    """Whether process `pid` of this machine has signed for the trial."""
    lease = trial.user_attrs.get(LEASE)
    return lease is not None and (lease["host"], lease["pid"]) == (socket.gethostname(), pid)
