"""Sums over the neighbours of every node as sparse CSR products; the layers that weigh them are in `layers.py`.

PyTorch Geometric's message passing copies a vector for every edge, forwards and backwards. A product with a sparse
matrix, and for the gradient of its values a product sampled at its entries, do without and are many times faster.
"""

import warnings
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")


class TypedEdges:
    """The edges of T types between the same two kinds of nodes, in one order: by target, then type.

    Sums over the edges of all types at once are sums over plain edges between pairs (node, type).

    Args:
        edge_indices: (source, target) of each edge in any order, one int64 [2, E_t] a type.
        num_sources, num_targets: nodes on either side.
        attributes: attributes of the edges, one [E_t, A] a type, or None.

    Attributes:
        type: of each edge, int64, [E].
        attributes: of each edge, [E, A], or None.
        to_typed: edges from source s to pair target x T + type.
        from_typed: edges from pair source x T + type to the target.
    """

    def __init__(
        self,
        edge_indices: Sequence[Tensor],
        num_sources: int,
        num_targets: int,
        attributes: Sequence[Tensor] | None = None,
    ) -> None:
        num_types = len(edge_indices)
        source, target = torch.cat(list(edge_indices), dim=1)
        counts = torch.tensor([edge_index.shape[1] for edge_index in edge_indices])
        edge_type = torch.repeat_interleave(counts).to(source.device)
        typed_target, order = (target * num_types + edge_type).sort(stable=True)
        source, self.type = source.index_select(0, order), edge_type.index_select(0, order)
        self.attributes = None if attributes is None else torch.cat(list(attributes)).index_select(0, order)
        self.to_typed = Neighbours(source, typed_target, num_sources, num_targets * num_types)
        target = target.index_select(0, order)
        self.from_typed = Neighbours(source * num_types + self.type, target, num_sources * num_types, num_targets)

    @property
    def few_targets(self) -> bool:
        """Whether there are fewer targets than sources, so that summing comes before transforming."""
        return self.from_typed.num_targets < self.to_typed.num_sources


class Neighbours:
    """Edges sorted by target.

    Args:
        source, target: of each edge, `target` ascending, int64, [E].
        num_sources, num_targets: nodes on either side.
    """

    def __init__(self, source: Tensor, target: Tensor, num_sources: int, num_targets: int) -> None:
        self.source, self.target = source, target
        self.num_sources, self.num_targets = num_sources, num_targets
        self.offsets = _offsets(target, num_targets)

    @cached_property
    def by_source(self) -> tuple[Tensor, Tensor, Tensor]:
        """The same edges sorted by source, for gradients: offsets [num_sources + 1], targets [E], their order [E]."""
        source, order = self.source.sort(stable=True)
        return _offsets(source, self.num_sources), self.target.index_select(0, order), order

    def weighted_sum(self, weight: Tensor, x: Tensor) -> Tensor:
        """Sum over each target's edges of weight x the source's vector, once a head.

        Args:
            weight: weight of each edge for each head, [E, H].
            x: vectors of the sources, [num_sources, H, C], or [num_sources, 1, C] if all heads share them.

        Returns:
            [num_targets, H, C]; zeros where a target has no edge.
        """
        return _WeightedSum.apply(weight, x, self)  # type: ignore[no-untyped-call, no-any-return]

    def softmax(self, logit: Tensor) -> Tensor:
        """Softmax over the edges of each target, [E, H] -> [E, H]."""
        return _Softmax.apply(logit, self)  # type: ignore[no-untyped-call, no-any-return]

    def degree(self) -> Tensor:
        """Number of edges of each edge's target, int64, [E, 1]."""
        return self.offsets.diff().index_select(0, self.target)[:, None]

    def total(self, values: Tensor) -> Tensor:
        """Sum over the edges of each target, [E, ...] -> [num_targets, ...]."""
        return torch.segment_reduce(values, "sum", offsets=self.offsets, initial=0.0)


class _WeightedSum(torch.autograd.Function):
    """out[t, h] = sum over edges e into t of weight[e, h] x[source(e), h]."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, x: Tensor, edges: Neighbours) -> Tensor:
        ctx.save_for_backward(weight, x)
        ctx.edges = edges
        shape = (edges.num_targets, edges.num_sources)
        sums = [_csr(edges.offsets, edges.source, one, shape) @ x_one for one, x_one in _by_head(weight, x)]
        return torch.stack(sums, dim=1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        (grad,) = grads
        weight, x = ctx.saved_tensors
        edges: Neighbours = ctx.edges
        grad_weight = grad_x = None
        if ctx.needs_input_grad[0]:
            # d out[t, h] / d weight[e, h] = x[source(e), h]: inner products at the entries of the matrix only.
            entries = torch.zeros_like(weight[:, 0])
            pattern = _csr(edges.offsets, edges.source, entries, (edges.num_targets, edges.num_sources))
            products = [torch.sparse.sampled_addmm(pattern, g, x_one.t()).values() for g, x_one in _by_head(grad, x)]
            grad_weight = torch.stack(products, dim=1)
        if ctx.needs_input_grad[1]:
            offsets, target, order = edges.by_source
            shape = (edges.num_sources, edges.num_targets)
            matrices = [_csr(offsets, target, one, shape) for one in weight.index_select(0, order).unbind(1)]
            if x.shape[1] == len(matrices):
                grad_x = torch.stack([matrix @ g for matrix, g in zip(matrices, grad.unbind(1), strict=True)], dim=1)
            else:  # shared by the heads
                grad_x = torch.zeros_like(x)
                for matrix, g in zip(matrices, grad.unbind(1), strict=True):
                    grad_x[:, 0].addmm_(matrix, g)
        return grad_weight, grad_x, None


class _Softmax(torch.autograd.Function):
    """Softmax over the edges of each target."""

    @staticmethod
    def forward(ctx: Any, logit: Tensor, edges: Neighbours) -> Tensor:
        largest = torch.segment_reduce(logit, "max", offsets=edges.offsets, initial=-torch.inf)
        share = (logit - largest.index_select(0, edges.target)).exp_()
        share /= edges.total(share).index_select(0, edges.target)
        ctx.save_for_backward(share)
        ctx.edges = edges
        return share

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (share,) = ctx.saved_tensors
        weighted = share * grads[0]
        return weighted - share * ctx.edges.total(weighted).index_select(0, ctx.edges.target), None


def _by_head(values: Tensor, x: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Each head's values [..., H, ...] (dimension 1) with its source vectors, which all heads may share."""
    return list(zip(values.unbind(1), x.expand(-1, values.shape[1], -1).unbind(1), strict=True))


def _offsets(ascending: Tensor, size: int) -> Tensor:
    """Where each of the values [0, size) begins in a sorted tensor, int64, [size + 1]."""
    return torch.searchsorted(ascending, torch.arange(size + 1, device=ascending.device))


def _csr(offsets: Tensor, column: Tensor, value: Tensor, shape: tuple[int, int]) -> Tensor:
    return torch.sparse_csr_tensor(offsets, column, value.contiguous(), shape, check_invariants=False)
