import math

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.nn import GATConv, SAGEConv

from recsys.graph.schema import event_edge
from recsys.models.edge_weights import COSINE
from recsys.models.layers import BatchNorm, GraphAttention, HeteroLayer, SageMean
from recsys.models.neighbours import TypedEdges

HIDDEN, HEADS, TYPES, ATTRIBUTES = 6, 2, 3, 2


def typed_edges(num_sources: int, num_targets: int, *, attributes: int = 0) -> tuple[list[Tensor], list[Tensor]]:
    """Random edges of three types, the last type without any, and their attributes."""
    generator = torch.Generator().manual_seed(1)
    sizes = (9, 15, 0)
    ends = [
        torch.stack([torch.randint(0, n, (size,), generator=generator) for n in (num_sources, num_targets)])
        for size in sizes
    ]
    return ends, [torch.rand(size, attributes, generator=generator) for size in sizes]


@pytest.mark.parametrize(("num_sources", "num_targets"), [(4, 7), (7, 4)])
def test_attention_is_a_sum_of_gat_convolutions(num_sources: int, num_targets: int) -> None:
    torch.manual_seed(0)
    ends, attributes = typed_edges(num_sources, num_targets, attributes=ATTRIBUTES)
    ours = GraphAttention(HIDDEN, heads=HEADS, num_types=TYPES, attributes=range(ATTRIBUTES))
    theirs = []
    for t in range(TYPES):
        conv = GATConv(HIDDEN, HIDDEN // HEADS, heads=HEADS, edge_dim=ATTRIBUTES, add_self_loops=False, bias=False)
        conv.lin.weight.data = ours.weight.data[t].reshape(HIDDEN, HIDDEN).t().clone()
        conv.att_src.data = ours.attention_source.data[t][None].clone()
        conv.att_dst.data = ours.attention_target.data[t][None].clone()
        # GATConv's attributes pass a matrix and then an attention vector, whose product is all that counts.
        product = conv.lin_edge.weight.view(HEADS, -1, ATTRIBUTES) * conv.att_edge[0][..., None]
        ours.attention_attributes.data[t] = product.sum(dim=1).t()
        theirs.append(conv)
    h = [torch.randn(n, HIDDEN, requires_grad=True) for n in (num_sources, num_targets)]
    again = [x.detach().clone().requires_grad_() for x in h]

    out = ours(TypedEdges(ends, num_sources, num_targets, attributes), *h)
    expected = sum(conv(tuple(again), e, a) for conv, e, a in zip(theirs, ends, attributes, strict=True))

    torch.testing.assert_close(out, expected)
    out.square().sum().backward()
    expected.square().sum().backward()
    for ours_x, theirs_x in zip(h, again, strict=True):
        torch.testing.assert_close(ours_x.grad, theirs_x.grad)
    torch.testing.assert_close(
        ours.weight.grad[1].reshape(HIDDEN, HIDDEN).t(), theirs[1].lin.weight.grad, atol=1e-4, rtol=1e-4
    )


def test_attention_by_hand() -> None:
    """Two sources 4 and 8 with attributes ln 3 and 0 get attention 3/4 and 1/4: 3/4 x 4 + 1/4 x 8 = 5."""
    layer = GraphAttention(1, heads=1, num_types=1, attributes=[0])
    for parameter, value in ((layer.weight, 1), (layer.attention_source, 0), (layer.attention_target, 0)):
        nn.init.constant_(parameter, value)
    nn.init.constant_(layer.attention_attributes, 1)
    edges = TypedEdges([torch.tensor([[0, 1], [0, 0]])], 2, 1, [torch.tensor([[math.log(3)], [0.0]])])
    out = layer(edges, torch.tensor([[4.0], [8.0]]), torch.zeros(1, 1))
    torch.testing.assert_close(out, torch.tensor([[5.0]]))


def test_attention_by_hand_of_the_nodes() -> None:
    """LeakyReLU of 2 h_u - h_v: for h_u = 1 and -1 and h_v = 1 it is 1 and -0.6, so attention is as e^1.6 to 1."""
    layer = GraphAttention(1, heads=1, num_types=1)
    for parameter, value in ((layer.weight, 1), (layer.attention_source, 2), (layer.attention_target, -1)):
        nn.init.constant_(parameter, value)
    edges = TypedEdges([torch.tensor([[0, 1], [0, 0]])], 2, 1)
    out = layer(edges, torch.tensor([[1.0], [-1.0]]), torch.tensor([[1.0]]))
    share = math.exp(1.6) / (math.exp(1.6) + 1)
    torch.testing.assert_close(out, torch.tensor([[share - (1 - share)]]))


@pytest.mark.parametrize(("num_sources", "num_targets"), [(4, 7), (7, 4)])
def test_sage_is_a_sum_of_sage_convolutions(num_sources: int, num_targets: int) -> None:
    torch.manual_seed(0)
    ends, _ = typed_edges(num_sources, num_targets)
    ours = SageMean(HIDDEN, num_types=TYPES)
    theirs = [SAGEConv(HIDDEN, HIDDEN, root_weight=False, bias=False) for _ in range(TYPES)]
    for t, conv in enumerate(theirs):
        conv.lin_l.weight.data = ours.weight.data[t, :, 0].t().clone()
    h = torch.randn(num_sources, HIDDEN), torch.randn(num_targets, HIDDEN)
    expected = sum(conv(h, e) for conv, e in zip(theirs, ends, strict=True))
    torch.testing.assert_close(ours(TypedEdges(ends, num_sources, num_targets), *h), expected)


def test_sage_weighs_by_the_cosine() -> None:
    """Neighbours 1 and 5 with cosines 0.9 and 0.6: (0.9 x 1 + 0.6 x 5) / 1.5 = 2.6; a node without edges gets 0."""
    layer = SageMean(1, num_types=1, weights=COSINE)
    nn.init.constant_(layer.weight, 1)
    h = torch.tensor([[1.0], [5.0], [7.0]])
    edges = TypedEdges([torch.tensor([[1, 0], [2, 2]])], 3, 3, [torch.tensor([[0.6], [0.9]])])
    torch.testing.assert_close(layer(edges, h, h), torch.tensor([[0.0], [0.0], [2.6]]))


@pytest.mark.parametrize("activate", [True, False])
def test_layer_sums_edge_types_and_keeps_a_residual(activate: bool) -> None:
    torch.manual_seed(0)
    likes, similar = event_edge("like"), ("user", "similar", "user")
    convs = {likes: SageMean(4, num_types=1), similar: SageMean(4, num_types=1)}
    layer = HeteroLayer(convs, ["user", "content"], hidden=4, dropout=0.5, activate=activate).eval()
    h = {"user": torch.randn(3, 4), "content": torch.randn(2, 4)}
    edges = {
        likes: TypedEdges([torch.tensor([[0, 1, 2], [0, 0, 1]])], 3, 2),
        similar: TypedEdges([torch.tensor([[0], [1]])], 3, 3),
    }

    out = layer(h, edges)

    messages = {
        "content": torch.stack([(h["user"][0] + h["user"][1]) / 2, h["user"][2]]) @ convs[likes].weight[0, :, 0],
        "user": torch.stack([torch.zeros(4), h["user"][0], torch.zeros(4)]) @ convs[similar].weight[0, :, 0],
    }
    for node_type, vectors in h.items():
        update = layer.norm[node_type](layer.root[node_type](vectors) + messages[node_type])
        expected = vectors + (update.relu() if activate else update)
        torch.testing.assert_close(out[node_type], expected)


def test_batch_norm_of_one_row_or_none_uses_running_statistics() -> None:
    norm = BatchNorm(2)
    norm.running_mean, norm.running_var = torch.tensor([1.0, 2.0]), torch.tensor([4.0, 9.0])
    torch.testing.assert_close(norm(torch.tensor([[3.0, 5.0]])), torch.tensor([[1.0, 1.0]]), atol=1e-4, rtol=1e-4)
    assert norm(torch.zeros(0, 2)).shape == (0, 2)
    assert norm.running_mean.tolist() == [1.0, 2.0]
    norm(torch.tensor([[3.0, 5.0], [5.0, 5.0]]))
    torch.testing.assert_close(norm.running_mean, torch.tensor([0.9 * 1 + 0.1 * 4, 0.9 * 2 + 0.1 * 5]))
