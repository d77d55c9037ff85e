"""A small graph, networks over it and its data module, for the tests of the models room."""

from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from recsys.data.event_log import EventLog
from recsys.data.features import fit_encoders
from recsys.data.interaction_index import InteractionIndex
from recsys.data.ranking_task import RankingTask
from recsys.graph.schema import CONTENT, USER
from recsys.graph.temporal_graph import TemporalGraph
from recsys.loading.datamodule import GraphDataModule
from recsys.loading.negatives import Uniform
from recsys.loading.snapshot_loader import SnapshotLoader
from recsys.models.network import Network
from recsys.models.pair_readout import PAIRS
from recsys.models.pair_signals import signals_of_pairs
from recsys.models.registry import NETWORKS
from tests.factories import tiny_log

# Every choice of what a logit has besides the head.
PARTS = pytest.mark.parametrize(
    "parts",
    [
        *({"popularity_gates": gates, "pair": pair} for gates, pair in product((True, False), PAIRS)),
        {"popularity_gates": False, "pair": "none", "id_embedding": 4},
    ],
    ids=lambda parts: "-".join(f"{name}={value}" for name, value in parts.items()),
)


@cache
def small_log() -> EventLog:
    """A log with everything: four event types, creators, tags, moods, cold contents and newcomers."""
    return tiny_log(num_users=12, num_contents=20, num_events=150)


@cache
def small_graph() -> TemporalGraph:
    """The graph of `small_log`."""
    return graph_of(small_log())


def graph_of(log: EventLog) -> TemporalGraph:
    """The graph of a log."""
    return TemporalGraph(log, fit_encoders(log))


def snapshot() -> HeteroData:
    """The graph as of validation."""
    return small_graph().snapshot(small_log().boundaries.t_val)


def make_network(name: str, graph: TemporalGraph | None = None, seed: int = 0, **settings: Any) -> Network:
    """A network with seeded weights over a graph, the small one by default."""
    torch.manual_seed(seed)
    return NETWORKS[name]((graph or small_graph()).schema, **{"hidden": 16, "head_hidden": 8, **settings})


def make_datamodule(
    graph: TemporalGraph | None = None, *, count: int = 3, seed: int = 5, snapshots: int = 3
) -> GraphDataModule:
    """The real data module over a graph, the small one by default."""
    graph = graph or small_graph()
    index = InteractionIndex(graph.log)
    return GraphDataModule(
        log=graph.log,
        graph=graph,
        index=index,
        loader=lambda **given: SnapshotLoader(**given, snapshots=snapshots),
        negatives=Uniform(count=count),
        seed=seed,
        validation=RankingTask.build(graph.log, index, "validation", seed),
        test=RankingTask.build(graph.log, index, "test", seed),
        block=5,
    )


def pick_running_statistics(network: torch.nn.Module) -> None:
    """Give every batch normalisation statistics and an affine map that are not the initial ones."""
    generator = torch.Generator().manual_seed(3)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.running_mean = torch.randn(module.num_features, generator=generator)
            module.running_var = 0.5 + torch.rand(module.num_features, generator=generator)
            module.weight.data = 0.5 + torch.rand(module.num_features, generator=generator)
            module.bias.data = torch.randn(module.num_features, generator=generator)


def widths(network: Network) -> dict[str, int]:
    """Width of the vectors of each node type."""
    found = dict.fromkeys(network.embeddings.keys(), network.hidden)
    for kind in (USER, CONTENT):
        found[kind] += 1 + (0 if network.gates is None else network.gates.width)  # the last is the level
    found[USER] += 0 if network.pair is None else network.pair.width
    return found


def pick_zeros(network: torch.nn.Module) -> None:
    """Give every parameter that starts at 0 other values, as training would, so that what it does shows."""
    generator = torch.Generator().manual_seed(4)
    for parameter in network.parameters():
        if not parameter.any():
            parameter.data = torch.randn(parameter.shape, generator=generator)


def signals(
    network: Network, user: Tensor, content: Tensor, graph: TemporalGraph | None = None, t: int | None = None
) -> Tensor:
    """What a network wants to know of users [B] and contents [B, N] of a graph, the small one by default.

    At validation by default. Nothing, [B, N, 0], for a network without paths.
    """
    graph = graph or small_graph()
    times = np.full(len(user), graph.log.boundaries.t_val if t is None else t)
    said = signals_of_pairs(network, graph, user.numpy(), content.numpy(), times)
    return torch.empty(*content.shape, 0) if said is None else said


def same_bits(first: torch.Tensor, second: torch.Tensor) -> bool:
    """Whether two tensors are equal bit for bit (NaN equals NaN)."""
    return first.dtype == second.dtype and first.shape == second.shape and _bytes(first) == _bytes(second)


def _bytes(tensor: torch.Tensor) -> bytes:
    return tensor.detach().numpy().tobytes()
