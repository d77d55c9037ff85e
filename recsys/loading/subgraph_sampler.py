"""The PyTorch Geometric side of neighbour sampling: from a loader's seeds to subgraphs with their metadata.

`neighbor_sampler.py` samples the subgraphs itself, `pyg_lib_sampler.py` has pyg-lib do it.
"""

import logging
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.sampler import (
    BaseSampler,
    EdgeSamplerInput,
    HeteroSamplerOutput,
    NegativeSampling,
    NodeSamplerInput,
)

from recsys.errors import UserError
from recsys.loading.link_negatives import LinkNegatives, UnlinkedNodes

logger = logging.getLogger(__name__)

LATEST = np.iinfo(np.int64).max  # the query time of seeds without one: from it all is visible
_SUBGRAPHS, _NEGATIVES = range(2)  # independent streams of random numbers under one seed


@dataclass(frozen=True)
class Seeds:
    """Nodes that disjoint subgraphs grow from; S subgraphs.

    Attributes:
        nodes: node type -> seeds, int64, [n]; repeats are seeds of their own.
        subgraph: node type -> the subgraph of each seed, int64, [n].
        time: query time of each subgraph, int64, [S].
        key: seeds each subgraph's random choices, uint64, [S].
    """

    nodes: dict[str, np.ndarray]
    subgraph: dict[str, np.ndarray]
    time: np.ndarray
    key: np.ndarray


class SubgraphSampler(BaseSampler):  # type: ignore[misc]
    """Disjoint subgraphs as of each seed's own time, for `LinkLoader` and `NodeLoader`.

    A seed node, and a seed link with its negatives, has one subgraph. Seeds come first in each node type's nodes: the
    nodes that `NodeLoader` gives; of links the sources, then the targets, then the negatives link by link. All have
    rows of their own, also if they are equal. With negatives, as with PyTorch Geometric's own loaders,

    - `binary`: `edge_label_index` holds the links, labelled 1 unless the loader has labels, then for each link
      `amount` pairs of its source and a negative, labelled 0;
    - `triplet`: `src_index` [B], `dst_pos_index` [B] and `dst_neg_index` [B] or, for amounts above 1, [B, amount].

    Links that have no valid negative at all are left out; the first time is logged.

    Args:
        data: the graph; `num_nodes` must be known of every node type.
        time_attr: attribute with the times of edges and nodes, int64.
        negatives: draws negatives; None draws nodes that exist and are not linked with the source.
        share_negatives: for triplets: links with the same query time share one set of negatives, none of which is
            linked with any of their sources, in a subgraph of their own; `batch` numbers these after the links'.
        seed: of all random choices.
    """

    def __init__(
        self,
        data: HeteroData,
        *,
        time_attr: str = "time",
        negatives: LinkNegatives | None = None,
        share_negatives: bool = False,
        seed: int = 0,
    ) -> None:
        if not isinstance(data, HeteroData):
            raise UserError(f"The neighbour sampler needs a HeteroData, not a {type(data).__name__}.")
        self._given_negatives = negatives
        self._share = share_negatives
        self._seed = seed
        # In shared memory, so that workers which live longer than an epoch see it change.
        self._epoch = torch.zeros(1, dtype=torch.int64)
        self._epoch.share_memory_()  # type: ignore[no-untyped-call]
        self._told = False
        self._data = data
        self._time_attr = time_attr
        # Made when they are first asked for: only seed links need them, and sorting all links takes a while.
        self._unlinked: dict[tuple[str, str], LinkNegatives] = {}

    @abstractmethod
    def subgraphs(self, seeds: Seeds) -> HeteroSamplerOutput:
        """The subgraphs of seeds; `batch` numbers them, `edge` are columns of the graph's `edge_index`."""

    def set_epoch(self, epoch: int) -> None:
        """Make other random choices from now on, in running workers too; what an epoch sees depends on nothing else."""
        self._epoch[0] = epoch

    def sample_from_nodes(self, index: NodeSamplerInput, **_: Any) -> HeteroSamplerOutput:
        """Subgraphs of seed nodes; `NodeLoader` calls this."""
        nodes = index.node.numpy().astype(np.int64)
        ids = np.arange(len(nodes)) if index.input_id is None else index.input_id.numpy()
        time = np.full(len(nodes), LATEST) if index.time is None else index.time.numpy()
        kind = index.input_type
        seeds = Seeds(
            {kind: nodes}, {kind: np.arange(len(nodes))}, time, subgraph_keys(self._seed, int(self._epoch[0]), ids)
        )
        out = self.subgraphs(seeds)
        out.metadata = (index.input_id, index.time)
        return out

    def sample_from_edges(
        self, index: EdgeSamplerInput, neg_sampling: NegativeSampling | None = None
    ) -> HeteroSamplerOutput:
        """Subgraphs of seed links and their negatives; `LinkLoader` calls this.

        Raises:
            UserError: for a ratio of negatives to positives that is no whole number, or weighted negatives.
        """
        kind = index.input_type
        source, target = index.row.numpy(), index.col.numpy()
        ids = np.arange(len(source)) if index.input_id is None else index.input_id.numpy()
        time = np.full(len(source), LATEST) if index.time is None else index.time.numpy()
        links = _Links(source, target, time, subgraph_keys(self._seed, int(self._epoch[0]), ids))
        if neg_sampling is None:
            out, place = self._grow(kind, links, np.zeros((len(source), 0), dtype=np.int64))
            out.metadata = (index.input_id, torch.stack([place.source, place.target]), index.label, index.time)
            return out

        amount = _whole_amount(neg_sampling)
        share = self._share and neg_sampling.is_triplet()
        rows, drawn = self._negatives(kind, links, ids, amount, share)
        kept = index if len(rows) == len(source) else index[torch.from_numpy(rows)]
        links = _Links(source[rows], target[rows], time[rows], links.key[rows])
        out, place = self._grow(kind, links, drawn, share)
        input_id = kept.input_id if index.input_id is not None else None
        if neg_sampling.is_triplet():
            negative = place.negative[:, 0] if amount == 1 else place.negative
            out.metadata = (input_id, place.source, place.target, negative, kept.time)
            return out
        pairs = torch.stack([place.source.repeat_interleave(amount), place.negative.flatten()])
        label = torch.ones(len(rows)) if kept.label is None else kept.label
        label = torch.cat([label, label.new_zeros((pairs.shape[1], *label.shape[1:]))])
        time_of = None if kept.time is None else torch.cat([kept.time, kept.time.repeat_interleave(amount)])
        positives = torch.stack([place.source, place.target])
        out.metadata = (input_id, torch.cat([positives, pairs], dim=1), label, time_of)
        return out

    def _negatives(
        self, kind: tuple[str, str, str], links: "_Links", ids: np.ndarray, amount: int, share: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """The links that have a valid negative, and their negatives, [R] and [R, amount]."""
        negatives = self._given_negatives or self._unlinked_nodes(kind[0], kind[2])
        epoch = int(self._epoch[0])
        rng = np.random.default_rng([self._seed, _NEGATIVES, epoch, len(ids), *ids.tolist()])
        groups = _Groups.by_time(links.time) if share else _Groups.alone(len(ids))

        def is_forbidden(row: np.ndarray, candidate: np.ndarray) -> np.ndarray:
            def is_link(member: np.ndarray, candidate: np.ndarray) -> np.ndarray:
                linked = negatives.is_link(links.source[member], candidate, links.time[member])
                none: np.ndarray = linked | (links.target[member] == candidate)
                return none

            return groups.any(is_link, row, candidate)

        first = groups.member[groups.offset[:-1]]
        group, drawn = negatives.draw(links.target[first], links.time[first], is_forbidden, amount, rng)
        served = np.full(groups.size, -1)
        served[group] = np.arange(len(group))
        rows = np.flatnonzero(served[groups.of] >= 0)
        if len(rows) < len(ids) and not self._told:
            self._told = True
            logger.info(
                "%d of %d links have no valid negative and are left out (said once).", len(ids) - len(rows), len(ids)
            )
        return rows, drawn[served[groups.of[rows]]]

    def _unlinked_nodes(self, source: str, target: str) -> LinkNegatives:
        if all((kind[0], kind[2]) != (source, target) for kind in self._data.edge_types):
            raise UserError(
                f"No edge of the graph leads from {source} to {target}, so it is unknown which pairs are negatives: "
                "give the sampler negatives."
            )
        if (source, target) not in self._unlinked:
            self._unlinked[source, target] = UnlinkedNodes(self._data, source, target, self._time_attr)
        return self._unlinked[source, target]

    def _grow(
        self, kind: tuple[str, str, str], links: "_Links", negative: np.ndarray, share: bool = False
    ) -> tuple[HeteroSamplerOutput, "_Places"]:
        """Subgraphs of links and negatives [B, amount], and where the seeds are."""
        num_links, amount = negative.shape
        subgraph = np.arange(num_links)
        time, key = links.time, links.key
        of_negatives, place = np.repeat(subgraph, amount), np.arange(negative.size).reshape(negative.shape)
        if share:
            groups = _Groups.by_time(time)
            first = groups.member[groups.offset[:-1]]
            negative = negative[first]
            of_negatives = num_links + np.repeat(np.arange(groups.size), amount)
            place = groups.of[:, None] * amount + np.arange(amount)
            time, key = np.concatenate([time, time[first]]), np.concatenate([key, _mixed(key[first])])
        nodes = {kind[0]: links.source}
        member = {kind[0]: subgraph}
        targets = np.concatenate([links.target, negative.flatten()])
        first_target = num_links if kind[0] == kind[2] else 0
        if kind[0] == kind[2]:
            targets, subgraph = np.concatenate([links.source, targets]), np.concatenate([subgraph, subgraph])
        nodes[kind[2]], member[kind[2]] = targets, np.concatenate([subgraph, of_negatives])
        out = self.subgraphs(Seeds(nodes, member, time, key))
        at = torch.from_numpy(place + first_target + num_links)
        return out, _Places(torch.arange(num_links), first_target + torch.arange(num_links), at)


def subgraph_keys(seed: int, epoch: int, ids: np.ndarray) -> np.ndarray:
    """A key for each seed: of (seed, epoch, its id, how often the id came before in the batch); uint64, [B]."""
    again = np.zeros(len(ids), dtype=np.uint64)
    order = np.argsort(ids, kind="stable")
    ordered = ids[order]
    if (ordered[1:] == ordered[:-1]).any():
        begin = np.flatnonzero(np.diff(ordered, prepend=ordered[0] - 1))
        again[order] = np.arange(len(ids)) - np.repeat(begin, np.diff(begin, append=len(ids)))
    base = np.random.SeedSequence([seed, _SUBGRAPHS, epoch]).generate_state(1, np.uint64)
    return _mixed(_mixed(base ^ ids.astype(np.uint64)) + again)


def _mixed(keys: np.ndarray) -> np.ndarray:
    """Keys far apart for keys near each other, uint64 (the finalizer of SplitMix64)."""
    z: np.ndarray = keys.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = z ^ (z >> np.uint64(31))
    return mixed


def _whole_amount(neg_sampling: NegativeSampling) -> int:
    """Negatives a link."""
    if neg_sampling.amount != int(neg_sampling.amount):
        raise UserError(
            f"{neg_sampling.amount} negatives a link are asked for: every link has its own subgraph and time, so it "
            "must be a whole number."
        )
    if neg_sampling.src_weight is not None or neg_sampling.dst_weight is not None:
        raise UserError("Weights of NegativeSampling are not used here: give the sampler its own negatives.")
    return int(neg_sampling.amount)


@dataclass(frozen=True)
class _Links:
    """Seed links: source, target and time, int64, and key, uint64; [B] each."""

    source: np.ndarray
    target: np.ndarray
    time: np.ndarray
    key: np.ndarray


@dataclass(frozen=True)
class _Places:
    """Rows of the seeds among their types' nodes: sources [B], targets [B] and negatives [B, amount]."""

    source: Tensor
    target: Tensor
    negative: Tensor


@dataclass(frozen=True)
class _Groups:
    """Links that get the same negatives.

    Attributes:
        of: group of each link, int64, [B].
        member: the links group by group, int64, [B].
        offset: where each group begins in `member`, int64, [groups + 1].
    """

    of: np.ndarray
    member: np.ndarray
    offset: np.ndarray

    @classmethod
    def alone(cls, size: int) -> "_Groups":
        """Every link is a group."""
        return cls(np.arange(size), np.arange(size), np.arange(size + 1))

    @classmethod
    def by_time(cls, time: np.ndarray) -> "_Groups":
        """Links with the same time are a group."""
        _, of, count = np.unique(time, return_inverse=True, return_counts=True)
        return cls(of, np.argsort(of, kind="stable"), np.concatenate([[0], np.cumsum(count)]))

    @property
    def size(self) -> int:
        """Number of groups."""
        return len(self.offset) - 1

    def any(self, is_so: Any, group: np.ndarray, candidate: np.ndarray) -> np.ndarray:
        """Whether `is_so(link, candidate)` for any link of a group; groups and candidates broadcast."""
        if self.size == len(self.of):
            return np.asarray(is_so(self.member[group], candidate))
        group, candidate = np.broadcast_arrays(group, candidate)
        size = (self.offset[1:] - self.offset[:-1])[group.ravel()]
        begin = np.cumsum(size) - size
        place = np.arange(size.sum()) - np.repeat(begin - self.offset[group.ravel()], size)
        found = is_so(self.member[place], np.repeat(candidate.ravel(), size))
        if len(begin):
            found = np.logical_or.reduceat(found, begin)
        return np.asarray(found).reshape(group.shape)
