"""Edges whose sums are made of operations that ONNX has; `recsys.models.neighbours` has the fast ones."""

from collections.abc import Mapping
from copy import copy

import torch
from torch import Tensor

from recsys.graph.schema import EdgeType
from recsys.models.neighbours import Neighbours, TypedEdges


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


def traceable(edges: Mapping[EdgeType, TypedEdges]) -> dict[EdgeType, TypedEdges]:
    """The same edges with sums that can be exported."""
    return {key: _traceable(of_type) for key, of_type in edges.items()}


def _traceable(edges: TypedEdges) -> TypedEdges:
    same = copy(edges)
    same.to_typed, same.from_typed = TraceableNeighbours(edges.to_typed), TraceableNeighbours(edges.from_typed)
    return same
