"""Small bundles of every kind of model, and changed manifests."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from recsys.data.event_log import EventLog
from recsys.data.features import fit_encoders
from recsys.graph.settings import GraphSettings, SimilaritySettings
from recsys.graph.temporal_graph import TemporalGraph
from recsys.models.baselines.peer import Peer
from recsys.models.graph_scorer import GraphScorer
from recsys.models.registry import NETWORKS, PEERS
from recsys.models.scorer import Scorer
from recsys.serving.bundle import save_bundle
from recsys.serving.manifest import MANIFEST, checksum
from tests.factories import tiny_log

RECENT = "recent popularity"
KINDS = (*NETWORKS, *PEERS, RECENT)
GRAPH = GraphSettings(windows=(0.1, 1.0), similarity=SimilaritySettings(k=3, threshold=0.4))


@dataclass(frozen=True)
class Made:
    """What a bundle was saved from, and where it is."""

    log: EventLog
    graph: TemporalGraph
    scorer: Scorer
    folder: Path

    def save(self, folder: Path, **changes: Any) -> Path:
        """Save it once more."""
        arguments: dict[str, Any] = {
            "graph": self.graph,
            "encoders": fit_encoders(self.log),
            "scorer": self.scorer,
            "threshold": 0.1 + 0.2,
            "time": self.log.boundaries.t_test,
            "config": {"seed": 0},
        }
        save_bundle(folder, **(arguments | changes))
        return folder


def make_bundle(
    kind: str,
    folder: Path,
    log: EventLog | None = None,
    settings: GraphSettings = GRAPH,
    model: Mapping[str, Any] = MappingProxyType({}),
) -> Made:
    """A run's folder with the bundle of one kind of model, a network with these settings."""
    log = tiny_log(seed=3) if log is None else log
    graph = TemporalGraph(log, fit_encoders(log), settings)
    made = Made(log, graph, _scorer(kind, log, graph, model), folder)
    made.save(folder)
    return made


def all_scores(scorer: Scorer, log: EventLog, t: int) -> Tensor:
    """Scores of all users, newcomers too, for all contents that exist."""
    return scorer.score(np.arange(len(log.users)), np.arange(log.contents.count_before(t)), t)


def change_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a manifest as someone would who knows how to make its checksum right again."""
    plain = json.loads((folder / MANIFEST).read_text())
    del plain["checksum"]
    change(plain)
    plain["checksum"] = checksum(plain)
    (folder / MANIFEST).write_text(json.dumps(plain))


def _scorer(kind: str, log: EventLog, graph: TemporalGraph, model: Mapping[str, Any]) -> Scorer:
    if kind in NETWORKS:
        torch.manual_seed(7)
        network = NETWORKS[kind](graph.schema, **{"hidden": 8, "layers": 2, "dropout": 0.3, **model})
        for parameter in network.parameters():  # as if trained: nothing is zero any more, and running statistics count
            if not parameter.any():
                nn.init.normal_(parameter)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm1d):
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2.0)
        network.calibration.copy_(torch.tensor([0.8, -0.3]))
        return GraphScorer(network, graph)
    build: Callable[..., Peer] = PEERS["popularity" if kind == RECENT else kind]
    return build(log, **({"window": 0.3} if kind == RECENT else {}))
