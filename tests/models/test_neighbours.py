import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from recsys.models.neighbours import Neighbours, TypedEdges

SIZES = st.tuples(st.integers(0, 30), st.integers(1, 6), st.integers(1, 6), st.integers(1, 3))


def random_edges(num_edges: int, num_sources: int, num_targets: int) -> Tensor:
    generator = torch.Generator().manual_seed(num_edges * 100 + num_sources * 10 + num_targets)
    source = torch.randint(0, num_sources, (num_edges,), generator=generator)
    return torch.stack([source, torch.randint(0, num_targets, (num_edges,), generator=generator)])


def sorted_neighbours(edges: Tensor, num_sources: int, num_targets: int) -> Neighbours:
    target, order = edges[1].sort(stable=True)
    return Neighbours(edges[0][order], target, num_sources, num_targets)


@settings(deadline=None, max_examples=25)
@given(SIZES, st.booleans())
def test_weighted_sum_is_the_sum_over_edges(sizes: tuple[int, int, int, int], shared: bool) -> None:
    num_edges, num_sources, num_targets, heads = sizes
    neighbours = sorted_neighbours(random_edges(*sizes[:3]), num_sources, num_targets)
    weight, x = torch.randn(num_edges, heads), torch.randn(num_sources, 1 if shared else heads, 4)

    expected = torch.zeros(num_targets, heads, 4)
    for edge, (source, target) in enumerate(zip(neighbours.source, neighbours.target, strict=True)):
        for head in range(heads):
            expected[target, head] += weight[edge, head] * x[source, 0 if shared else head]

    torch.testing.assert_close(neighbours.weighted_sum(weight, x), expected)


@settings(deadline=None, max_examples=25)
@given(SIZES)
def test_softmax_is_over_the_edges_of_a_target(sizes: tuple[int, int, int, int]) -> None:
    num_edges, num_sources, num_targets, heads = sizes
    neighbours = sorted_neighbours(random_edges(*sizes[:3]), num_sources, num_targets)
    logit = 50 * torch.randn(num_edges, heads)

    expected = torch.zeros(num_edges, heads)
    for target in range(num_targets):
        edges = neighbours.target == target
        expected[edges] = logit[edges].softmax(dim=0)

    torch.testing.assert_close(neighbours.softmax(logit), expected)


def test_gradients_are_those_of_the_formulas() -> None:
    neighbours = sorted_neighbours(random_edges(12, 3, 5), 3, 5)
    weight = torch.randn(12, 2, dtype=torch.double, requires_grad=True)
    for heads in (1, 2):
        x = torch.randn(3, heads, 4, dtype=torch.double, requires_grad=True)
        assert torch.autograd.gradcheck(neighbours.weighted_sum, (weight, x))
    assert torch.autograd.gradcheck(neighbours.softmax, (weight,))


def test_no_gradient_is_made_for_constant_weights() -> None:
    neighbours = sorted_neighbours(random_edges(12, 3, 5), 3, 5)
    x = torch.randn(3, 1, 4, requires_grad=True)
    weight = torch.ones(12, 1)
    neighbours.weighted_sum(weight, x).sum().backward()
    assert weight.grad is None
    assert torch.equal(x.grad[:, 0, 0], torch.bincount(neighbours.source, minlength=3).float())


def test_typed_edges_keep_each_edge_together() -> None:
    first = torch.tensor([[0, 1, 2], [1, 0, 1]])
    second = torch.tensor([[2, 0], [0, 1]])
    attributes = [torch.tensor([[0.1], [0.2], [0.3]]), torch.tensor([[0.4], [0.5]])]

    edges = TypedEdges([first, second], 3, 2, attributes)

    # Sorted by target, then type: (1 -> 0, 0), (2 -> 0, 1), (0 -> 1, 0), (2 -> 1, 0), (0 -> 1, 1).
    assert edges.type.tolist() == [0, 1, 0, 0, 1]
    assert edges.to_typed.source.tolist() == [1, 2, 0, 2, 0]
    assert edges.to_typed.target.tolist() == [0 * 2 + 0, 0 * 2 + 1, 1 * 2 + 0, 1 * 2 + 0, 1 * 2 + 1]
    assert edges.from_typed.source.tolist() == [1 * 2 + 0, 2 * 2 + 1, 0 * 2 + 0, 2 * 2 + 0, 0 * 2 + 1]
    assert edges.from_typed.target.tolist() == [0, 0, 1, 1, 1]
    torch.testing.assert_close(edges.attributes[:, 0], torch.tensor([0.2, 0.4, 0.1, 0.3, 0.5]))
    assert edges.few_targets
    assert not TypedEdges([first.flip(0)], 2, 3).few_targets
