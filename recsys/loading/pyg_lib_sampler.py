"""Neighbour sampling by pyg-lib, where it is installed; `neighbor_sampler.py` needs no such library."""

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch_geometric.typing
from torch_geometric.data import HeteroData
from torch_geometric.sampler import HeteroSamplerOutput, NeighborSampler

from recsys.errors import UserError
from recsys.graph.schema import EdgeType
from recsys.loading.adjacency import ALWAYS
from recsys.loading.link_negatives import LinkNegatives
from recsys.loading.neighbor_sampler import FanOut, checked_fan_out
from recsys.loading.subgraph_sampler import Seeds, SubgraphSampler


class PygLibSampler(SubgraphSampler):
    """What `TemporalNeighborSampler` does, by pyg-lib: strategies "uniform" and "last", and no edges that end.

    Every seed node has a tree of its own, so that a node which several seeds of a subgraph reach occurs for each.
    pyg-lib keeps edges up to and including a time, so it is asked for the one before.

    Args:
        data, fan_out, time_attr, replace, negatives, share_negatives, seed: as for `TemporalNeighborSampler`.
        end_attr: attribute that no edge may have.
        strategy: "uniform" or "last".

    Raises:
        UserError: if pyg-lib is not installed or cannot do what is asked.
    """

    def __init__(
        self,
        data: HeteroData,
        fan_out: FanOut,
        *,
        time_attr: str = "time",
        end_attr: str = "end_time",
        strategy: str = "uniform",
        replace: bool = False,
        negatives: LinkNegatives | None = None,
        share_negatives: bool = False,
        seed: int = 0,
    ) -> None:
        if not torch_geometric.typing.WITH_PYG_LIB:
            raise UserError(
                "The sampler pyg_lib needs the library pyg-lib, which is not installed here: install it from "
                "https://data.pyg.org/whl, or use loader.sampler=numba, which needs nothing."
            )
        if strategy not in ("uniform", "last"):
            raise UserError(f"pyg-lib cannot sample by {strategy!r}: choose uniform or last, or the sampler numba.")
        if any(end_attr in store for store in data.edge_stores):
            raise UserError(
                "pyg-lib knows no edges that end, as similarity edges do when they are renewed: use "
                "graph.similarity.users=false and graph.similarity.contents=false, or the sampler numba."
            )
        super().__init__(data, time_attr=time_attr, negatives=negatives, share_negatives=share_negatives, seed=seed)
        rows = checked_fan_out(fan_out, data.edge_types).tolist()
        counting = _with_times(data, time_attr)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._sampler = NeighborSampler(
                counting,
                dict(zip(data.edge_types, rows, strict=True)),
                replace=replace,
                disjoint=True,
                temporal_strategy=strategy,
                time_attr=time_attr,
            )

    @property
    def edge_permutation(self) -> Mapping[EdgeType, torch.Tensor] | None:
        """None: `subgraphs` has applied it."""
        return None

    def subgraphs(self, seeds: Seeds) -> HeteroSamplerOutput:
        """See `SubgraphSampler`."""
        nodes = {kind: torch.from_numpy(np.ascontiguousarray(node)) for kind, node in seeds.nodes.items()}
        times = {kind: torch.from_numpy(seeds.time[of] - 1) for kind, of in seeds.subgraph.items()}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(seeds.key[0] >> np.uint64(1)) if len(seeds.key) else 0)
            out = self._sampler._sample(nodes, times)
        # pyg-lib numbers the trees of all seeds, one node type after the other.
        tree = torch.from_numpy(np.concatenate([seeds.subgraph[kind] for kind in seeds.nodes]))
        out.batch = {kind: tree[of] for kind, of in out.batch.items()}
        permutation = self._sampler.edge_permutation or {}
        out.edge = {
            kind: edge if permutation.get(kind) is None else permutation[kind][edge] for kind, edge in out.edge.items()
        }
        return out


def _with_times(data: HeteroData, time_attr: str) -> HeteroData:
    """The edges with the time from which they count, of which pyg-lib knows one kind: that of edges."""
    counting = HeteroData()
    for kind in data.node_types:
        counting[kind].num_nodes = data[kind].num_nodes
    for kind in data.edge_types:
        edge_index = data[kind].edge_index
        time = data[kind].get(time_attr, torch.full((edge_index.shape[1],), ALWAYS))
        ends: Sequence[str] = (kind[0], kind[2])
        for node_type, end in zip(ends, edge_index, strict=True):
            if time_attr in data[node_type]:
                time = torch.maximum(time, data[node_type][time_attr][end])
        counting[kind].edge_index, counting[kind][time_attr] = edge_index, time
    return counting
