from typing import Any

import pytest
import torch

from recsys.models.blockwise import encode_by_blocks
from recsys.models.graph_scorer import GraphScorer
from recsys.models.registry import NETWORKS
from tests.models.helpers import (
    PARTS,
    make_network,
    pick_running_statistics,
    pick_zeros,
    small_graph,
    small_log,
    snapshot,
    widths,
)


@pytest.mark.parametrize("name", sorted(NETWORKS))
@pytest.mark.parametrize("layers", [0, 1, 2])
@pytest.mark.parametrize("block", [1, 3, 7, 10**6])
@PARTS
def test_blocks_give_what_the_whole_graph_gives(name: str, layers: int, block: int, parts: dict[str, Any]) -> None:
    network = make_network(name, layers=layers, **parts).eval()
    pick_running_statistics(network)
    pick_zeros(network)
    graph = snapshot()
    with torch.no_grad():
        whole, by_blocks = network.encode(graph), encode_by_blocks(network, graph, block)
    assert whole.keys() == by_blocks.keys()
    for kind, vectors in whole.items():
        assert by_blocks[kind].shape == (graph[kind].num_nodes, widths(network)[kind])
        assert torch.allclose(by_blocks[kind], vectors, atol=1e-5), kind


def test_a_graph_without_nodes_of_a_type() -> None:
    graph = snapshot().clone()
    for kind in [kind for kind in graph.edge_types if "creator" in kind]:
        graph[kind].edge_index = graph[kind].edge_index[:, :0]
    for key in ("x", "x_cat", "n_id"):
        graph["creator"][key] = graph["creator"][key][:0]
    network = make_network("gat_sage").eval()
    with torch.no_grad():
        whole, parts = network.encode(graph), encode_by_blocks(network, graph, 4)
    assert parts["creator"].shape == (0, 16)
    assert torch.allclose(parts["content"], whole["content"], atol=1e-5)


def test_training_is_refused() -> None:
    with pytest.raises(ValueError, match="training"):
        encode_by_blocks(make_network("gat_sage").train(), snapshot(), 4)


def test_the_scorer_encodes_by_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    network, t = make_network("gat_sage"), small_log().boundaries.t_val
    users = torch.arange(small_log().users.count_before(t)).numpy()
    contents = torch.arange(small_log().contents.count_before(t)).numpy()
    whole = GraphScorer(network, small_graph()).score(users, contents, t)
    monkeypatch.setattr("recsys.models.graph_scorer.encode_by_blocks", lambda n, g: encode_by_blocks(n, g, 3))
    assert torch.allclose(GraphScorer(network, small_graph()).score(users, contents, t), whole, atol=1e-5)
