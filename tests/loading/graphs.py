"""Small random graphs with times, and a naive reading of what a seed may see of them."""

from collections import defaultdict

import numpy as np
import torch
from torch_geometric.data import HeteroData
from torch_geometric.sampler import HeteroSamplerOutput

from recsys.graph.schema import EdgeType

RATES: EdgeType = ("user", "rates", "item")
RATED_BY: EdgeType = ("item", "rated_by", "user")
KNOWS: EdgeType = ("user", "knows", "user")
IN_GROUP: EdgeType = ("item", "in", "group")
HAS: EdgeType = ("group", "has", "item")
LAST_TIME = 12


def random_graph(seed: int, *, ends: bool = False, node_times: bool = True) -> HeteroData:
    """Three node types and five edge types, of which two have no time; few times, so that many are equal."""
    rng = np.random.default_rng(seed)
    data = HeteroData()
    sizes = {"user": int(rng.integers(2, 9)), "item": int(rng.integers(2, 9)), "group": int(rng.integers(1, 4))}
    for kind, size in sizes.items():
        data[kind].num_nodes = size
        data[kind].x = torch.arange(size, dtype=torch.float32)[:, None]
        if node_times and kind != "group":
            data[kind].time = torch.from_numpy(rng.integers(0, LAST_TIME // 2, size))
    for kind in (RATES, RATED_BY, KNOWS, IN_GROUP, HAS):
        count = int(rng.integers(0, 40))
        pair = [rng.integers(0, sizes[end], count) for end in (kind[0], kind[2])]
        data[kind].edge_index = torch.from_numpy(np.stack(pair))
        data[kind].edge_number = torch.arange(count)
        if kind in (RATES, RATED_BY, KNOWS):
            time = rng.integers(0, LAST_TIME, count)
            data[kind].time = torch.from_numpy(time)
            if ends and kind == KNOWS:
                data[kind].end_time = data[kind].time + 3
                # An edge that counts only from its nodes' times on would otherwise end before an earlier one.
                born = np.maximum(*(data["user"].time.numpy()[end] for end in pair)) if node_times else time
                data[kind].end_time = torch.from_numpy(np.maximum(time, born) + 3)
    return data


def visible_edges(data: HeteroData, kind: EdgeType, target: int, t: int) -> list[int]:
    """Columns of the edges of a type into a node that may be seen from t, in the order of time."""
    store = data[kind]
    found = []
    for edge, (a, b) in enumerate(store.edge_index.t().tolist()):
        times = [int(store.time[edge])] if "time" in store else []
        times += [int(data[end].time[node]) for end, node in ((kind[0], a), (kind[2], b)) if "time" in data[end]]
        since = max(times, default=-1)
        if b == target and since < t and not ("end_time" in store and int(store.end_time[edge]) < t):
            found.append((since, edge))
    return [edge for _, edge in sorted(found)]


class Subgraph:
    """One subgraph of a sampler's output, in the graph's own numbers.

    Attributes:
        nodes: (type, node) -> hop in which it was found; of equal seeds there is one.
        edges: (edge type, hop) -> target -> columns of the edges drawn into it.
    """

    def __init__(self, data: HeteroData, out: HeteroSamplerOutput, number: int) -> None:
        self.nodes: dict[tuple[str, int], int] = {}
        for kind, batch in out.batch.items():
            hop = np.repeat(np.arange(len(out.num_sampled_nodes[kind])), out.num_sampled_nodes[kind])
            for i in np.flatnonzero(batch.numpy() == number):
                node = (kind, int(out.node[kind][i]))
                assert node not in self.nodes or hop[i] == 0, "a node occurs twice"
                self.nodes.setdefault(node, int(hop[i]))
        self.edges: dict[tuple[EdgeType, int], dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
        for kind, col in out.col.items():
            source, row, target = kind[0], out.row[kind], kind[2]
            hop = np.repeat(np.arange(len(out.num_sampled_edges[kind])), out.num_sampled_edges[kind])
            assert torch.equal(out.batch[source][row], out.batch[target][col])
            ends = torch.stack([out.node[source][row], out.node[target][col]])
            assert torch.equal(ends, data[kind].edge_index[:, out.edge[kind]])
            for i in np.flatnonzero(out.batch[target][col].numpy() == number):
                self.edges[kind, int(hop[i])][int(out.node[target][col[i]])].append(int(out.edge[kind][i]))
