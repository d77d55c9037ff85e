"""Vectors of identities: hidden at random in training, and one for everything that was not met in training."""

from typing import Any

import numpy as np
import pytest
import torch

from recsys.graph.schema import CONTENT, USER
from recsys.loading.datamodule import GraphDataModule
from recsys.models.graph_scorer import GraphScorer
from recsys.models.lightning_module import LinkPredictionModule
from recsys.models.node_embedding import IdEmbedding
from recsys.models.objectives import BCE
from recsys.models.registry import NETWORKS
from tests.models.helpers import make_datamodule, make_network, pick_zeros, same_bits, small_graph, small_log

T = small_log().boundaries.t_val
EVERY = pytest.mark.parametrize("name", sorted(NETWORKS))


def made(dropout: float = 0.0) -> IdEmbedding:
    torch.manual_seed(0)
    ids = IdEmbedding(3, dim=2, hidden=4, dropout=dropout)
    ids.own.weight.data[1:] = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 2.0]])
    ids.unknown.data = torch.tensor([0.5, -0.5])
    return ids


def test_who_was_not_met_in_training_is_unknown() -> None:
    ids = made(dropout=0.9).eval()
    found = ids(torch.tensor([2, 0, 4, 1000]))
    torch.testing.assert_close(found[0], ids.projection(torch.tensor([0.5, 0.5])))
    torch.testing.assert_close(found[1:], ids.projection(ids.unknown).expand(3, -1))


def test_everybody_starts_as_unknown() -> None:
    ids = IdEmbedding(3, dim=2, hidden=4, dropout=0.5)
    assert not ids(torch.arange(5)).any()


def test_in_training_an_identity_is_hidden_with_the_probability_given() -> None:
    ids = made(dropout=0.3).train()
    found = ids(torch.full((4000,), 3))
    is_hidden = torch.isclose(found, ids.projection(ids.unknown)).all(dim=1)
    is_shown = torch.isclose(found, ids.projection(torch.tensor([2.5, 1.5]))).all(dim=1)
    assert (is_hidden ^ is_shown).all()
    assert abs(float(is_hidden.float().mean()) - 0.3) < 0.03


def test_only_who_is_shown_learns() -> None:
    ids = made(dropout=0.5).train()
    ids(torch.tensor([0, 2, 2, 2, 2, 2, 7])).sum().backward()
    assert ids.own.weight.grad is not None
    assert ids.own.weight.grad.any(dim=1).tolist() == [False, False, True, False]
    assert ids.unknown.grad is not None
    assert ids.unknown.grad.any()


@EVERY
def test_an_identity_tells_apart_who_is_alike(name: str) -> None:
    network = make_network(name, id_embedding=4, layers=0).eval()
    graph = small_graph().snapshot(T)
    before = network.encode(graph)
    place = int(graph[USER].met.argmax())
    network.ids[USER].own.weight.data[graph[USER].met[place]] += 1
    changed = (network.encode(graph)[USER] != before[USER]).any(dim=1)
    assert changed.tolist() == [at == place for at in range(len(changed))]


@EVERY
def test_nobody_gets_an_identity_without_an_event_in_training(name: str) -> None:
    """After training, vectors are still zero but for those met before the latest snapshot of training."""
    network = make_network(name, id_embedding=4, id_dropout=0.0)
    data: GraphDataModule = make_datamodule()
    module = LinkPredictionModule(
        scorer=GraphScorer(network, small_graph()), objective=BCE(), optimizer=lambda p: torch.optim.AdamW(p, lr=0.1)
    )
    module.log = lambda *_, **__: None
    optimizer: Any = module.configure_optimizers()
    network.train()
    latest = 0
    for epoch in range(2):
        for place, batch in enumerate(data.loader.batches(epoch)):
            latest = max(latest, int(batch.time.max()))
            optimizer.zero_grad()
            module.training_step(batch, place).backward()
            optimizer.step()
    for kind, of_event in ((USER, small_log().user), (CONTENT, small_log().content)):
        has_own = network.ids[kind].own.weight.any(dim=1)
        known = len(np.unique(of_event[small_log().time < latest]))
        assert has_own.tolist() == [0 < number <= known for number in range(len(has_own))]


@EVERY
def test_newcomers_score_as_unknown(name: str) -> None:
    """Whatever the identities of others are."""
    t = int(small_log().users.exists_from[-2])
    newcomers = np.arange(small_log().users.count_before(t), len(small_log().users))
    contents = np.arange(small_log().contents.count_before(t))
    assert len(newcomers)
    network = make_network(name, id_embedding=4, layers=0)
    pick_zeros(network)
    scorer = GraphScorer(network, small_graph())
    before = scorer.score(newcomers, contents, t)
    network.ids[USER].own.weight.data[1:] += 1
    scorer.reset()
    assert same_bits(scorer.score(newcomers, contents, t), before)
