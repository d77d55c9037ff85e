"""The LightningDataModule: training batches from a loader, validation and test batches from their ranking tasks."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from math import ceil
from typing import Any, Protocol

import torch
from lightning.pytorch import LightningDataModule

from recsys.building import built
from recsys.data.event_log import EventLog
from recsys.data.interaction_index import InteractionIndex
from recsys.data.ranking_task import RankingBatch, RankingTask
from recsys.errors import UserError
from recsys.graph.temporal_graph import TemporalGraph
from recsys.loading.batch import LinkBatch
from recsys.loading.negatives import NegativeSampler


class TrainLoader(Protocol):
    """What gives the training batches; the same epoch always gives the same batches."""

    def __len__(self) -> int:
        """Number of batches of every epoch."""
        ...

    def batches(self, epoch: int) -> Iterable[LinkBatch]:
        """The batches of an epoch, counted from 0."""
        ...


class GraphDataModule(LightningDataModule):
    """Train, validation, test and predict loaders over one log.

    Args:
        log: the event log.
        graph: its temporal graph.
        index: its interaction index.
        loader: builds the training loader from `log, graph, index, negatives, seed` (a Hydra partial).
        negatives: draws the negatives of training batches.
        seed: of the training batches and of the choice of validation users.
        validation: the validation task; while training, only `validation_users` of its users are ranked.
        test: the test task; also what prediction ranks. None for a run that ends after validation.
        block: most users of a ranking batch.
        validation_users: most users that are ranked after an epoch, chosen at random by `seed`.
    """

    def __init__(
        self,
        *,
        log: EventLog,
        graph: TemporalGraph,
        index: InteractionIndex,
        loader: Callable[..., TrainLoader],
        negatives: NegativeSampler,
        seed: int,
        validation: RankingTask,
        test: RankingTask | None,
        block: int = 512,
        validation_users: int = 2000,
    ) -> None:
        super().__init__()
        self.loader = built("loader", loader, log=log, graph=graph, index=index, negatives=negatives, seed=seed)
        self._index = index
        self._validation = validation.subset(validation_users, seed)
        self._test = test
        self._block = block

    def train_dataloader(self) -> Iterable[LinkBatch]:
        """Batches of the trainer's current epoch, each time anew."""
        return _CurrentEpoch(self)

    def val_dataloader(self) -> Iterable[RankingBatch]:
        """Blocks of the validation users that are ranked after an epoch."""
        return _Blocks(self._validation, self._index, self._block)

    def test_dataloader(self) -> Iterable[RankingBatch]:
        """Blocks of all test users.

        Raises:
            UserError: if this run ends after validation.
        """
        if self._test is None:
            raise UserError("This run ends after validation: it has no users to test or predict for.")
        return _Blocks(self._test, self._index, self._block)

    def predict_dataloader(self) -> Iterable[RankingBatch]:
        """Blocks of all test users."""
        return self.test_dataloader()

    def transfer_batch_to_device(
        self, batch: LinkBatch | RankingBatch, device: torch.device, dataloader_idx: int
    ) -> LinkBatch | RankingBatch:
        """Move a training batch to `device`; ranking batches are numpy arrays and stay where they are."""
        return batch if isinstance(batch, RankingBatch) else batch.to(device)


class _CurrentEpoch:
    """The training batches as Lightning iterates over them: of the epoch the trainer is in when it asks for the first.

    Lightning tells the epoch to samplers only, and makes the first iterator before a checkpoint's epoch counts, so the
    epoch is read when the first batch is due. The position in the epoch goes into checkpoints, so that a run that was
    resumed in the middle of an epoch sees exactly the batches it had not seen.
    """

    def __init__(self, datamodule: GraphDataModule) -> None:
        self._datamodule = datamodule
        self._epoch = 0
        self._position = 0

    def __len__(self) -> int:
        return len(self._datamodule.loader)

    def __iter__(self) -> Iterator[LinkBatch]:
        trainer = self._datamodule.trainer
        assert trainer is not None
        if trainer.current_epoch != self._epoch:
            self._epoch, self._position = trainer.current_epoch, 0
        # Overfitting means the same batches every epoch. (Lightning sets the attribute from outside the class.)
        drawn = 0 if trainer.overfit_batches else self._epoch  # type: ignore[attr-defined]
        for batch in islice(self._datamodule.loader.batches(drawn), self._position, None):
            self._position += 1
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """The position, for a checkpoint."""
        return {"epoch": self._epoch, "position": self._position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from the position of a checkpoint."""
        self._epoch, self._position = state["epoch"], state["position"]


class _Blocks:
    """The batches of a ranking task, as often as Lightning asks; it would take a list for a list of loaders."""

    def __init__(self, task: RankingTask, index: InteractionIndex, block: int) -> None:
        self._task = task
        self._index = index
        self._block = block

    def __len__(self) -> int:
        return ceil(len(self._task.user) / self._block)

    def __iter__(self) -> Iterator[RankingBatch]:
        return self._task.batches(self._index, self._block)
