"""Full-neighbourhood encoding layer by layer in blocks of nodes, for graphs whose messages do not fit at once."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from recsys.graph.schema import EdgeType
from recsys.models.neighbours import TypedEdges
from recsys.models.network import EdgeGroup, Network

BLOCK = 65_536  # targets whose messages are held at a time


def encode_by_blocks(network: Network, graph: HeteroData, block: int = BLOCK) -> dict[str, Tensor]:
    """What `Network.encode` gives, with memory for the vectors of all nodes but the messages of only one block of them.

    In evaluation mode only: batch normalisation would see blocks in training.

    Args:
        network: the network.
        graph: a snapshot, whose edges are sorted by target.
        block: most target nodes at a time.

    Returns:
        Node type -> [num_nodes, hidden].
    """
    if network.training:
        raise ValueError("Blocks would change what batch normalisation sees in training.")
    if all(graph[kind].num_nodes <= block for kind in graph.node_types):
        return network.encode(graph)
    h = {
        kind: torch.cat(
            [
                network.first(kind, graph[kind], slice(first, first + block))
                for first in range(0, max(graph[kind].num_nodes, 1), block)
            ]
        )
        for kind in graph.node_types
    }
    for layer in network.layers:
        after = {}
        for kind, vectors in h.items():
            groups = {key: group for key, group in network.groups.items() if key[2] == kind}
            parts = []
            for first in range(0, max(len(vectors), 1), block):
                targets = vectors[first : first + block]
                edges, sources = _edges_into(groups, graph, first, len(targets))
                near = {source: h[source].index_select(0, rows) for source, rows in sources.items()}
                parts.append(layer(near, edges, {kind: targets})[kind])
            after[kind] = torch.cat(parts)
        h = after
    return network.widened(h, graph)


def _edges_into(
    groups: Mapping[EdgeType, EdgeGroup], graph: HeteroData, first: int, size: int
) -> tuple[dict[EdgeType, TypedEdges], dict[str, Tensor]]:
    """The edges into the `size` nodes from `first` on, and the sources they come from, by node type, int64."""
    found: dict[EdgeType, list[tuple[Tensor, Tensor, Tensor | None]]] = {}
    for key, group in groups.items():
        found[key] = []
        for edge_type in group.edge_types:
            source, target = graph[edge_type].edge_index
            bounds = torch.tensor([first, first + size], device=target.device)
            part = slice(*torch.searchsorted(target.contiguous(), bounds).tolist())
            attributes = graph[edge_type].edge_attr[part] if group.attributes else None
            found[key].append((source[part], target[part] - first, attributes))

    sources = {
        kind: torch.cat([source for key, of in found.items() if key[0] == kind for source, _, _ in of])
        for kind in {key[0] for key in groups}
    }
    sources = {kind: torch.unique(rows) for kind, rows in sources.items()}
    edges = {}
    for key, of_types in found.items():
        rows = sources[key[0]]
        indices = [torch.stack([torch.searchsorted(rows, source), target]) for source, target, _ in of_types]
        attributes = [attribute for _, _, attribute in of_types if attribute is not None]
        edges[key] = TypedEdges(indices, len(rows), size, attributes or None)
    return edges, sources
