"""A small graph, networks over it and its data module, for the tests of the models room."""

from functools import cache
from typing import Any

import torch
from torch_geometric.data import HeteroData

from recsys.data.event_log import EventLog
from recsys.data.features import fit_encoders
from recsys.data.interaction_index import InteractionIndex
from recsys.data.ranking_task import RankingTask
from recsys.graph.temporal_graph import TemporalGraph
from recsys.loading.datamodule import GraphDataModule
from recsys.loading.negatives import Uniform
from recsys.loading.snapshot_loader import SnapshotLoader
from recsys.models.network import Network
from recsys.models.registry import NETWORKS
from tests.factories import tiny_log


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


def same_bits(first: torch.Tensor, second: torch.Tensor) -> bool:
    """Whether two tensors are equal bit for bit (NaN equals NaN)."""
    return first.dtype == second.dtype and first.shape == second.shape and _bytes(first) == _bytes(second)


def _bytes(tensor: torch.Tensor) -> bytes:
    return tensor.detach().numpy().tobytes()
