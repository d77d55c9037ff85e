"""Weights of edges against a computation edge by edge, in both layers that multiply by them."""

import math

import pytest
import torch
from torch import Tensor, nn

from recsys.models.edge_weights import EVENT_WEIGHTS, LEARNED, NONE, EdgeWeights
from recsys.models.layers import GraphAttention, SageMean
from recsys.models.neighbours import TypedEdges

HIDDEN, HEADS, TYPES = 4, 2, 3
WEIGHTS = [kind for kind in EVENT_WEIGHTS if kind != NONE]
SLOPE = torch.tensor([[0.5, -1.0], [2.0, 0.3], [-0.7, 0.0]])  # a_t and b_t


def events(num_sources: int, num_targets: int) -> tuple[list[Tensor], list[Tensor]]:
    """Random edges of three types and their weight, recency and strength; every target but the last has some."""
    generator = torch.Generator().manual_seed(1)
    ends, attributes = [], []
    for size in (9, 14, 6):
        source = torch.randint(0, num_sources, (size,), generator=generator)
        ends.append(torch.stack([source, torch.randint(0, num_targets - 1, (size,), generator=generator)]))
        weight, recency = torch.rand(2, size, generator=generator)
        attributes.append(torch.stack([weight, recency, weight * (1 + recency) / 2], dim=1))
    return ends, attributes


def naive_factors(kind: str, ends: list[Tensor], attributes: list[Tensor]) -> list[list[float]]:
    """w_uv of every edge, a list a type, by the definition: with mean 1 over all edges into a node."""

    def raw(t: int, weight: float, recency: float) -> float:
        return {
            "none": 1.0,
            "recency": 1 + recency,
            "weight": weight,
            "strength": weight * (1 + recency),
            "learned": math.exp(float(SLOPE[t, 0]) * weight + float(SLOPE[t, 1]) * recency),
        }[kind]

    values = [[raw(t, w, r) for w, r, _ in of_type.tolist()] for t, of_type in enumerate(attributes)]
    into: dict[int, list[float]] = {}
    for (_, target), of_type in zip(ends, values, strict=True):
        for v, value in zip(target.tolist(), of_type, strict=True):
            into.setdefault(v, []).append(value)
    return [
        [value * len(into[v]) / sum(into[v]) for v, value in zip(target.tolist(), of_type, strict=True)]
        for (_, target), of_type in zip(ends, values, strict=True)
    ]


def with_slope(layer: nn.Module) -> nn.Module:
    """The same layer as if it had learned."""
    if layer.edge_weights is not None and layer.edge_weights.slope is not None:
        layer.edge_weights.slope.data = SLOPE.clone()
    return layer


@pytest.mark.parametrize(("num_sources", "num_targets"), [(4, 7), (7, 4)])
@pytest.mark.parametrize("kind", EVENT_WEIGHTS)
def test_sage_takes_the_mean_of_weighted_messages(kind: str, num_sources: int, num_targets: int) -> None:
    torch.manual_seed(0)
    ends, attributes = events(num_sources, num_targets)
    layer = with_slope(SageMean(HIDDEN, num_types=TYPES, weights=kind))
    h = torch.randn(num_sources, HIDDEN), torch.randn(num_targets, HIDDEN)

    expected = torch.zeros(num_targets, HIDDEN)
    factors = naive_factors(kind, ends, attributes)
    for t, (source, target) in enumerate(ends):
        for u, v, factor in zip(source.tolist(), target.tolist(), factors[t], strict=True):
            count = int((target == v).sum())
            expected[v] += factor * (h[0][u] @ layer.weight[t, :, 0]).detach() / count
    torch.testing.assert_close(layer(TypedEdges(ends, num_sources, num_targets, attributes), *h).detach(), expected)


@pytest.mark.parametrize("kind", WEIGHTS)
def test_attention_multiplies_its_messages(kind: str) -> None:
    """Messages edge by edge: alpha_uv w_uv W_t h_u, where weights leave the attention alpha as it is."""
    torch.manual_seed(0)
    ends, attributes = events(6, 5)
    h = torch.randn(6, HIDDEN), torch.randn(5, HIDDEN)
    weighted = with_slope(GraphAttention(HIDDEN, heads=HEADS, num_types=TYPES, attributes=[1], weights=kind))
    edges = TypedEdges(ends, 6, 5, attributes)
    projected = torch.einsum("ui,tiho->utho", h[0], weighted.weight)  # W_t h_u
    at_target = torch.einsum("vi,tiho->vtho", h[1], weighted.weight)

    expected = torch.zeros(5, HEADS, HIDDEN // HEADS)
    factors = naive_factors(kind, ends, attributes)
    for t, (source, target) in enumerate(ends):
        logit = (projected[source, t] * weighted.attention_source[t]).sum(-1)
        logit = logit + (at_target[target, t] * weighted.attention_target[t]).sum(-1)
        logit = logit + attributes[t][:, 1, None] * weighted.attention_attributes[t, 0]
        logit = torch.nn.functional.leaky_relu(logit, 0.2)
        for v in range(5):
            own = target == v
            alpha = logit[own].softmax(0)
            factor = torch.tensor(factors[t])[own]
            expected[v] += torch.einsum("eh,e,eho->ho", alpha, factor, projected[source[own], t])
    torch.testing.assert_close(weighted(edges, *h), expected.flatten(1))


@pytest.mark.parametrize("kind", WEIGHTS)
def test_shares_of_a_node_sum_to_one(kind: str) -> None:
    ends, attributes = events(6, 5)
    shares = EdgeWeights(kind, TYPES)(TypedEdges(ends, 6, 5, attributes))
    target = TypedEdges(ends, 6, 5).from_typed.target
    torch.testing.assert_close(torch.zeros(5).index_add(0, target, shares[:, 0]), torch.tensor([1.0, 1, 1, 1, 0]))


def test_by_hand() -> None:
    """Of two types into one node, a view with weight 1 and recency 0 and a like with weight 3 and recency 1.

    In proportion: recency 1 : 2, weight 1 : 3, strength 1 : 6.
    """
    ends = [torch.tensor([[0], [0]]), torch.tensor([[1], [0]])]
    attributes = [torch.tensor([[0.25, 0.0, 0.125]]), torch.tensor([[0.75, 1.0, 0.75]])]
    edges = TypedEdges(ends, 2, 1, attributes)
    for kind, expected in (("recency", [1 / 3, 2 / 3]), ("weight", [1 / 4, 3 / 4]), ("strength", [1 / 7, 6 / 7])):
        torch.testing.assert_close(EdgeWeights(kind, 2)(edges)[:, 0], torch.tensor(expected))
    learned = EdgeWeights(LEARNED, 2)
    torch.testing.assert_close(learned(edges)[:, 0], torch.tensor([0.5, 0.5]))
    learned.slope.data = torch.tensor([[4 * math.log(2), 9.0], [0.0, math.log(6)]])  # exp: 2 and 6
    torch.testing.assert_close(learned(edges)[:, 0], torch.tensor([0.25, 0.75]))


def test_events_of_no_weight_send_nothing() -> None:
    edges = TypedEdges([torch.tensor([[0, 1], [0, 0]])], 2, 1, [torch.zeros(2, 3)])
    for kind in ("weight", "strength"):
        out = SageMean(HIDDEN, num_types=1, weights=kind)(edges, torch.ones(2, HIDDEN), torch.ones(1, HIDDEN))
        assert not out.any()


def test_gradients_of_learned_weights() -> None:
    """As autograd finds them for shares computed plainly."""
    ends, attributes = events(6, 5)
    edges, factor = TypedEdges(ends, 6, 5, attributes), torch.randn(29, 1, generator=torch.Generator().manual_seed(2))
    weights = EdgeWeights(LEARNED, TYPES)
    weights.slope.data = SLOPE.clone()
    (weights(edges) * factor).sum().backward()

    slope = SLOPE.clone().requires_grad_()
    weight = (edges.attributes[:, :2] * slope[edges.type]).sum(dim=1).exp()
    target = edges.from_typed.target
    share = weight / torch.zeros(5).index_add(0, target, weight)[target]
    (share * factor[:, 0]).sum().backward()
    torch.testing.assert_close(weights.slope.grad, slope.grad)
