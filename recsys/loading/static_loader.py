"""The static loader: one graph of the whole training period, whose own pairs are predicted; the report's way to train.

`recsys.loading.window_loader` turns the seeds into batches; the default way to train is in `snapshot_loader`.
"""

import logging
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from recsys.checks import check_count
from recsys.data.event_log import EventLog
from recsys.data.interaction_index import InteractionIndex
from recsys.data.positions import positions
from recsys.errors import UserError
from recsys.graph.schema import USER, EdgeType, event_edge, reverse
from recsys.graph.temporal_graph import TemporalGraph
from recsys.loading.negatives import NegativeRequest, Negatives, NegativeSampler
from recsys.loading.seeds import Window, training_pairs
from recsys.loading.window_loader import WindowLoader

logger = logging.getLogger(__name__)


class StaticLoader(WindowLoader):
    """Batches on the graph at t_val, of the pairs that are in it already: the control for snapshot training.

    In every epoch the target pairs before t_val are split anew, at random, into disjoint parts. A batch has one part's
    pairs as seeds, and a message graph without any edge between their users and contents, of any event type, either
    way. So no training edge is message and target at once, which is the report's fault (section VI); compare
    `disjoint_train_ratio` of PyTorch Geometric's `RandomLinkSplit`.

    Nothing at or after t_val enters. But messages may be later than the event they help to predict, and the nodes'
    counters (and the similarity edges that rest on them) count the whole training period, the seeds' own events
    included: they leak what is to be predicted, which is what snapshot training avoids. Only paths between a pair are
    asked for as of the pair's first event, since later ones know that it came about: so a pair's content, and what it
    is set against, existed strictly before that. (What existed only later never has a path, which says nothing.)

    Args:
        log: the event log.
        graph: its temporal graph.
        index: its interaction index.
        negatives: draws the negatives of seeds.
        seed: of all random choices.
        parts: number of parts, which is that of batches an epoch; fewer if there are fewer pairs.
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
        parts: int = 12,
        num_workers: int = 0,
    ) -> None:
        check_count("loader.parts", parts, 1)
        pairs, times = _asked_at_their_own_times(log, index, training_pairs(log, index))
        super().__init__(
            log=log,
            index=index,
            negatives=negatives,
            seed=seed,
            windows=[pairs],
            num_parts=[min(parts, len(pairs))],
            num_workers=num_workers,
        )
        self._snapshot = graph.snapshot(pairs.time)
        self._first_times = times
        # The seed that each event edge belongs to, -1 for none, int64, [E].
        self._seed_of: dict[EdgeType, np.ndarray] = {}
        for event_type in graph.schema.event_types:
            for edge_type in (event_edge(event_type), reverse(event_edge(event_type))):
                source, target = self._snapshot[edge_type].edge_index.numpy()
                user, content = (source, target) if edge_type[0] == USER else (target, source)
                self._seed_of[edge_type] = pairs.place_of(user, content)

    def _times(self, window: Window, chosen: np.ndarray) -> np.ndarray:
        times: np.ndarray = self._first_times[chosen]
        return times

    def _seed_negatives(self, window: Window, chosen: np.ndarray, rng: np.random.Generator) -> Negatives:
        """Negatives of the chosen seeds: contents of before their times that their users do not meet before t_val."""
        user = window.user[chosen]

        def is_forbidden(row: np.ndarray, content: np.ndarray) -> np.ndarray:
            return self._index.seen_before(user[row], content, window.time)

        time = self._times(window, chosen)
        return self._sampler.sample(NegativeRequest(self._log, window.content[chosen], time, is_forbidden), rng)

    def _message_graph(self, window: Window, chosen: np.ndarray) -> HeteroData:
        stays = np.ones(len(window) + 1, dtype=bool)  # the last place, -1, is that of edges of no seed
        stays[chosen] = False
        kept: dict[EdgeType, Tensor] = {kind: torch.from_numpy(stays[seed]) for kind, seed in self._seed_of.items()}
        return self._snapshot.edge_subgraph(kept)


def _asked_at_their_own_times(log: EventLog, index: InteractionIndex, pairs: Window) -> tuple[Window, np.ndarray]:
    """The pairs that can be asked for at the time of their first event, and these times, ns, int64, [B].

    Raises:
        UserError: if there is none.
    """
    time = index.first_times(pairs.user, pairs.content)
    num_existing = positions(log.contents.exists_from, time)
    unborn = pairs.content >= num_existing
    users, place = np.unique(pairs.user, return_inverse=True)
    row, content = index.history(users, pairs.time)
    met = row * len(log.contents) + content  # ascending
    first = place * len(log.contents)
    able = np.searchsorted(met, first + num_existing) - np.searchsorted(met, first) < num_existing
    kept = able & ~unborn
    logger.info(
        "Of them no seeds: %d of contents that did not exist before the pair, %d with no content left as a negative.",
        unborn.sum(),
        (~unborn & ~able).sum(),
    )
    if not kept.any():
        raise UserError(
            f"No training pair of {log.name!r} can be asked for at its own time, before which its content and another "
            "must exist: give contents their times of creation (created_at), or use loader=snapshot."
        )
    asked = replace(pairs, user=pairs.user[kept], content=pairs.content[kept], label=pairs.label[kept])
    return asked, time[kept]
