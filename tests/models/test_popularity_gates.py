import math

import pytest
import torch
from torch import nn

from recsys.graph.schema import CONTENT, USER, GraphSchema
from recsys.models.feature_network import FeatureNetwork
from recsys.models.popularity_gates import PopularityGates


def schema_of(
    *, numbers: tuple[int, int] = (1, 3), popularity: tuple[int, ...] = (0, 2), num_moods: int = 2, categories: int = 0
) -> GraphSchema:
    """A schema of users and contents alone."""
    return GraphSchema(
        numbers=dict(zip((USER, CONTENT), numbers, strict=True)),
        categories={USER: (4,) * categories, CONTENT: (4,) * categories},
        edge_types=(),
        event_types=("like",),
        num_moods=num_moods,
        popularity=popularity,
        pair_signals=("all_paths",),
        num_met={},
    )


def gates_of(schema: GraphSchema, hidden: int = 2) -> PopularityGates:
    torch.manual_seed(0)
    return PopularityGates(schema, hidden=hidden, dropout=0.5).eval()


def none_of(count: int) -> torch.Tensor:
    return torch.zeros(count, 0, dtype=torch.int64)


def softplus(value: float) -> float:
    return math.log(1 + math.exp(value))


def test_feature_network_by_hand() -> None:
    """x -> (x, -x), of unit variance and mean 0: (1, -1) or (-1, 1); ReLU; weights of the one that is left."""
    network = FeatureNetwork(schema_of(), USER, hidden=2, outputs=2, dropout=0.5).eval()
    network.embedding.projection.weight.data = torch.tensor([[1.0], [-1.0]])
    network.embedding.projection.bias.data.zero_()
    network.outer.weight.data, network.outer.bias.data = torch.tensor([[2.0, 5.0], [-1.0, 7.0]]), torch.tensor([0.5, 0])
    found = network(torch.tensor([[3.0], [-3.0]]), none_of(2))
    torch.testing.assert_close(found, torch.tensor([[2.5, -1.0], [5.5, 7.0]]), atol=1e-4, rtol=0)


def test_gates_by_hand() -> None:
    """Column 1 of the contents is no popularity; the gates are softplus(outputs - 2)."""
    gates = gates_of(schema_of())
    assert gates.width == 2
    network = gates.network
    network.embedding.projection.weight.data = torch.tensor([[1.0], [-1.0]])
    network.embedding.projection.bias.data.zero_()
    network.outer.weight.data, network.outer.bias.data = torch.tensor([[2.0, 5.0], [-1.0, 7.0]]), torch.tensor([0.5, 0])
    users = gates.user(torch.tensor([[3.0], [-3.0]]), none_of(2))
    expected = [[softplus(0.5), softplus(-3.0)], [softplus(3.5), softplus(5.0)]]
    torch.testing.assert_close(users, torch.tensor(expected), atol=1e-4, rtol=0)

    contents = gates.content(torch.tensor([[0.3, 9.0, -0.4], [1.0, -2.0, 0.0]]))
    assert contents.tolist() == [[pytest.approx(0.3), pytest.approx(-0.4)], [1.0, 0.0]]

    gates.moods.data = torch.tensor([[0.0, 1.0], [3.0, -1.0]])
    moods = gates.mood(torch.tensor([1, 0]))
    expected = [[softplus(1.0), softplus(-3.0)], [softplus(-2.0), softplus(-1.0)]]
    torch.testing.assert_close(moods, torch.tensor(expected), atol=1e-6, rtol=0)


def test_at_first_moods_have_the_gates_of_nobody() -> None:
    gates = gates_of(schema_of(categories=1), hidden=8)
    torch.testing.assert_close(gates.mood(torch.tensor([0, 1])), torch.full((2, 2), softplus(-2.0)))


def test_in_training_the_gates_of_whole_seeds_are_left_out_and_the_others_make_up_for_it() -> None:
    gates = gates_of(schema_of(), hidden=8)
    of_seeds = torch.rand(10_000, 2) + 0.1
    assert torch.equal(gates.kept(of_seeds), of_seeds)
    torch.manual_seed(0)
    kept = gates.train().kept(of_seeds)  # each with probability 1/2
    left_out = (kept == 0).all(dim=1)
    torch.testing.assert_close(kept[~left_out], 2 * of_seeds[~left_out])
    assert abs(left_out.float().mean() - 0.5) < 0.02


def test_gates_are_never_negative() -> None:
    gates = gates_of(schema_of(), hidden=8)
    for parameter in gates.parameters():
        nn.init.normal_(parameter, std=3)
    users = gates.user(torch.randn(200, 1) * 5, none_of(200))
    assert (users >= 0).all()
    assert users.std(dim=0).max() > 0.1
    assert (gates.mood(torch.tensor([0, 1])) >= 0).all()


def test_without_user_features_all_have_the_same_gates_and_they_learn() -> None:
    gates = gates_of(schema_of(numbers=(0, 3))).train()
    users = gates.user(torch.zeros(4, 0), none_of(4))
    assert users.shape == (4, 2)
    assert torch.equal(users, users[:1].expand(4, -1))
    users[:, 0].sum().backward()
    assert gates.network.outer.bias.grad[0] > 0


def test_without_moods() -> None:
    assert gates_of(schema_of(num_moods=0)).moods.shape == (0, 2)


def test_gradients_of_moods_are_the_same_bits_every_time() -> None:
    schema = schema_of(numbers=(1, 12), popularity=tuple(range(12)), num_moods=14)
    gates = gates_of(schema)
    mood = torch.arange(100_000) % schema.num_moods  # enough for torch to share the work out among threads
    weight = torch.rand(len(mood), gates.width, generator=torch.Generator().manual_seed(0))

    def gradient() -> torch.Tensor:
        gates.zero_grad()
        (gates.mood(mood) * weight).sum().backward()
        assert gates.moods.grad is not None
        return gates.moods.grad

    first = gradient()
    assert first.abs().min() > 0
    assert all(torch.equal(gradient(), first) for _ in range(5))
