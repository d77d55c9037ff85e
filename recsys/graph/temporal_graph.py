"""The graph of users, contents, creators and tags as of any time; `schema` says what a snapshot holds."""

from collections import OrderedDict
from collections.abc import Sequence
from copy import copy
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.data.storage import EdgeStorage
from torch_geometric.profile import get_data_size

from recsys.data.event_log import NEVER, EventLog
from recsys.data.features import FeatureEncoders
from recsys.graph.edges import LogEdges
from recsys.graph.local_walks import LocalWalks
from recsys.graph.met_nodes import MetNodes
from recsys.graph.node_features import FeaturesBefore, NodeFeatures, Scaling
from recsys.graph.pair_paths import PairPaths, signal_names
from recsys.graph.schema import CONTENT, CREATOR, SIMILAR, TAG, USER, GraphSchema
from recsys.graph.settings import GraphSettings
from recsys.graph.similarity import profiles, similar_pairs
from recsys.graph.timed_features import TimedFeatures


class TemporalGraph:
    """The log as a heterogeneous graph at any time, made of what exists and happened strictly before that time.

    Args:
        log: the event log.
        encoders: encoders of the users' and contents' attributes, fitted before t_val.
        settings: what it consists of besides users, contents and events; the defaults if None.
        cache_bytes: how much memory the snapshots asked for last may take, as loaders ask for the same times again in
            every epoch; at least one is kept.

    Attributes:
        settings: as given.
        schema: names and widths of everything in a snapshot.
        number_names: node type -> names of the columns of `x`.
        met_nodes: numbers of the users and contents with events.
    """

    def __init__(
        self,
        log: EventLog,
        encoders: FeatureEncoders,
        settings: GraphSettings | None = None,
        *,
        cache_bytes: int = 2**30,
    ) -> None:
        self.log = log
        self.settings = settings = settings or GraphSettings()
        self._features = NodeFeatures(log, encoders, settings.windows, time_features=settings.time_features)
        self.met_nodes = MetNodes(log)
        self._edges = LogEdges(log, creators=settings.creators, tags=settings.tags)
        wanted = {USER: settings.similarity.users, CONTENT: settings.similarity.contents}
        self._similar = tuple(node_type for node_type, linked in wanted.items() if linked)
        self._cache: OrderedDict[int, tuple[HeteroData, Scaling]] = OrderedDict()
        self._cache_bytes, self._cached = cache_bytes, 0
        self.schema = self._make_schema()
        self.number_names = {node_type: self._features.number_names[node_type] for node_type in self.schema.numbers}

    def snapshot(self, t: int, newcomers: np.ndarray | None = None) -> HeteroData:
        """The graph at `t` (ns), from events strictly before `t`.

        The edges of every type are sorted by target node; of one target, event edges by time, similarity edges by
        falling cosine and the others by source. The tensors are shared with later calls for the same `t`: replace
        them rather than change them in place.

        Args:
            t: the query time, ns.
            newcomers: rows in `log.users` that do not exist yet at `t`, int64, [U]. They are appended to the users, in
                this order, without any edge.

        Returns:
            Per node type `x`, `x_cat` and `n_id`, for users and contents `met` (see `MetNodes`), per edge type
            `edge_index` and what `GraphSchema` says, and `time`.
        """
        existing, scaling = self._existing(t)
        data = copy(existing)
        if newcomers is not None and len(newcomers):
            added = self._newcomers(newcomers, t, scaling)
            for key, value in added.items():
                data[USER][key] = torch.cat([data[USER][key], value])
        return data

    def newcomers(self, users: np.ndarray, t: int) -> HeteroData:
        """A graph of only these `users` (rows in `log.users` that do not exist yet at `t`, ns), without any edge."""
        existing, scaling = self._existing(t)
        data = HeteroData()
        data.time = existing.time
        for node_type in self.schema.numbers:
            for key in ("x", "x_cat", "n_id", "met"):
                if key in existing[node_type]:
                    data[node_type][key] = existing[node_type][key][:0]
        for edge_type in self.schema.edge_types:
            for key, value in existing[edge_type].items():
                data[edge_type][key] = value[:, :0] if key == "edge_index" else value[:0]
        for key, value in self._newcomers(users, t, scaling).items():
            data[USER][key] = value
        return data

    @cached_property
    def pair_paths(self) -> PairPaths:
        """What paths say about pairs of users and contents."""
        return PairPaths(self.log, self.settings)

    @cached_property
    def local_walks(self) -> LocalWalks:
        """Walks around users, for hops that are learned."""
        return LocalWalks(self.log, self.pair_paths)

    def timed_features(self, times: np.ndarray) -> TimedFeatures:
        """Features of single nodes at times of their own, scaled as of the last of these `times` (ns, ascending)."""
        return TimedFeatures(self.log, self._features, times)

    def timed_edges(self, times: np.ndarray) -> HeteroData:
        """All edges of the log with the times from which they count, for a sampler that sees them from any time.

        Similarity edges are those as of the last of these `times` (ns, ascending), at which they replace those before.

        Returns:
            Per node type `num_nodes` and `time`, from when nodes exist; per edge type `edge_index`, `time` (but for
            edges that count as soon as their nodes exist), `end_time` for similarity edges, and `weight`: of events
            weight / max_weight, of similarity edges the cosine.
        """
        data = HeteroData()
        tables = {USER: self.log.users, CONTENT: self.log.contents, CREATOR: self.log.creators, TAG: self.log.tags}
        for node_type in self.schema.numbers:
            data[node_type].num_nodes = len(tables[node_type])
            data[node_type].time = torch.from_numpy(tables[node_type].exists_from)
        edges = self._edges.ever()
        for node_type in self._similar:
            kind = (node_type, SIMILAR, node_type)
            edges[kind] = _renewed([self.snapshot(int(t))[kind] for t in times], times)
        for edge_type in self.schema.edge_types:
            for key, value in edges[edge_type].items():
                data[edge_type][key] = value
        return data

    def _newcomers(self, users: np.ndarray, t: int, scaling: Scaling) -> dict[str, Tensor]:
        users = np.asarray(users, dtype=np.int64)
        if (users < self.log.users.count_before(t)).any():
            raise ValueError(f"Users that already exist at {t} are no newcomers.")
        x, x_cat = self._features.newcomers(users, t, scaling)
        nobody = torch.zeros(len(users), dtype=torch.int64)
        return {"x": x, "x_cat": x_cat, "n_id": torch.from_numpy(users.copy()), "met": nobody}

    @torch.inference_mode(False)  # what validation asks for first is kept, and may be trained on later
    def _existing(self, t: int) -> tuple[HeteroData, Scaling]:
        """The snapshot without newcomers and the scaling of its users, from the cache where possible."""
        made = self._cache.pop(int(t), None)
        if made is None:
            made = self._make(int(t))
            self._cached += get_data_size(made[0])
        self._cache[int(t)] = made
        while self._cached > self._cache_bytes and len(self._cache) > 1:
            _, (oldest, _) = self._cache.popitem(last=False)
            self._cached -= get_data_size(oldest)
        return made

    def _make(self, t: int) -> tuple[HeteroData, Scaling]:
        features = self._features.before(t)
        edges = self._edges.before(t)
        for node_type in self._similar:
            edges[(node_type, SIMILAR, node_type)] = self._similarity_edges(node_type, features, t)
        data = HeteroData()
        data.time = t
        for node_type in self.schema.numbers:
            x = features.numbers[node_type]
            data[node_type].x, data[node_type].x_cat = x, features.categories[node_type]
            data[node_type].n_id = torch.arange(len(x))
            if node_type in self.met_nodes.num_met:
                data[node_type].met = torch.from_numpy(self.met_nodes.before(node_type, np.arange(len(x)), t))
        for edge_type in self.schema.edge_types:
            for key, value in edges[edge_type].items():
                data[edge_type][key] = value
        return data, features.user_scaling

    def _similarity_edges(self, node_type: str, features: FeaturesBefore, t: int) -> dict[str, Tensor]:
        """Edges from the nodes with the most similar features; users without any event are left out."""
        x, x_cat = features.numbers[node_type], features.categories[node_type]
        compared = torch.arange(len(x))
        if node_type == USER:
            num_events = np.bincount(self.log.user[: self.log.count_before(t)], minlength=len(x))
            compared = torch.from_numpy(np.flatnonzero(num_events))
        profile = profiles(x[compared], x_cat[compared], self.schema.categories[node_type])
        edge_index, cosine = similar_pairs(profile, self.settings.similarity.k, self.settings.similarity.threshold)
        return {"edge_index": compared[edge_index], "edge_attr": cosine[:, None]}

    def _make_schema(self) -> GraphSchema:
        t_val = self.log.boundaries.t_val
        present = [USER, CONTENT]
        present += [
            node_type
            for node_type, wanted, nodes in (
                (CREATOR, self.settings.creators, self.log.creators),
                (TAG, self.settings.tags, self.log.tags),
            )
            if wanted and nodes.count_before(t_val)
        ]
        return GraphSchema(
            numbers={node_type: len(self._features.number_names[node_type]) for node_type in present},
            categories={node_type: self._features.cardinalities[node_type] for node_type in present},
            edge_types=(*self._edges.edge_types, *((kind, SIMILAR, kind) for kind in self._similar)),
            event_types=self.log.types,
            num_moods=len(self.log.moods),
            popularity=self._features.popularity,
            pair_signals=signal_names(self.log, self.settings),
            num_met=self.met_nodes.num_met,
        )


def _renewed(stores: Sequence[EdgeStorage], times: np.ndarray) -> dict[str, Tensor]:
    """Similarity edges that each count from one of the times (ns) on, until just before the next."""
    size = torch.tensor([store.edge_index.shape[1] for store in stores])
    begin = torch.from_numpy(times) - 1  # edges are seen from later times than theirs
    end = torch.cat([begin[1:], torch.tensor([NEVER])])
    return {
        "edge_index": torch.cat([store.edge_index for store in stores], dim=1),
        "time": begin.repeat_interleave(size),
        "end_time": end.repeat_interleave(size),
        "weight": torch.cat([store.edge_attr for store in stores])[:, 0],
    }
