"""LightGCN against dense algebra, PyTorch Geometric's own and one step by autograd."""

import numpy as np
import pytest
import torch
from torch_geometric.nn.models import LightGCN

from recsys.models.baselines.lightgcn import LightGcn, UserContentGraph
from recsys.models.baselines.past import interactions
from tests.models.peers import mixed_log

PAIRS = np.array([[0, 0, 1, 3, 3, 3], [2, 0, 2, 0, 1, 4]])  # user 2 and content 3 have none
USERS, CONTENTS = 4, 5


def dense() -> torch.Tensor:
    """D^-1/2 A D^-1/2, entry by entry."""
    adjacency = torch.zeros(USERS + CONTENTS, USERS + CONTENTS)
    for user, content in PAIRS.T:
        adjacency[user, USERS + content] = adjacency[USERS + content, user] = 1.0
    degree = adjacency.sum(1)
    return adjacency / (degree[:, None] * degree[None]).sqrt().where(adjacency > 0, torch.tensor(1.0))


@pytest.mark.parametrize("layers", [0, 1, 3])
def test_propagation_is_the_papers(layers: int) -> None:
    graph = UserContentGraph(*PAIRS, USERS, CONTENTS)
    vectors = torch.randn(USERS + CONTENTS, 6, generator=torch.Generator().manual_seed(0), requires_grad=True)
    found = graph.propagate(vectors, layers)
    power = torch.eye(USERS + CONTENTS)
    mean = power.clone()
    for _ in range(layers):
        power = dense() @ power
        mean = mean + power
    mean = mean / (layers + 1)
    torch.testing.assert_close(found, mean @ vectors)

    weight = torch.rand(found.shape, generator=torch.Generator().manual_seed(1))
    (found * weight).sum().backward()
    torch.testing.assert_close(vectors.grad, mean.T @ weight)

    theirs = LightGCN(USERS + CONTENTS, 6, layers)
    theirs.embedding.weight.data.copy_(vectors.detach())
    one_way = torch.from_numpy(PAIRS + np.array([[0], [USERS]]))
    both_ways = torch.cat([one_way, one_way.flip(0)], dim=1)
    torch.testing.assert_close(found.detach(), theirs.get_embedding(both_ways).detach())


def test_one_step_by_autograd() -> None:
    """A whole fit of one step, from the drawn numbers on, with Adam and the loss written out."""
    log, seed, layers, l2, rate = mixed_log(), 3, 2, 0.05, 0.1
    t = log.boundaries.t_test
    met = interactions(log, t, "target").toarray() > 0
    num_users, num_contents = met.shape
    peer = LightGcn(
        log, dim=4, layers=layers, epochs=1, l2=l2, learning_rate=rate, batch_size=10_000, window=None, seed=seed
    )
    users, contents = np.flatnonzero(met.any(axis=1)), np.arange(num_contents)
    found = peer.score(users, contents, t)

    rng = np.random.default_rng(seed)
    vectors = torch.tensor(rng.normal(0, 0.1, (num_users + num_contents, 4)), dtype=torch.float32, requires_grad=True)
    user, positive = np.nonzero(met)
    negative = rng.integers(num_contents, size=len(user))
    kept = [i for i in range(len(user)) if not met[user[i], negative[i]]]
    user, positive, negative = user[kept], positive[kept], negative[kept]

    adjacency = torch.zeros(num_users + num_contents, num_users + num_contents)
    adjacency[:num_users, num_users:] = torch.from_numpy(met.astype(np.float32))
    adjacency = adjacency + adjacency.T
    scale = adjacency.sum(1).clamp(min=1).rsqrt()
    adjacency = scale[:, None] * adjacency * scale

    def passed() -> torch.Tensor:
        return sum((torch.linalg.matrix_power(adjacency, k) @ vectors for k in range(layers + 1)), 0) / (layers + 1)

    h = passed()
    margin = (h[user] * (h[num_users + positive] - h[num_users + negative])).sum(1)
    lengths = sum(vectors[rows].square().sum(1) for rows in (user, num_users + positive, num_users + negative))
    loss = (-torch.nn.functional.logsigmoid(margin) + l2 * lengths / 2).mean()
    loss.backward()
    with torch.no_grad():
        vectors -= rate * vectors.grad / (vectors.grad.abs() + 1e-8)  # Adam's first step
    h = passed().detach()
    torch.testing.assert_close(found, h[users] @ h[num_users:].T, rtol=1e-3, atol=1e-4)


def test_it_learns_what_it_is_shown() -> None:
    log = mixed_log()
    t = log.boundaries.t_test
    met = interactions(log, t, "target").toarray() > 0
    users, contents = map(np.arange, met.shape)
    scores = LightGcn(log, dim=16, layers=1, epochs=200, batch_size=50, window=None).score(users, contents, t).numpy()
    better = [(scores[u][met[u]][:, None] > scores[u][~met[u]]).mean() for u in users if met[u].any()]
    assert np.mean(better) > 0.95


def test_random_numbers_of_others_stay_as_they_were() -> None:
    log = mixed_log()
    state = torch.random.get_rng_state()
    LightGcn(log, dim=8, epochs=1).fit(log.boundaries.t_val)
    assert torch.equal(state, torch.random.get_rng_state())
