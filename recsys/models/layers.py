"""One layer of hetero message passing (report, section V.B) and what it is made of.

`edge_weights.py` says how much an edge counts, `neighbours.py` does the sums.
"""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn.inits import glorot
from torch_geometric.nn.module_dict import ModuleDict

from recsys.graph.schema import EdgeType
from recsys.models.edge_weights import NONE, edge_weights
from recsys.models.neighbours import TypedEdges

NEGATIVE_SLOPE = 0.2  # of LeakyReLU, as in the paper on graph attention


class HeteroLayer(nn.Module):
    """h'_v = h_v + Dropout(act(LayerNorm(W h_v + b + sum over edge types t of conv_t(v)))) (report, Eq. 4).

    The residual and the normalisation are ours: a node may have twenty edge types, so the plain sum's scale depends
    on the data, and a node without any edge keeps what its features say.

    Args:
        convs: edge type -> the convolution over its edges, called with (edges, sources' vectors, targets' vectors).
        node_types: all node types.
        hidden: width of every vector.
        dropout: probability of dropping a component of the update.
        activate: whether act is ReLU (report) or nothing, as in the last layer of the article's network.
    """

    def __init__(
        self,
        convs: Mapping[EdgeType, nn.Module],
        node_types: Sequence[str],
        *,
        hidden: int,
        dropout: float,
        activate: bool = True,
    ) -> None:
        super().__init__()
        self.convs = ModuleDict(dict(convs))
        self.root = ModuleDict({node_type: nn.Linear(hidden, hidden) for node_type in node_types})
        self.norm = ModuleDict({node_type: nn.LayerNorm(hidden) for node_type in node_types})
        self.dropout = dropout
        self.activate = activate

    def forward(
        self, h: dict[str, Tensor], edges: Mapping[EdgeType, TypedEdges], targets: dict[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Vectors after this layer; node type -> [num_nodes, hidden] in and out.

        Args:
            h: vectors of the nodes that messages come from.
            edges: the edges from these to the targets, for the node types among the targets.
            targets: vectors of the nodes wanted, where they are not all of `h`.
        """
        targets = h if targets is None else targets
        total = {node_type: self.root[node_type](vectors) for node_type, vectors in targets.items()}
        for edge_type, conv in self.convs.items():
            source, _, target = edge_type
            if target in targets:
                total[target] = total[target] + conv(edges[edge_type], h[source], targets[target])
        return {kind: targets[kind] + self._update(kind, summed) for kind, summed in total.items()}

    def _update(self, node_type: str, summed: Tensor) -> Tensor:
        update = self.norm[node_type](summed)
        return F.dropout(update.relu() if self.activate else update, self.dropout, self.training)


class GraphAttention(nn.Module):
    """Attention over the edges of T types (report, Eq. 4 and 5), with edge attributes e_uv inside the attention.

    The sum over the types t and over u in N^t(v) of alpha_uv W_t h_u, the heads' results concatenated, where
    alpha_uv = softmax over u in N^t(v) of LeakyReLU(a_t^T [W_t h_u || W_t h_v] + b_t^T e_uv). The same as a sum of
    PyTorch Geometric's `GATConv`, one a type, with one W for both ends and without bias and self-loops.

    With edge weights, a message counts w_uv times as much: the sum of alpha_uv w_uv W_t h_u, where the w_uv have mean
    1 over all edges into v (see `EdgeWeights`).

    Args:
        hidden: width of the vectors; a multiple of `heads`.
        heads: number of attention heads.
        num_types: number of edge types.
        attributes: columns of the edges' attributes that the attention sees, may be empty.
        weights: kind of the edge weights, "none" for none.
    """

    def __init__(
        self, hidden: int, *, heads: int, num_types: int, attributes: Sequence[int] = (), weights: str = NONE
    ) -> None:
        super().__init__()
        width = hidden // heads
        self.weight = nn.Parameter(torch.empty(num_types, hidden, heads, width))  # W_t
        self.attention_source = nn.Parameter(torch.empty(num_types, heads, width))  # the first half of a_t
        self.attention_target = nn.Parameter(torch.empty(num_types, heads, width))  # the second half of a_t
        self.attention_attributes = nn.Parameter(torch.empty(num_types, len(attributes), heads))  # b_t
        self.attributes = tuple(attributes)
        self.edge_weights = edge_weights(weights, num_types)
        for weight in self.weight.data:
            nn.init.xavier_uniform_(weight.view(hidden, hidden))
        glorot(self.attention_source)
        glorot(self.attention_target)
        nn.init.uniform_(self.attention_attributes, -1.0, 1.0)

    def forward(self, edges: TypedEdges, h_source: Tensor, h_target: Tensor) -> Tensor:
        """[num_sources, hidden], [num_targets, hidden] -> [num_targets, hidden]."""
        from_source = self._half(h_source, self.attention_source).index_select(0, edges.from_typed.source)
        logit = from_source + self._half(h_target, self.attention_target).index_select(0, edges.to_typed.target)
        for column, weight in zip(self.attributes, self.attention_attributes.unbind(1), strict=True):
            assert edges.attributes is not None
            logit = logit + edges.attributes[:, column, None] * weight.index_select(0, edges.type)
        attention = edges.to_typed.softmax(F.leaky_relu(logit, NEGATIVE_SLOPE))
        if self.edge_weights is not None:
            attention = attention * (self.edge_weights(edges) * edges.from_typed.degree())
        return _transformed_sum(edges, attention, h_source, self.weight)

    def _half(self, h: Tensor, attention: Tensor) -> Tensor:
        """a_t^T W_t h = (W_t^T a_t)^T h of every node and type, without the vectors W_t h, [n x T, heads]."""
        return torch.einsum("ni,tih->nth", h, torch.einsum("tiho,tho->tih", self.weight, attention)).flatten(0, 1)


class SageMean(nn.Module):
    """GraphSAGE over T types: the sum over the types t of W_t x the mean over u in N^t(v) of h_u.

    The root term of `SAGEConv` is missing: `HeteroLayer` adds it once for all types. With edge weights it is the mean
    of w_uv h_u, where the w_uv have mean 1 over all edges into v (see `EdgeWeights`). With one type that is
    sum_u w_uv h_u / sum_u w_uv: unlike in `GraphConv(aggr="mean")`, which divides by the number of edges, nodes whose
    neighbours are all only just similar enough do not get shorter vectors than others.

    Args:
        hidden: width of the vectors.
        num_types: number of edge types.
        weights: kind of the edge weights, "none" for none.
    """

    def __init__(self, hidden: int, *, num_types: int, weights: str = NONE) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_types, hidden, 1, hidden))
        for weight in self.weight.data:
            nn.init.xavier_uniform_(weight.view(hidden, hidden))
        self.edge_weights = edge_weights(weights, num_types)

    def forward(self, edges: TypedEdges, h_source: Tensor, h_target: Tensor) -> Tensor:
        """[num_sources, hidden], [num_targets, hidden] -> [num_targets, hidden]."""
        of_type = edges.to_typed.degree()
        if self.edge_weights is None:
            mean = 1 / of_type
        else:
            mean = self.edge_weights(edges) * (edges.from_typed.degree() / of_type)
        return _transformed_sum(edges, mean.to(h_source.dtype), h_source, self.weight)


def _transformed_sum(edges: TypedEdges, edge_weight: Tensor, h_source: Tensor, weight: Tensor) -> Tensor:
    """The sum over each target's edges of edge_weight W_t h_source, once a head.

    W_t is linear, so it may come before the sum or after it: it comes on the side with fewer nodes.

    Args:
        edges: the edges.
        edge_weight: [E, heads].
        h_source: [num_sources, in].
        weight: W_t, [T, in, heads, out].

    Returns:
        The heads' results concatenated, [num_targets, heads x out].
    """
    if edges.few_targets:
        summed = edges.to_typed.weighted_sum(edge_weight, h_source[:, None])
        summed = summed.view(-1, len(weight), *summed.shape[1:])
        return torch.einsum("vthi,tiho->vho", summed, weight).flatten(1)
    messages = torch.einsum("ui,tiho->utho", h_source, weight).flatten(0, 1)
    return edges.from_typed.weighted_sum(edge_weight, messages).flatten(1)


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation that falls back on its running statistics for fewer than two rows, which have no variance."""

    def forward(self, x: Tensor) -> Tensor:
        """[n, d] -> [n, d]."""
        if len(x) > 1:
            return super().forward(x)
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)
