"""Fixtures of all rooms: one thread a process, real logs where they are, and the two doors."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

if TYPE_CHECKING:
    from tests.wandb_runs import OfflineRun

ROOT = Path(__file__).parent.parent
Command = Callable[..., subprocess.CompletedProcess[str]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long tests first, all others in their order."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Tests run several processes at a time; more threads would only slow one another."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real logs, which the project does not ship: RECSYS_DATA, by default ../shared/data."""
    folder = Path(os.environ.get("RECSYS_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real logs at {folder} (set RECSYS_DATA)")
    return folder


@pytest.fixture(scope="session")
def wandb_runs(tmp_path_factory: pytest.TempPathFactory) -> "dict[str, OfflineRun]":
    """Offline W&B runs of one process by name, read back from their files."""
    from tests.wandb_runs import run_all

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "offline")  # Lightning's logger changes it
        patch.setenv("WANDB_SILENT", "true")
        patch.setenv("WANDB_DATA_DIR", str(tmp_path_factory.mktemp("wandb_data")))  # not the home folder
        return run_all(tmp_path_factory.mktemp("wandb"))


@pytest.fixture(scope="session")
def train() -> Command:
    """Runs `python train.py` with the given overrides and gives the finished process."""

    def command(*overrides: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(ROOT / "train.py"), *overrides],
            capture_output=True,
            text=True,
            timeout=timeout,
            env={**os.environ, "OMP_NUM_THREADS": "1", "WANDB_MODE": "offline"},
            check=False,
        )

    return command
