"""The snapshot loader: one message graph at each of K training times, with the new pairs that follow as seeds.

`recsys.loading.window_loader` turns the seeds into batches; the control without snapshots is in `static_loader`.
"""

from math import ceil

import numpy as np
from torch_geometric.data import HeteroData

from recsys.checks import check_count
from recsys.data.event_log import EventLog
from recsys.data.interaction_index import InteractionIndex
from recsys.graph.temporal_graph import TemporalGraph
from recsys.loading.negatives import NegativeSampler
from recsys.loading.seeds import Window, training_windows
from recsys.loading.window_loader import WindowLoader


class SnapshotLoader(WindowLoader):
    """Batches in the very situation of evaluation, at earlier times (see `training_windows`).

    Args:
        log: the event log.
        graph: its temporal graph.
        index: its interaction index.
        negatives: draws the negatives of seeds.
        seed: of all random choices.
        snapshots: number of windows the training period is cut into; None goes by the log (see `num_windows`).
        start_share: share of the training events that only serve as history.
        reach: how many cuts on a window ends; above 1 windows overlap. None goes by their number, see
            `training_windows`.
        max_seeds: most seeds of a batch; a window with more is split at random into several; None never splits.
        num_workers: processes that prepare batches ahead; 0 prepares them in this one.

    Raises:
        UserError: for arguments out of range, or if the log has no seed.
    """

    def __init__(
        self,
        *,
        log: EventLog,
        graph: TemporalGraph,
        index: InteractionIndex,
        negatives: NegativeSampler,
        seed: int,
        snapshots: int | None = None,
        start_share: float = 0.3,
        reach: int | None = None,
        max_seeds: int | None = None,
        num_workers: int = 0,
    ) -> None:
        check_count("loader.max_seeds", max_seeds, 1, optional=True)
        windows = training_windows(log, index, snapshots=snapshots, start_share=start_share, reach=reach)
        super().__init__(
            log=log,
            index=index,
            negatives=negatives,
            seed=seed,
            windows=windows,
            num_parts=[1 if max_seeds is None else ceil(len(window) / max_seeds) for window in windows],
            num_workers=num_workers,
        )
        self._graph = graph

    def _message_graph(self, window: Window, chosen: np.ndarray) -> HeteroData:
        return self._graph.snapshot(window.time, newcomers=window.newcomers)
