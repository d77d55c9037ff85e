"""What the snapshot and the static loader share: batches of seeds from windows, negatives and the order of an epoch.

`recsys.loading.seeds` finds the seeds, `recsys.loading.negatives` draws what they are set against.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from torch_geometric.data import HeteroData

from recsys.checks import check_count
from recsys.data.event_log import EventLog
from recsys.data.interaction_index import InteractionIndex
from recsys.loading.batch import LinkBatch
from recsys.loading.negatives import NegativeRequest, Negatives, NegativeSampler
from recsys.loading.seeds import Window
from recsys.loading.stated_moods import ContentMoods, StatedMoods

# Independent streams of random numbers under one seed.
_ORDER, _SPLIT, _NEGATIVES, _MOODS = range(4)


class WindowLoader(ABC):
    """Batches of the seeds of windows, each window's at random in so many parts, a batch a part, all in random order.

    A batch is a pure function of (seed, epoch, place in the epoch): it depends neither on earlier batches nor on the
    number of workers. A subclass gives the message graphs.

    Args:
        log: the event log.
        index: its interaction index.
        negatives: draws the negatives of seeds.
        seed: of all random choices.
        windows: the windows.
        num_parts: how many parts each window's seeds are split into, at most as many as it has seeds.
        num_workers: processes that prepare batches ahead; 0 prepares them in this one.

    Raises:
        UserError: if `num_workers` is negative.
    """

    def __init__(
        self,
        *,
        log: EventLog,
        index: InteractionIndex,
        negatives: NegativeSampler,
        seed: int,
        windows: Sequence[Window],
        num_parts: Sequence[int],
        num_workers: int,
    ) -> None:
        check_count("loader.num_workers", num_workers, 0)
        self._log = log
        self._index = index
        self._sampler = negatives
        self._seed = seed
        self._num_workers = num_workers
        self._windows = windows
        moods = ContentMoods(log)
        self._moods = [StatedMoods(moods, each.user, each.content, np.arange(len(each))) for each in windows]
        # Every step of an epoch as (window, part of the window, number of its parts).
        self._steps = [(k, part, count) for k, count in enumerate(num_parts) for part in range(count)]

    @abstractmethod
    def _message_graph(self, window: Window, chosen: np.ndarray) -> HeteroData:
        """The graph behind the seeds at places `chosen` of a window, at its time, with its newcomers appended."""

    def _times(self, window: Window, chosen: np.ndarray) -> np.ndarray:
        """Query time of each of the seeds at places `chosen` of a window, ns, int64."""
        return np.full(len(chosen), window.time)

    def __len__(self) -> int:
        """Number of batches of every epoch."""
        return len(self._steps)

    def batches(self, epoch: int) -> Iterable[LinkBatch]:
        """The batches of one epoch, in an order shuffled by (seed, epoch)."""
        # With a generator of its own the DataLoader leaves the global random state, hence dropout, alone.
        return DataLoader(
            _Epoch(self, epoch), batch_size=None, num_workers=self._num_workers, generator=torch.Generator()
        )

    def batch(self, epoch: int, place: int) -> LinkBatch:
        """The batch at `place`, from 0, of an epoch."""
        step = int(self._rng(_ORDER, epoch).permutation(len(self._steps))[place])
        k, part, num_parts = self._steps[step]
        window = self._windows[k]
        chosen = np.arange(len(window))
        if num_parts > 1:
            chosen = np.sort(np.array_split(self._rng(_SPLIT, epoch, k).permutation(chosen), num_parts)[part])
        graph = self._message_graph(window, chosen)

        seeds = self._seed_negatives(window, chosen, self._rng(_NEGATIVES, epoch, k, part))
        chosen = chosen[seeds.row]
        user, positive, time = window.user[chosen], window.content[chosen], self._times(window, chosen)
        with_mood, mood = self._moods[k].draw(user, 0, len(window), self._rng(_MOODS, epoch, k, part))
        node = np.where(user < window.num_users, user, window.num_users + np.searchsorted(window.newcomers, user))
        return LinkBatch(
            graph=graph,
            user=torch.from_numpy(node),
            content=torch.from_numpy(np.column_stack([positive, seeds.content])),
            label=torch.from_numpy(window.label[chosen]),
            log_q=torch.from_numpy(seeds.log_q),
            mood=torch.from_numpy(mood),
            mood_seed=torch.from_numpy(with_mood),
            time=torch.from_numpy(time),
            cold=torch.from_numpy(self._index.is_cold(user, time)),
            keep=seeds.keep,
        )

    def _seed_negatives(self, window: Window, chosen: np.ndarray, rng: np.random.Generator) -> Negatives:
        """Negatives of the chosen seeds: contents the user had not met, nor meets as a target in the window."""
        user = window.user[chosen]

        def is_forbidden(row: np.ndarray, content: np.ndarray) -> np.ndarray:
            met = self._index.seen_before(user[row], content, window.time)
            forbidden: np.ndarray = met | (window.place_of(user[row], content) >= 0)
            return forbidden

        time = np.full(len(chosen), window.time)
        return self._sampler.sample(NegativeRequest(self._log, window.content[chosen], time, is_forbidden), rng)

    def _rng(self, stream: int, epoch: int, window: int = 0, part: int = 0) -> np.random.Generator:
        # Always five numbers: numpy seeds [1, 2] and [1, 2, 0] alike.
        return np.random.default_rng([self._seed, stream, epoch, window, part])


class _Epoch(Dataset[LinkBatch]):
    """The batches of one epoch as a map from place to batch, so that workers can share them out."""

    def __init__(self, loader: WindowLoader, epoch: int) -> None:
        self._loader = loader
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._loader)

    def __getitem__(self, place: int) -> LinkBatch:
        return self._loader.batch(self._epoch, place)
