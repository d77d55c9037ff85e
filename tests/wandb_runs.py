"""Real offline runs of Weights & Biases for the tests, and a reader of the files that they leave.

A `.wandb` file is a header of 7 bytes, then blocks of 32 KiB in LevelDB's log format, whose records are protobufs.
"""

import json
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from optuna import TrialPruned

import train

CONF = Path(__file__).parent.parent / "conf"
SMALL = (
    *("data.num_users=150", "data.num_contents=200", "data.num_events=4000"),
    *("loader.snapshots=3", "negatives.count=4", "trainer.max_epochs=2", "logger=wandb", "logger.wandb.offline=true"),
)
BLOCK, CHUNK = 32768, 7
FULL, LAST = 1, 4  # types of a chunk that end a record


@dataclass
class OfflineRun:
    """What a `.wandb` file holds."""

    folder: Path
    run: Any = None
    exit_code: int | None = None
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    definitions: dict[str, Any] = field(default_factory=dict)
    artifacts: dict[str, Any] = field(default_factory=dict)
    kinds: set[str] = field(default_factory=set)

    def curve(self, name: str) -> dict[int, float]:
        """Epoch -> value."""
        return {row["epoch"]: row[name] for row in self.history if name in row}

    def media(self, name: str) -> str:
        """The logged file's text."""
        return (self.folder / "files" / self.summary[name]["path"]).read_text(encoding="utf-8")


def offline_runs(run_dir: Path) -> list[OfflineRun]:
    """The W&B runs in a run's folder, oldest first."""
    return [read(path) for path in sorted(run_dir.glob("wandb/offline-run-*/*.wandb"))]


def read(path: Path) -> OfflineRun:
    """Read one file."""
    from wandb.proto import wandb_internal_pb2

    found = OfflineRun(path.parent)
    for data in records(path.read_bytes()):
        record = wandb_internal_pb2.Record.FromString(data)
        kind = record.WhichOneof("record_type")
        found.kinds.add(kind)
        match kind:
            case "run":
                found.run = record.run
            case "exit":
                found.exit_code = record.exit.exit_code
            case "config":
                update(found.config, record.config.update)
            case "summary":
                update(found.summary, record.summary.update)
            case "history":
                row: dict[str, Any] = {}
                update(row, record.history.item)
                found.history.append(row)
            case "metric" if record.metric.name:
                found.definitions[record.metric.name] = record.metric
            case "artifact":
                found.artifacts[record.artifact.type] = record.artifact
    return found


def records(data: bytes) -> Iterator[bytes]:
    """The records of LevelDB's log format."""
    place, record = CHUNK, b""
    while place + CHUNK <= len(data):
        left = BLOCK - place % BLOCK
        if left < CHUNK:
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + CHUNK])
        record += data[place + CHUNK : place + CHUNK + length]
        place += CHUNK + length
        if kind in (FULL, LAST):
            yield record
            record = b""


def update(target: dict[str, Any], items: Sequence[Any]) -> None:
    """Set what key-value items of W&B say."""
    for item in items:
        *parents, last = item.nested_key or [item.key]
        place = target
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = json.loads(item.value_json)


class Ends(Callback):
    """Ends the training with an error when the second epoch begins."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch == 1:
            raise self.error


def run_all(folder: Path) -> dict[str, OfflineRun]:
    """Six runs of one process: a trial, a pruned one, a failed one, that one resumed, a peer, a refitted network."""

    train.register_resolvers()

    def run(name: str, *overrides: str, error: Exception | None = None) -> None:
        options = [*SMALL, f"name={name}", f"run_dir={folder / name}", *overrides]
        with initialize_config_dir(str(CONF), version_base="1.3"):
            experiment = train.experiment(compose("train", options))
        if error is None:
            experiment.run()
        else:
            with pytest.raises(type(error)):
                experiment.run(watchers=[Ends(error)])

    trial = ("model.hidden=8", "evaluation.test=false", "logger.wandb.group=heads", 'logger.wandb.name="0: heads=4"')
    run("trial", *trial, "logger.wandb.tags=[a]", "logger.wandb.job_type=trial")
    run("pruned", *trial, error=TrialPruned("no prospects"))
    run("failed", *trial, error=RuntimeError("out of luck"))
    run("failed", *trial, f"ckpt={folder}/failed/checkpoints/last.ckpt")
    run("peer", "model=popularity")
    run("refit", "model.hidden=8", "trainer.max_epochs=1")
    found = {name: offline_runs(folder / name) for name in ("trial", "pruned", "failed", "peer", "refit")}
    assert {name: len(runs) for name, runs in found.items()} == {**dict.fromkeys(found, 1), "failed": 2}
    return {**{name: runs[0] for name, runs in found.items()}, "resumed": found["failed"][1]}
