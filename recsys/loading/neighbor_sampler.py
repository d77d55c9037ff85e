"""Temporal neighbour sampling on heterogeneous graphs, compiled by numba: no library besides PyTorch Geometric.

`subgraph_sampler.py` has what PyTorch Geometric's loaders call, `neighbor_kernel.py` the compiled part.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.sampler import HeteroSamplerOutput

from recsys.errors import UserError
from recsys.graph.schema import EdgeType
from recsys.loading import neighbor_kernel as kernel
from recsys.loading.link_negatives import LinkNegatives
from recsys.loading.subgraph_sampler import Seeds, SubgraphSampler
from recsys.threads import in_parts

Strategy = Literal["uniform", "last", "strength", "decay"]
FanOut = Sequence[int] | Mapping[EdgeType, Sequence[int]]

ALWAYS = np.iinfo(np.int64).min  # the time of what is visible from everywhere


class TemporalNeighborSampler(SubgraphSampler):
    """Samples from each seed's own time t: at every hop only edges strictly before t, whatever lies between.

    An edge counts from the latest of its own time and the times of its two nodes on, where they have one: so an edge
    type without times is visible wherever its end nodes exist. An edge that also has an end time is visible
    only up to and including it.

    What is drawn for a seed depends on (`seed`, epoch, the seed's id in the loader) alone: neither on the threads, nor
    on the workers, nor on the rest of the batch. Threads are Python's, around compiled code that needs no lock, so that
    workers may be forked.

    Args:
        data: the graph, with times in any whole unit. Edges may be in any order.
        fan_out: most neighbours of a node for each hop, -1 for all; or that for each edge type.
        time_attr: attribute with the time of edges and nodes, int64.
        end_attr: attribute with the end time of edges, int64; of each node's edges in time order, none may end
            before an earlier one.
        strategy: which of a node's visible edges are drawn: "uniform", the "last" ones, or in proportion to the weight:
            as it is for edges without time, and with times as the "strength" seen from t, weight x (1 + recency)
            (report, section II.B), or by "decay", weight x 0.5 ** (age / half_life).
        weight_attr: attribute with the weight of edges, at least 0; edges without it all weigh 1, and edge types
            without it and without times are drawn uniformly.
        half_life: for "decay", in the unit of time.
        replace: whether one edge can be drawn several times.
        threads: threads a batch is cut among; None takes as many as torch uses.
        negatives, share_negatives, seed: as for `SubgraphSampler`.

    Raises:
        UserError: for arguments that do not fit the graph.
    """

    def __init__(
        self,
        data: HeteroData,
        fan_out: FanOut,
        *,
        time_attr: str = "time",
        end_attr: str = "end_time",
        strategy: Strategy = "uniform",
        weight_attr: str = "weight",
        half_life: float | None = None,
        replace: bool = False,
        threads: int | None = None,
        negatives: LinkNegatives | None = None,
        share_negatives: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(data, time_attr=time_attr, negatives=negatives, share_negatives=share_negatives, seed=seed)
        self.node_types, self.edge_types = list(data.node_types), list(data.edge_types)
        self._fan_out = checked_fan_out(fan_out, self.edge_types)
        self._replace = replace
        self._threads = threads
        _check_strategy(strategy, half_life)
        edges = [
            _SortedEdges(data, kind, time_attr=time_attr, end_attr=end_attr, weight_attr=weight_attr)
            for kind in self.edge_types
        ]
        self._graph = _adjacency(data, self.node_types, edges, strategy, half_life)
        self._guess = 1024  # nodes of a chunk, as of late

    def subgraphs(self, seeds: Seeds) -> HeteroSamplerOutput:
        """See `SubgraphSampler`."""
        roots = _roots(seeds, self.node_types)

        def find(first: int, last: int) -> tuple[int, kernel.Found]:
            found = kernel.find(self._graph, self._fan_out, self._replace, roots, first, last, self._guess)
            return first, kernel.Found(*found)

        parts = list(in_parts(find, len(seeds.time), self._threads))
        self._guess = 1024 + 5 * max(len(found.edge) for _, found in parts) // 4
        num_nodes = np.concatenate([found.num_nodes for _, found in parts])
        num_edges = np.concatenate([found.num_edges for _, found in parts])
        node_start, edge_start = _starts(num_nodes), _starts(num_edges)
        nodes, edges = _slices(self.node_types, num_nodes), _slices(self.edge_types, num_edges)
        type_start = np.array([part.start for part in nodes.values()], dtype=np.int64)
        total_nodes, total_edges = int(num_nodes.sum()), int(num_edges.sum())
        result = kernel.Result(
            node=np.empty(total_nodes, np.int64),
            batch=np.empty(total_nodes, np.int64),
            edge_index=np.empty((2, total_edges), np.int64),
            edge=np.empty(total_edges, np.int64),
        )

        def place(first: int, last: int) -> None:
            for begin, found in parts[first:last]:
                kernel.place(roots, found, begin, type_start, node_start, edge_start, result)

        for _ in in_parts(place, len(parts), self._threads):
            pass
        return HeteroSamplerOutput(
            node={kind: torch.from_numpy(result.node[part]) for kind, part in nodes.items()},
            row={kind: torch.from_numpy(result.edge_index[0, part]) for kind, part in edges.items()},
            col={kind: torch.from_numpy(result.edge_index[1, part]) for kind, part in edges.items()},
            edge={kind: torch.from_numpy(result.edge[part]) for kind, part in edges.items()},
            batch={kind: torch.from_numpy(result.batch[part]) for kind, part in nodes.items()},
            num_sampled_nodes=dict(zip(self.node_types, num_nodes.sum(axis=0).T.tolist(), strict=True)),
            num_sampled_edges=dict(zip(self.edge_types, num_edges.sum(axis=0).T.tolist(), strict=True)),
        )


def checked_fan_out(fan_out: FanOut, edge_types: Sequence[EdgeType]) -> np.ndarray:
    """Neighbours for each edge type and hop, int64, [R, hops].

    Raises:
        UserError: for edge types that are missing or too many, hops that differ, or numbers below -1.
    """
    if isinstance(fan_out, Mapping):
        unknown, missing = set(fan_out) - set(edge_types), set(edge_types) - set(fan_out)
        if unknown or missing:
            wrong, kinds = ("has no", unknown) if unknown else ("also has", missing)
            raise UserError(f"The fan-out must name the graph's edge types, but the graph {wrong} {sorted(kinds)[0]}.")
        rows = [list(fan_out[kind]) for kind in edge_types]
    else:
        rows = [list(fan_out) for _ in edge_types]
    whole = all(isinstance(number, (int, np.integer)) and number >= -1 for row in rows for number in row)
    if len({len(row) for row in rows}) > 1 or not whole:
        raise UserError(
            "The fan-out must be whole numbers of at least -1 (all neighbours), as many for each edge type, "
            f"not {fan_out}."
        )
    hops = len(rows[0]) if rows else 0
    return np.array(rows, dtype=np.int64).reshape(len(rows), hops)


def _check_strategy(strategy: str, half_life: float | None) -> None:
    if strategy not in ("uniform", "last", "strength", "decay"):
        raise UserError(f"The sampling strategy is {strategy!r}: choose uniform, last, strength or decay.")
    if strategy == "decay" and not (half_life is not None and 0 < half_life < float("inf")):
        raise UserError(f"The sampling strategy decay needs a positive half_life, not {half_life}.")


class _SortedEdges:
    """The edges of one type by target, then by the time from which they count, then as they were.

    Attributes:
        start: first edge of each target, and the number of edges, int64, [targets + 1].
        neighbour, time, end, weight: as in `kernel.Adjacency`; `end` and `weight` are None where there are none.
        timed: whether the edges have times of their own.
    """

    def __init__(self, data: HeteroData, kind: EdgeType, *, time_attr: str, end_attr: str, weight_attr: str) -> None:
        store, name = data[kind], "__".join(kind)
        source, target = store.edge_index.numpy().astype(np.int64, copy=False)
        num_sources, num_targets = int(data[kind[0]].num_nodes), int(data[kind[2]].num_nodes)
        for end, most in ((source, num_sources), (target, num_targets)):
            if len(end) and not (end.min() >= 0 and end.max() < most):
                raise UserError(f"Edges of {name} lead to nodes that the graph does not have.")
        if max(num_sources, num_targets, len(source)) >= 2**31:
            raise UserError(f"{name} has 2^31 or more nodes or edges, which is more than the sampler can count.")
        self.timed = time_attr in store
        self.num_targets = num_targets
        time = np.full(len(source), ALWAYS)
        if self.timed:
            time = _whole(store[time_attr], f"the times of {name}")
        for node_type, end in ((kind[0], source), (kind[2], target)):
            if time_attr in data[node_type]:
                time = np.maximum(time, _whole(data[node_type][time_attr], f"the times of {node_type}")[end])
        ascending = len(time) < 2 or bool((time[1:] >= time[:-1]).all())
        order = np.argsort(target, kind="stable") if ascending else np.lexsort((time, target))
        self.start = np.concatenate([[0], np.cumsum(np.bincount(target, minlength=num_targets))])
        self.neighbour = np.stack([source[order], order], axis=1).astype(np.int32)
        self.time = time[order]
        self.end = self.weight = None
        if end_attr in store:
            self.end = _whole(store[end_attr], f"the end times of {name}")[order]
            same = target[order][1:] == target[order][:-1]
            if (same & (self.end[1:] < self.end[:-1])).any():
                raise UserError(
                    f"An edge of {name} ends before an earlier one of the same node; edges must end in order."
                )
        if weight_attr in store:
            self.weight = store[weight_attr].numpy().astype(np.float64).reshape(-1)[order]
            if not (np.isfinite(self.weight) & (self.weight >= 0)).all():
                raise UserError(f"The weights of {name} must be numbers of at least 0.")


def _whole(values: Tensor, what: str) -> np.ndarray:
    if values.is_floating_point():
        raise UserError(f"For the neighbour sampler {what} must be whole numbers (int64).")
    return values.numpy().astype(np.int64, copy=False)


def _adjacency(
    data: HeteroData,
    node_types: list[str],
    edges: list[_SortedEdges],
    strategy: Strategy,
    half_life: float | None,
) -> kernel.Adjacency:
    number = {kind: i for i, kind in enumerate(node_types)}
    kinds = list(data.edge_types)
    leads_into = np.array([number[kind[2]] for kind in kinds], dtype=np.int64)
    num_nodes = np.array([int(data[kind].num_nodes) for kind in node_types], dtype=np.int64)
    first_edge = np.cumsum([0] + [len(part.time) for part in edges])
    starts = [part.start + first for part, first in zip(edges, first_edge[:-1], strict=True)]
    rows = np.array([len(start) for start in starts], dtype=np.int64)
    weighted = strategy in ("strength", "decay")
    timed = {"uniform": kernel.UNIFORM, "last": kernel.LAST, "strength": kernel.STRENGTH, "decay": kernel.DECAY}[
        strategy
    ]

    def chance(part: _SortedEdges) -> int:
        if not weighted or part.timed:
            return timed
        return kernel.UNIFORM if part.weight is None else kernel.STATIC

    def joined(parts: list[np.ndarray], dtype: type) -> np.ndarray:
        return (
            np.concatenate([np.zeros((0, *parts[0].shape[1:]), dtype), *parts]).astype(dtype)
            if parts
            else np.zeros(0, dtype)
        )

    time = joined([part.time for part in edges], np.int64)
    own = [part.time.min() for part in edges if part.timed and len(part.time)]
    any_ends = any(part.end is not None for part in edges)
    size = len(time) if weighted else 0
    graph = kernel.Adjacency(
        into=np.argsort(leads_into, kind="stable").astype(np.int64),
        into_offset=np.searchsorted(np.sort(leads_into), np.arange(len(node_types) + 1)).astype(np.int64),
        source_type=np.array([number[kind[0]] for kind in kinds], dtype=np.int64),
        first_id=(np.cumsum(num_nodes) - num_nodes).astype(np.int64),
        row=(np.cumsum(rows) - rows).astype(np.int64),
        start=joined(starts, np.int64),
        neighbour=joined([part.neighbour for part in edges], np.int32).reshape(-1, 2),
        time=time,
        ends=np.array([part.end is not None for part in edges], dtype=bool),
        end=joined(
            [np.zeros(len(p.time), np.int64) if p.end is None else p.end for p in edges] if any_ends else [], np.int64
        ),
        chance=np.array([chance(part) for part in edges], dtype=np.int64),
        weight=joined(
            [np.ones(len(p.time)) if p.weight is None else p.weight for p in edges] if weighted else [], np.float64
        ),
        mass=np.zeros(size),
        late_mass=np.zeros(size if strategy == "strength" else 0),
        first_time=int(min(own, default=0)),
        half_life=float(half_life or 1.0),
    )
    if weighted:
        kernel.running_sums(graph)
    return graph


def _roots(seeds: Seeds, node_types: list[str]) -> kernel.Roots:
    """The seeds by subgraph."""
    kinds = [kind for kind in node_types if kind in seeds.nodes]
    node = np.concatenate([seeds.nodes[kind] for kind in kinds]).astype(np.int64)
    subgraph = np.concatenate([seeds.subgraph[kind] for kind in kinds])
    number = np.concatenate([np.full(len(seeds.nodes[kind]), node_types.index(kind)) for kind in kinds])
    place = np.concatenate([np.arange(len(seeds.nodes[kind])) for kind in kinds])
    order = np.argsort(subgraph, kind="stable")
    return kernel.Roots(
        type=number[order].astype(np.int64),
        node=node[order],
        place=place[order].astype(np.int64),
        offset=np.searchsorted(subgraph[order], np.arange(len(seeds.time) + 1)).astype(np.int64),
        time=np.ascontiguousarray(seeds.time, dtype=np.int64),
        key=np.ascontiguousarray(seeds.key, dtype=np.uint64),
    )


def _slices(types: list[Any], count: np.ndarray) -> dict[Any, slice]:
    """Where the nodes or edges of each type are in the result; `count` [S, hops, types]."""
    ends = np.cumsum(count.sum(axis=(0, 1)))
    return {kind: slice(begin, end) for kind, begin, end in zip(types, [0, *ends[:-1]], ends, strict=True)}


def _starts(count: np.ndarray) -> np.ndarray:
    """Where each subgraph's part begins when types follow one another, and within a type hops, [S, hops, types]."""
    flat = count.transpose(2, 1, 0)
    begin = (np.cumsum(flat) - flat.ravel()).reshape(flat.shape)
    return np.ascontiguousarray(begin.transpose(2, 1, 0))
