"""The edges of a graph in the order in which a sampler reads them: by target, then edge type, then time."""

import numpy as np
from torch import Tensor
from torch_geometric.data import HeteroData

from recsys.errors import UserError
from recsys.graph.schema import EdgeType
from recsys.loading import adjacency_kernel as kernel
from recsys.loading.adjacency_kernel import DECAY, LAST, STATIC, STRENGTH, UNIFORM, Adjacency

CHANCES = {"uniform": UNIFORM, "last": LAST, "strength": STRENGTH, "decay": DECAY}

MOST_TYPES = 2**8  # their numbers are uint8 in `neighbor_kernel`
ALWAYS, NEVER = np.iinfo(np.int64).min, np.iinfo(np.int64).max  # times that are before and after all others


def adjacency(
    data: HeteroData, *, strategy: str, half_life: float | None, time_attr: str, end_attr: str, weight_attr: str
) -> Adjacency:
    """The edges of `data`, for a strategy; arguments as for `TemporalNeighborSampler`.

    Raises:
        UserError: for edges, times or weights that do not fit, or more types than the sampler can tell apart.
    """
    num_types = max(len(data.node_types), len(data.edge_types))
    if num_types > MOST_TYPES:
        raise UserError(
            f"The graph has {num_types} types of nodes or edges, but the neighbour sampler tells only {MOST_TYPES} "
            "apart: join some of them, or use loader=snapshot."
        )
    number = {kind: i for i, kind in enumerate(data.node_types)}
    edges = [_Edges(data, kind, time_attr, end_attr, weight_attr) for kind in data.edge_types]
    num_nodes = np.array([int(data[kind].num_nodes) for kind in data.node_types], dtype=np.int64)
    leads_into = np.array([number[kind[2]] for kind in data.edge_types], dtype=np.int64)
    into = np.argsort(leads_into, kind="stable")
    into_offset = np.searchsorted(leads_into[into], np.arange(len(num_nodes) + 1))
    num_rows = num_nodes * np.diff(into_offset)
    row = np.cumsum(num_rows) - num_rows
    # Of each edge type: its first row, and how many rows further that of the next target is.
    stride = np.diff(into_offset)[leads_into]
    first_row = row[leads_into]
    first_row[into] += np.arange(len(into)) - into_offset[leads_into[into]]

    start = np.zeros(int(num_rows.sum()) + 1, dtype=np.int64)
    for of, first, step in zip(edges, first_row, stride, strict=True):
        kernel.count(of.target, first, step, start)
    np.cumsum(start, out=start)
    size = int(start[-1])
    weighted, any_ends = strategy in ("strength", "decay"), any(of.end is not None for of in edges)
    neighbour, time = np.empty((size, 2), dtype=np.int32), np.empty(size, dtype=np.int64)
    end = np.full(size if any_ends else 0, NEVER)
    weight = np.ones(size if weighted else 0)
    for kind, of, first, step in zip(data.edge_types, edges, first_row, stride, strict=True):
        place = kernel.placed(of.source, of.target, of.time, of.order(), first, step, start, neighbour, time)
        if of.end is not None:
            end[place] = of.end
            if not kernel.ascends(end, start, first, step, int(data[kind[2]].num_nodes)):
                raise UserError(
                    f"An edge of {'__'.join(kind)} ends before an earlier one of the same node; edges must end in "
                    "order."
                )
        if weighted and of.weight is not None:
            weight[place] = of.weight
    own = [int(of.time.min()) for of in edges if of.timed and len(of.time)]
    graph = Adjacency(
        into=into,
        into_offset=into_offset,
        source_type=np.array([number[kind[0]] for kind in data.edge_types], dtype=np.int64),
        first_id=np.cumsum(num_nodes) - num_nodes,
        row=row,
        start=start,
        neighbour=neighbour,
        time=time,
        end=end,
        chance=np.array([_chance(of, strategy) for of in edges], dtype=np.int64),
        weight=weight,
        mass=np.zeros(len(weight)),
        late_mass=np.zeros(len(weight) if strategy == "strength" else 0),
        first_time=min(own, default=0),
        half_life=float(half_life or 1.0),
    )
    for r, (first, step) in enumerate(zip(first_row, stride, strict=True)):
        if graph.chance[r] > LAST:
            kernel.sum_up(graph, r, first, step, int(num_nodes[leads_into[r]]))
    return graph


class _Edges:
    """The edges of one type as the graph has them, checked.

    Attributes:
        source, target: nodes, int64, [e].
        time: from which they count, their nodes' included, int64, [e].
        end, weight: int64 and float64, [e], or None.
        timed: whether the edges have times of their own.
    """

    def __init__(self, data: HeteroData, kind: EdgeType, time_attr: str, end_attr: str, weight_attr: str) -> None:
        store, name = data[kind], "__".join(kind)
        self.source, self.target = store.edge_index.numpy().astype(np.int64, copy=False)
        num_sources, num_targets = int(data[kind[0]].num_nodes), int(data[kind[2]].num_nodes)
        for end, most in ((self.source, num_sources), (self.target, num_targets)):
            if len(end) and not (end.min() >= 0 and end.max() < most):
                raise UserError(f"Edges of {name} lead to nodes that the graph does not have.")
        if max(num_sources, num_targets, len(self.source)) >= 2**31:
            raise UserError(f"{name} has 2^31 or more nodes or edges, which is more than the sampler can count.")
        self.timed = time_attr in store
        self.time = np.full(len(self.source), ALWAYS)
        if self.timed:
            self.time = _whole(store[time_attr], f"the times of {name}")
        for node_type, end in ((kind[0], self.source), (kind[2], self.target)):
            if time_attr in data[node_type]:
                born = _whole(data[node_type][time_attr], f"the times of {node_type}")
                self.time = np.maximum(self.time, born[end])
        self.end = self.weight = None
        if end_attr in store:
            self.end = _whole(store[end_attr], f"the end times of {name}")
        if weight_attr in store:
            self.weight = store[weight_attr].numpy().astype(np.float64).reshape(-1)
            if not (np.isfinite(self.weight) & (self.weight >= 0)).all():
                raise UserError(f"The weights of {name} must be numbers of at least 0.")

    def order(self) -> np.ndarray:
        """The edges in an order in which those of every target are by time, then as they were, int64, [e]."""
        if kernel.in_order(self.target, self.time):
            return np.arange(len(self.time))
        return np.argsort(self.time, kind="stable")


def _whole(values: Tensor, what: str) -> np.ndarray:
    if values.is_floating_point():
        raise UserError(f"For the neighbour sampler {what} must be whole numbers (int64).")
    return values.numpy().astype(np.int64, copy=False)


def _chance(edges: _Edges, strategy: str) -> int:
    """Without times, weights count as they are, and without weights all edges alike."""
    if strategy in ("uniform", "last") or edges.timed:
        return CHANCES[strategy]
    return UNIFORM if edges.weight is None else STATIC
