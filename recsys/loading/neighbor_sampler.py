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
from recsys.loading.adjacency import CHANCES, adjacency
from recsys.loading.adjacency_kernel import LAST
from recsys.loading.link_negatives import LinkNegatives
from recsys.loading.subgraph_sampler import Seeds, SubgraphSampler
from recsys.threads import in_parts

Strategy = Literal["uniform", "last", "strength", "decay"]
FanOut = Sequence[int] | Mapping[EdgeType, Sequence[int]]


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
        self._graph = adjacency(
            data,
            strategy=strategy,
            half_life=half_life,
            time_attr=time_attr,
            end_attr=end_attr,
            weight_attr=weight_attr,
        )
        self._weighted = self._graph if (self._graph.chance > LAST).any() else None
        self._guess = 1024  # nodes of a chunk, as of late

    def subgraphs(self, seeds: Seeds) -> HeteroSamplerOutput:
        """See `SubgraphSampler`."""
        roots = _roots(seeds, self.node_types)

        (num_types, hops), size = self._fan_out.shape, len(seeds.time)
        counts = kernel.Counts(
            nodes=np.zeros((size, hops + 1, len(self.node_types)), dtype=np.int64),
            edges=np.zeros((size, hops, num_types), dtype=np.int64),
        )

        def find(first: int, last: int) -> tuple[int, int, kernel.Found]:
            graphs, room = (self._graph, self._weighted), (counts, np.empty(1, np.uint64), self._guess)
            found = kernel.find(*graphs, self._fan_out, self._replace, roots, first, last, *room)
            return first, last, kernel.Found(*found)

        parts = list(in_parts(find, size, self._threads))
        self._guess = 1024 + 5 * max(len(found.edge) for _, _, found in parts) // 4
        node_start, edge_start = _starts(counts.nodes), _starts(counts.edges)
        nodes_by_hop, edges_by_hop = counts.nodes.sum(axis=0), counts.edges.sum(axis=0)
        nodes, edges = _slices(self.node_types, nodes_by_hop), _slices(self.edge_types, edges_by_hop)
        type_start = np.array([part.start for part in nodes.values()], dtype=np.int64)
        ends_start = np.array([(part.start, part.stop) for part in edges.values()], dtype=np.int64).reshape(-1, 2)
        total_nodes, total_edges = int(nodes_by_hop.sum()), int(edges_by_hop.sum())
        result = kernel.Result(
            node=np.empty(total_nodes, np.int64),
            batch=np.empty(total_nodes, np.int64),
            edge_index=np.empty(2 * total_edges, np.int64),
            edge=np.empty(total_edges, np.int64),
        )

        def place(begin: int, end: int) -> None:
            for first, last, found in parts[begin:end]:
                starts = (type_start, ends_start, node_start, edge_start)
                kernel.place(roots, found, counts, first, last, *starts, result)

        for _ in in_parts(place, len(parts), self._threads):
            pass
        ends = torch.from_numpy(result.edge_index)
        return HeteroSamplerOutput(
            node={kind: torch.from_numpy(result.node[part]) for kind, part in nodes.items()},
            row={kind: ends[2 * part.start : part.start + part.stop] for kind, part in edges.items()},
            col={kind: ends[part.start + part.stop : 2 * part.stop] for kind, part in edges.items()},
            edge={kind: torch.from_numpy(result.edge[part]) for kind, part in edges.items()},
            batch={kind: torch.from_numpy(result.batch[part]) for kind, part in nodes.items()},
            num_sampled_nodes=dict(zip(self.node_types, nodes_by_hop.T.tolist(), strict=True)),
            num_sampled_edges=dict(zip(self.edge_types, edges_by_hop.T.tolist(), strict=True)),
        )


def edge_index_of(source: Tensor, target: Tensor) -> Tensor:
    """Sources and targets of edges, [e] each, as one tensor [2, e]: without copying where they follow one another."""
    size, begin = len(source), source.storage_offset()
    same = source.untyped_storage().data_ptr() == target.untyped_storage().data_ptr()
    if same and target.storage_offset() == begin + size and source.is_contiguous() and target.is_contiguous():
        return source.as_strided((2, size), (size, 1), begin)
    return torch.stack([source, target])


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
    if strategy not in CHANCES:
        raise UserError(f"The sampling strategy is {strategy!r}: choose uniform, last, strength or decay.")
    if strategy == "decay" and not (half_life is not None and 0 < half_life < float("inf")):
        raise UserError(f"The sampling strategy decay needs a positive half_life, not {half_life}.")


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


def _slices(types: list[Any], by_hop: np.ndarray) -> dict[Any, slice]:
    """Where the nodes or edges of each type are in the result; `by_hop` [hops, types]."""
    ends = np.cumsum(by_hop.sum(axis=0)).tolist()
    return {kind: slice(begin, end) for kind, begin, end in zip(types, [0, *ends[:-1]], ends, strict=True)}


def _starts(count: np.ndarray) -> np.ndarray:
    """Where each subgraph's part begins when types follow one another, and within a type hops, [S, hops, types]."""
    flat = count.transpose(2, 1, 0)
    begin = (np.cumsum(flat) - flat.ravel()).reshape(flat.shape)
    return np.ascontiguousarray(begin.transpose(2, 1, 0))
