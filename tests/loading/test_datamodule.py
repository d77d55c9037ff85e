from functools import cache
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from torch import Tensor, nn

from recsys.data.event_log import EventLog
from recsys.data.features import fit_encoders
from recsys.data.interaction_index import InteractionIndex
from recsys.data.ranking_task import RankingBatch, RankingTask
from recsys.graph.temporal_graph import TemporalGraph
from recsys.loading.batch import LinkBatch
from recsys.loading.datamodule import GraphDataModule
from recsys.loading.negatives import Uniform
from recsys.loading.snapshot_loader import SnapshotLoader
from tests.factories import tiny_log
from tests.loading.helpers import bits


@cache
def made() -> tuple[EventLog, TemporalGraph, InteractionIndex]:
    log = tiny_log(num_users=20, num_contents=30, num_events=300)
    return log, TemporalGraph(log, fit_encoders(log)), InteractionIndex(log)


def make_datamodule(num_workers: int = 0, **settings: Any) -> GraphDataModule:
    log, graph, index = made()

    def loader(**given: Any) -> SnapshotLoader:
        return SnapshotLoader(**given, snapshots=4, num_workers=num_workers)

    return GraphDataModule(
        log=log,
        graph=graph,
        index=index,
        loader=loader,
        negatives=Uniform(count=3),
        seed=5,
        validation=RankingTask.build(log, index, "validation", 5),
        test=RankingTask.build(log, index, "test", 5),
        **settings,
    )


class Recorder(lightning.LightningModule):
    """Keeps what it is trained and validated on; its one weight depends on every batch and their order."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.seen: list[tuple[int, bytes]] = []
        self.ranked: list[RankingBatch] = []

    def training_step(self, batch: LinkBatch, batch_idx: int) -> Tensor:
        self.seen.append((self.current_epoch, bits(batch)))
        target = batch.content[:, 1:].float().mean()
        return (self.weight - target) ** 2

    def validation_step(self, batch: RankingBatch, batch_idx: int) -> None:
        self.ranked.append(batch)
        self.log("weight", self.weight.detach(), batch_size=len(batch.user))

    test_step = validation_step

    def predict_step(self, batch: RankingBatch, batch_idx: int) -> int:
        return len(batch.user)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Kill(Callback):
    """Stops everything as kill -9 would: no hook of Lightning runs afterwards."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        if trainer.global_step == self.step:
            raise KeyboardInterrupt


def make_trainer(folder: Path, *callbacks: Callback, **settings: Any) -> lightning.Trainer:
    return lightning.Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=any(isinstance(callback, ModelCheckpoint) for callback in callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=list(callbacks),
        **settings,
    )


def test_lightning_trains_on_the_batches_of_each_epoch(tmp_path: Path) -> None:
    data, module = make_datamodule(), Recorder()
    make_trainer(tmp_path, max_epochs=3).fit(module, datamodule=data)
    expected = [(epoch, bits(batch)) for epoch in range(3) for batch in data.loader.batches(epoch)]
    assert len(expected) == 3 * len(data.loader) == 12
    assert module.seen == expected


def test_overfitting_sees_the_same_batches_every_epoch(tmp_path: Path) -> None:
    data, module = make_datamodule(), Recorder()
    make_trainer(tmp_path, max_epochs=3, overfit_batches=2).fit(module, datamodule=data)
    first = [bits(data.loader.batch(0, place)) for place in range(2)]
    assert module.seen == [(epoch, batch) for epoch in range(3) for batch in first]


@pytest.mark.parametrize(
    ("checkpoint", "killed_at", "num_workers"),
    [
        ({"save_on_train_epoch_end": True}, 9, 0),
        ({"monitor": "weight"}, 9, 0),  # saves after validation, before the epoch has ended
        ({"monitor": "weight"}, 8, 0),
        ({"every_n_train_steps": 3}, 7, 0),  # saves in the middle of an epoch
        ({"every_n_train_steps": 3}, 7, 1),
        ({"every_n_train_steps": 4}, 8, 0),
        ({"every_n_train_steps": 1}, 11, 0),
    ],
)
def test_a_killed_run_resumes_as_if_nothing_had_happened(
    checkpoint: dict[str, Any], killed_at: int, num_workers: int, tmp_path: Path
) -> None:
    whole = Recorder()
    make_trainer(tmp_path, max_epochs=4).fit(whole, datamodule=make_datamodule())

    killed = Recorder()

    def saving() -> ModelCheckpoint:
        return ModelCheckpoint(dirpath=tmp_path, save_last=True, **checkpoint)

    with pytest.raises((KeyboardInterrupt, SystemExit)):
        make_trainer(tmp_path, saving(), Kill(killed_at), max_epochs=4).fit(killed, datamodule=make_datamodule())
    assert len(killed.seen) == killed_at

    resumed = Recorder()
    make_trainer(tmp_path, saving(), max_epochs=4).fit(
        resumed, datamodule=make_datamodule(num_workers), ckpt_path=tmp_path / "last.ckpt", weights_only=True
    )
    assert 0 < len(resumed.seen) < len(whole.seen)
    assert resumed.seen == whole.seen[-len(resumed.seen) :]
    assert resumed.weight.item() == whole.weight.item()


def test_validation_test_and_prediction_rank_their_tasks(tmp_path: Path) -> None:
    data, module = make_datamodule(block=3, validation_users=4), Recorder()
    trainer = make_trainer(tmp_path, max_epochs=1, num_sanity_val_steps=0)
    trainer.fit(module, datamodule=data)
    assert [len(batch.user) for batch in module.ranked] == [3, 1]
    log, _, index = made()
    subset = RankingTask.build(log, index, "validation", 5).subset(4, 5)
    assert np.concatenate([batch.user for batch in module.ranked]).tolist() == subset.user.tolist()
    assert all(batch.time == log.boundaries.t_val for batch in module.ranked)

    module.ranked.clear()
    trainer.test(module, datamodule=data)
    task = RankingTask.build(log, index, "test", 5)
    assert np.concatenate([batch.user for batch in module.ranked]).tolist() == task.user.tolist()
    assert all(batch.time == log.boundaries.t_test for batch in module.ranked)
    predicted = trainer.predict(module, datamodule=data)
    assert predicted == [len(batch.user) for batch in module.ranked]


def test_batches_move_to_the_device_and_ranking_batches_stay() -> None:
    data = make_datamodule()
    batch = data.loader.batch(0, 0)
    moved = data.transfer_batch_to_device(batch, torch.device("meta"), 0)
    assert moved.content.is_meta
    assert moved.graph["user"].x.is_meta
    assert not data.loader.batch(0, 0).graph["user"].x.is_meta
    ranking = next(iter(data.val_dataloader()))
    assert data.transfer_batch_to_device(ranking, torch.device("meta"), 0) is ranking
