"""Edges whose sums are made of operations that ONNX has; `recsys.models.neighbours` has the fast ones."""

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from recsys.graph.schema import EdgeType
from recsys.models.neighbours import Neighbours, TypedEdges
from recsys.models.network import EdgeGroup, Network


class TraceableNeighbours(Neighbours):
    """The same edges as another `Neighbours`, by gather and scatter instead of sparse products."""

    def __init__(self, edges: Neighbours) -> None:
        super().__init__(edges.source, edges.target, edges.num_sources, edges.num_targets)
        self._degree = edges.degree()

    def weighted_sum(self, weight: Tensor, x: Tensor) -> Tensor:
        """As `Neighbours.weighted_sum`."""
        return self.total(weight[:, :, None] * x.index_select(0, self.source))

    def softmax(self, logit: Tensor) -> Tensor:
        """As `Neighbours.softmax`."""
        index = self.target[:, None].expand_as(logit)
        largest = logit.new_full((self.num_targets, logit.shape[1]), -torch.inf)
        largest = largest.scatter_reduce(0, index, logit, "amax")
        share = (logit - largest.index_select(0, self.target)).exp()
        return share / self.total(share).index_select(0, self.target)

    def degree(self) -> Tensor:
        """As `Neighbours.degree`."""
        return self._degree

    def total(self, values: Tensor) -> Tensor:
        """As `Neighbours.total`."""
        index = self.target.view(-1, *[1] * (values.dim() - 1)).expand_as(values)
        return values.new_zeros(self.num_targets, *values.shape[1:]).scatter_add(0, index, values)


def traceable_edges(network: Network, graph: HeteroData) -> dict[EdgeType, TypedEdges]:
    """The edges of a snapshot as the layers of a network want them, by group, with sums that can be exported."""
    return {key: _typed_edges(graph, key, group) for key, group in network.groups.items()}


def _typed_edges(graph: HeteroData, key: EdgeType, group: EdgeGroup) -> TypedEdges:
    stores = [graph[edge_type] for edge_type in group.edge_types]
    edges = TypedEdges(
        [store.edge_index for store in stores],
        graph[key[0]].num_nodes,
        graph[key[2]].num_nodes,
        [store.edge_attr for store in stores] if group.attributes else None,
    )
    edges.to_typed, edges.from_typed = TraceableNeighbours(edges.to_typed), TraceableNeighbours(edges.from_typed)
    return edges
