"""The neighbour loader: seeds in sampled subgraphs, each as of the query time of its seeds.

`event_seeds.py` has the seeds, `neighbor_sampler.py` samples, `recsys.graph.timed_features` gives the features.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import ceil
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler
from torch_geometric.data import HeteroData
from torch_geometric.data.storage import EdgeStorage
from torch_geometric.sampler import HeteroSamplerOutput

from recsys.checks import check_count, check_number, check_switch
from recsys.data.event_log import EventLog
from recsys.data.interaction_index import InteractionIndex
from recsys.errors import UserError
from recsys.graph.schema import CONTENT, EVENT_ATTRIBUTES, SIMILAR, USER, EdgeType, event_edge, reverse
from recsys.graph.temporal_graph import TemporalGraph
from recsys.loading.batch import LinkBatch
from recsys.loading.event_attributes_kernel import write_event_attributes
from recsys.loading.event_seeds import EventSeeds
from recsys.loading.negatives import NegativeRequest, NegativeSampler
from recsys.loading.neighbor_sampler import Strategy, TemporalNeighborSampler, edge_index_of
from recsys.loading.pyg_lib_sampler import PygLibSampler
from recsys.loading.seeds import cut_times
from recsys.loading.subgraph_sampler import Seeds, SubgraphSampler, subgraph_keys
from recsys.threads import Work, together

logger = logging.getLogger(__name__)

LEAST = 65536  # edges that a thread writes the attributes of
DAY = 86_400 * 10**9  # ns

# Independent streams of random numbers under one seed.
_ORDER, _NEGATIVES, _MOODS = range(3)


class NeighborLoader:
    """Batches of disjoint subgraphs, for graphs that do not fit one encoding and for exact times.

    Everything that a seed sees is as of its own query time: edges, their strength and recency, counters and ages. Only
    what takes a pass over all nodes is renewed at a few times, and a seed sees the last one at or before its own: the
    mean and spread behind z-scores, and similarity edges.

    Seeds of a batch that are asked for at one time share a subgraph, in which every node is once, and some of them are
    proposed the same negatives: so the cost of a batch goes by its times more than by its seeds and negatives.

    A batch is a pure function of (seed, epoch, place in the epoch, number of processes): it depends neither on earlier
    batches nor on the number of threads or workers. Under distributed training every process gets its own share of an
    epoch's seeds, and every seed comes once.

    Args:
        log: the event log.
        graph: its temporal graph.
        index: its interaction index.
        negatives: draws each seed's negatives.
        seed: of all random choices.
        fan_out: most neighbours of a node for each hop, -1 for all; at least as many hops as the network has layers.
        fan_out_of: the same for relations (an edge type's middle name) where it is to differ.
        strategy: how they are drawn; see `TemporalNeighborSampler`.
        half_life: for the strategy "decay", days.
        replace: whether one edge can be drawn several times.
        batch_size: most seeds of a batch; those of an epoch differ by at most one.
        times_per_batch: about how many query times the seeds of a batch share; None draws each seed its own.
        negatives_shared_by: how many seeds of one time are proposed the same negatives.
        seeds_per_epoch: seeds drawn at random for an epoch; None takes as many as can be asked for.
        horizon, start_share: which pairs are seeds and when they are asked for; see `EventSeeds`.
        refreshes: how many times z-scores' scaling and similarity edges are renewed.
        sampler: "numba", or "pyg_lib" where that library is installed.
        threads: threads that sample; None takes as many as torch uses.
        num_workers: processes that prepare batches ahead; 0 prepares them in this one.
        persistent_workers: whether these processes live for the whole training.
        pin_memory: whether batches are put where a GPU copies from faster.

    Raises:
        UserError: for arguments out of range, if the log has no seed, or if pyg-lib is asked for and not installed.
    """

    def __init__(
        self,
        *,
        log: EventLog,
        graph: TemporalGraph,
        index: InteractionIndex,
        negatives: NegativeSampler,
        seed: int,
        fan_out: Sequence[int] = (10, 5),
        fan_out_of: Mapping[str, Sequence[int]] | None = None,
        strategy: Strategy = "uniform",
        half_life: float | None = None,
        replace: bool = False,
        batch_size: int = 1024,
        times_per_batch: int | None = 4,
        negatives_shared_by: int = 16,
        seeds_per_epoch: int | None = None,
        horizon: float = 0.06,
        start_share: float = 0.3,
        refreshes: int = 12,
        sampler: Literal["numba", "pyg_lib"] = "numba",
        threads: int | None = None,
        num_workers: int = 0,
        persistent_workers: bool = True,
        pin_memory: bool = False,
    ) -> None:
        check_count("loader.batch_size", batch_size, 1)
        check_count("loader.times_per_batch", times_per_batch, 1, optional=True)
        check_count("loader.negatives_shared_by", negatives_shared_by, 1)
        check_count("loader.seeds_per_epoch", seeds_per_epoch, 1, optional=True)
        check_count("loader.refreshes", refreshes, 1)
        check_count("loader.threads", threads, 1, optional=True)
        check_count("loader.num_workers", num_workers, 0)
        check_number("loader.half_life", half_life, 0, above=True, optional=True)
        for name, switch in (
            ("replace", replace),
            ("persistent_workers", persistent_workers),
            ("pin_memory", pin_memory),
        ):
            check_switch(f"loader.{name}", switch)
        self._log = log
        self._index = index
        self._negatives = negatives
        self._seed = seed
        self._threads = threads
        self._batch_size = batch_size
        self._shared_by = negatives_shared_by
        self._seeds = EventSeeds(log, horizon=horizon, start_share=start_share)
        self.seeds_per_epoch = min(seeds_per_epoch or len(self._seeds), len(self._seeds))
        batches = ceil(self.seeds_per_epoch / batch_size)
        self._num_times = None if times_per_batch is None else times_per_batch * batches
        self._order: tuple[int, np.ndarray, np.ndarray] | None = None
        renewed = cut_times(log, refreshes, start_share)
        self._features = graph.timed_features(renewed)
        self._met_nodes = graph.met_nodes
        edges = graph.timed_edges(renewed)
        self._stores = {kind: edges[kind] for kind in edges.edge_types}
        event_edges = {end for name in log.types for end in (event_edge(name), reverse(event_edge(name)))}
        self._known = {kind: _weight_and_time(self._stores[kind]) for kind in sorted(event_edges)}
        by_type = _by_edge_type(fan_out, fan_out_of or {}, edges.edge_types)
        self._sampler: SubgraphSampler
        if sampler == "numba":
            self._sampler = TemporalNeighborSampler(
                edges,
                by_type,
                strategy=strategy,
                half_life=None if half_life is None else half_life * DAY,
                replace=replace,
                threads=threads,
                seed=seed,
            )
        elif sampler == "pyg_lib":
            self._sampler = PygLibSampler(edges, by_type, strategy=strategy, replace=replace, seed=seed)
        else:
            raise UserError(f"loader.sampler is {sampler!r}: choose numba or pyg_lib.")
        self._places = _Places(self.seeds_per_epoch, batch_size)
        self._loader: DataLoader[LinkBatch] = DataLoader(
            _Batches(self),
            batch_size=None,
            sampler=self._places,
            num_workers=num_workers,
            persistent_workers=persistent_workers and num_workers > 0,
            pin_memory=pin_memory,
            # With a generator of its own the DataLoader leaves the global random state, hence dropout, alone.
            generator=torch.Generator(),
        )

    def __len__(self) -> int:
        """Number of batches of every epoch, in this process."""
        return len(self._places)

    def batches(self, epoch: int) -> Iterable[LinkBatch]:
        """The batches of one epoch; the times of its seeds are drawn, and both shuffled, by (seed, epoch)."""
        self._places.epoch = epoch
        return self._loader

    def batch(self, epoch: int, place: int, num_batches: int | None = None) -> LinkBatch:
        """The batch at `place`, from 0, of an epoch of so many batches over all processes; None for one process's."""
        chosen, query = self._chosen(epoch, place, num_batches or ceil(self.seeds_per_epoch / self._batch_size))
        asked = self._seeds.asked(chosen, query)

        def is_forbidden(row: np.ndarray, content: np.ndarray) -> np.ndarray:
            user = asked.user[row]
            met = self._index.seen_before(user, content, asked.time[row])
            forbidden: np.ndarray = met | self._seeds.comes_by(user, content, asked.until[row])
            return forbidden

        request = NegativeRequest(self._log, asked.content, asked.time, is_forbidden, self._shared_by)
        drawn = self._negatives.sample(request, self._rng(_NEGATIVES, epoch, place))
        chosen, query = chosen[drawn.row], query[drawn.row]
        kept = self._seeds.asked(chosen, query)
        with_mood, mood = self._seeds.moods(kept, self._rng(_MOODS, epoch, place))
        time, first, subgraph = np.unique(kept.time, return_index=True, return_inverse=True)
        content = np.column_stack([kept.content, drawn.content])
        users, of_users, user_at = _distinct(kept.user, subgraph)
        contents, of_contents, content_at = _distinct(content, subgraph[:, None])
        seeds = Seeds(
            nodes={USER: users, CONTENT: contents},
            subgraph={USER: of_users, CONTENT: of_contents},
            time=time,
            key=subgraph_keys(self._seed, epoch, chosen[first]),
        )
        return LinkBatch(
            graph=self._graph(self._sampler.subgraphs(seeds), time),
            user=torch.from_numpy(user_at),
            content=torch.from_numpy(content_at),
            label=torch.from_numpy(kept.label),
            log_q=torch.from_numpy(drawn.log_q),
            mood=torch.from_numpy(mood),
            mood_seed=torch.from_numpy(with_mood),
            time=torch.from_numpy(kept.time),
            cold=torch.from_numpy(self._index.is_cold(kept.user, kept.time)),
            keep=drawn.keep,
        )

    def _chosen(self, epoch: int, place: int, num_batches: int) -> tuple[np.ndarray, np.ndarray]:
        """The seeds of a batch and the events at whose times they are asked for, int64, [B] each.

        An epoch's seeds, those of a shared time after each other, are cut into batches of sizes that differ by at most
        one.
        """
        if self._order is None or self._order[0] != epoch:  # drawing it takes longer than a batch
            rng = self._rng(_ORDER, epoch)
            seeds, query = self._seeds.draw(self.seeds_per_epoch, self._num_times, rng)
            if self._num_times is not None:
                times, of = np.unique(self._log.time[query], return_inverse=True)
                order = np.argsort(rng.permutation(len(times))[of], kind="stable")
                seeds, query = seeds[order], query[order]
            self._order = (epoch, seeds, query)
        first, last = (self.seeds_per_epoch * end // num_batches for end in (place, place + 1))
        _, seeds, query = self._order
        return seeds[first:last], query[first:last]

    def _graph(self, out: HeteroSamplerOutput, time: np.ndarray) -> HeteroData:
        """Subgraphs with features as of their times (ns), [S]."""
        data = HeteroData()
        data.time = torch.from_numpy(time)
        rows = {kind: (node.numpy(), out.batch[kind].numpy()) for kind, node in out.node.items()}
        features, works = self._features.prepared(rows, time)
        for kind, (x, x_cat) in features.items():
            store = data[kind]
            store.x, store.x_cat, store.n_id, store.batch = x, x_cat, out.node[kind], out.batch[kind]
            store.num_sampled_nodes = out.num_sampled_nodes[kind]
            if kind in self._met_nodes.num_met:
                store.met = torch.empty(len(x), dtype=torch.int64)
                works.append(self._met_nodes.writing(kind, *rows[kind], time, store.met.numpy()))
        for kind, source in out.row.items():
            store = data[kind]
            store.edge_index = edge_index_of(source, out.col[kind])
            store.num_sampled_edges = out.num_sampled_edges[kind]
            if kind in self._known:
                store.edge_attr = torch.empty(len(source), len(EVENT_ATTRIBUTES))
                works.append(self._writing(kind, out, time, store.edge_attr))
            elif kind[1] == SIMILAR:
                store.edge_attr = self._stores[kind].weight[out.edge[kind]][:, None]
        together(works, self._threads)
        return data

    def _writing(self, kind: EdgeType, out: HeteroSamplerOutput, time: np.ndarray, attributes: Tensor) -> Work:
        """What writes the attributes of the sampled events of a type."""
        edge, col, batch = out.edge[kind].numpy(), out.col[kind].numpy(), out.batch[kind[2]].numpy()
        known, first, written = self._known[kind], int(self._log.time[0]), attributes.numpy()

        def write(begin: int, end: int) -> None:
            part = slice(begin, end)
            write_event_attributes(edge[part], col[part], batch, *known, first, time, written[part])

        return Work(write, len(edge), LEAST)

    def _rng(self, stream: int, epoch: int, place: int = 0) -> np.random.Generator:
        # Always four numbers: numpy seeds [1, 2] and [1, 2, 0] alike.
        return np.random.default_rng([self._seed, stream, epoch, place])


def _distinct(node: np.ndarray, subgraph: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distinct nodes of subgraphs by subgraph, their subgraphs, and the place of each given one among them.

    Args:
        node: int64, any shape.
        subgraph: of each node, int64; broadcasts with `node`.
    """
    size = int(node.max(initial=0)) + 1
    keys = subgraph * size + node
    distinct, place = np.unique(keys, return_inverse=True)
    return distinct % size, distinct // size, place.reshape(keys.shape)


def _weight_and_time(store: EdgeStorage) -> tuple[np.ndarray, np.ndarray]:
    """Weight and time of all events of a type, side by side in memory: what is read of one is one cache line."""
    both = np.empty((store.num_edges, 2), dtype=np.int64)
    weight, time = both.view(np.float32)[:, 0], both[:, 1]
    weight[:], time[:] = store.weight.numpy(), store.time.numpy()
    return weight, time


def _by_edge_type(
    fan_out: Sequence[int], fan_out_of: Mapping[str, Sequence[int]], edge_types: Sequence[EdgeType]
) -> dict[EdgeType, Sequence[int]]:
    """The fan-out of each edge type."""
    relations = {relation for _, relation, _ in edge_types}
    unknown = sorted(set(fan_out_of) - relations)
    if unknown:
        raise UserError(f"loader.fan_out_of names {unknown[0]}: choose among {', '.join(sorted(relations))}.")
    return {kind: fan_out_of.get(kind[1], fan_out) for kind in edge_types}


class _Batches(Dataset[LinkBatch]):
    """The batches as a map from what `_Places` gives, so that workers can share them out and outlive an epoch."""

    def __init__(self, loader: NeighborLoader) -> None:
        self._loader = loader

    def __getitem__(self, index: tuple[int, int, int]) -> LinkBatch:
        return self._loader.batch(*index)


class _Places(Sampler[tuple[int, int, int]]):
    """Epoch, place and number of all batches, of every batch of this process in an epoch.

    Under distributed training every process gets as many batches, since all must take as many steps, and every seed
    comes once: so the seeds are cut into a multiple of the processes.
    """

    def __init__(self, num_seeds: int, batch_size: int) -> None:
        self._num_seeds = num_seeds
        self._batch_size = batch_size
        self.epoch = 0

    def __len__(self) -> int:
        return ceil(self._num_seeds / (self._batch_size * _processes()[1]))

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        rank, processes = _processes()
        if self._num_seeds < processes:
            raise UserError(f"{self._num_seeds} seeds an epoch are too few for {processes} processes.")
        every = len(self) * processes
        return ((self.epoch, place, every) for place in range(rank, every, processes))


def _processes() -> tuple[int, int]:
    """Number of this process and of all, under distributed training."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return 0, 1
    return torch.distributed.get_rank(), torch.distributed.get_world_size()
