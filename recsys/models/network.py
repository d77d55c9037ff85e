"""What all networks share: embed every node, pass messages, and score pairs with a regular and a mood head."""

from abc import ABC
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch_geometric.data import HeteroData
from torch_geometric.data.storage import NodeStorage
from torch_geometric.nn.module_dict import ModuleDict

from recsys.checks import check_count, check_number, check_switch
from recsys.errors import UserError
from recsys.graph.schema import CONTENT, SIMILAR, USER, EdgeType, GraphSchema, event_edge, reverse
from recsys.models.heads import DotHead, HadamardHead, MoodHead
from recsys.models.layers import HeteroLayer
from recsys.models.local_hops import LocalHops
from recsys.models.neighbours import TypedEdges
from recsys.models.node_embedding import IdEmbedding
from recsys.models.pair_readout import PairReadout
from recsys.models.popularity_gates import PopularityGates
from recsys.models.user_level import UserLevel

EVENTS = "events"  # the group of all event types


@dataclass(frozen=True)
class EdgeGroup:
    """Edge types with the same ends, which one convolution handles at once.

    Attributes:
        edge_types: the edge types.
        attributes: whether the convolution needs their `edge_attr`.
    """

    edge_types: tuple[EdgeType, ...]
    attributes: bool = False


def edge_groups(
    schema: GraphSchema, *, event_attributes: bool = False, similarity: bool = True
) -> dict[EdgeType, EdgeGroup]:
    """All edge types of a graph in groups: the events one way, the events the other way, and each other type alone.

    Args:
        schema: the graph's schema.
        event_attributes: whether to use the `edge_attr` of event edges.
        similarity: whether to use similarity edges.
    """
    events = tuple(event_edge(event_type) for event_type in schema.event_types)
    back = tuple(reverse(edge_type) for edge_type in events)
    groups = {
        (USER, EVENTS, CONTENT): EdgeGroup(events, event_attributes),
        (CONTENT, EVENTS, USER): EdgeGroup(back, event_attributes),
    }
    for edge_type in schema.edge_types:
        is_similar = edge_type[1] == SIMILAR
        if edge_type not in (*events, *back) and (similarity or not is_similar):
            groups[edge_type] = EdgeGroup((edge_type,), attributes=is_similar)
    return groups


class Parts(NamedTuple):
    """What the vectors of users or contents consist of.

    Attributes:
        tower: from the encoder, [..., hidden].
        popularity: of a user the gates and minus the level, of a content what they weigh and 1,
            [..., width of the gates + 1].
        pair: of a user the gates of the pair readout, [..., width of the readout].
    """

    tower: Tensor
    popularity: Tensor
    pair: Tensor


class Network(nn.Module, ABC):
    """Encoder and heads; a subclass is a recipe that builds the parts from a `GraphSchema`.

    A logit is the sum of what the heads make of the towers' vectors, of what the popularity gates say, and of what the
    pair readout makes of the paths between user and content, less the level of the user. A user's vector is the tower's
    beside its gates and its level, a content's is the tower's beside its popularity; paths are given to the methods
    that ask for logits.

    It is inductive: no user, content or creator has an identity of its own, unless `ids` give one to users and contents
    met in training, so one without any event gets its vector from features, creator, tags and similar nodes. A tag that
    was known before t_val is a category of its own.

    Attributes:
        name: what the network is called in `registry.NETWORKS`.
        groups: what each layer's convolutions go over, by the names of the convolutions; empty without layers.
        calibration: scale and shift that turn a logit into one whose sigmoid is a probability, float32 [2]; 1 and 0
            until they are fitted. They do not change any order.
        settings: the constructor's arguments besides the schema, as JSON values: what a bundle needs to build it again.
    """

    name: ClassVar[str]
    settings: dict[str, Any]

    def __init__(
        self,
        *,
        embeddings: Mapping[str, nn.Module],
        hidden: int,
        groups: Mapping[EdgeType, EdgeGroup],
        layers: Sequence[HeteroLayer],
        head: HadamardHead | DotHead,
        mood_head: MoodHead | None,
        gates: PopularityGates | None,
        pair: PairReadout | None,
        hops: LocalHops | None,
        ids: Mapping[str, IdEmbedding],
        level: UserLevel,
    ) -> None:
        super().__init__()
        self.embeddings = ModuleDict(dict(embeddings))
        self.layers = nn.ModuleList(layers)
        self.hidden = hidden
        self.head = head
        self.mood_head = mood_head
        self.gates = gates
        self.pair = pair
        self.hops = hops
        self.ids = ModuleDict(dict(ids))
        self.level = level
        self.groups = dict(groups) if layers else {}
        self.calibration: Tensor
        self.register_buffer("calibration", torch.tensor([1.0, 0.0]))

    def encode(self, graph: HeteroData) -> dict[str, Tensor]:
        """Vectors of the nodes of a graph; node type -> [num_nodes, hidden], and wider for users and contents.

        Of a graph as `TemporalGraph` gives it, they are those of every node. Of a sampled one, whose nodes and edges
        are sorted by their hop and counted in `num_sampled_nodes` and `num_sampled_edges`, they are those of the seeds,
        which come first: each layer leaves out what is too far away to reach them in the layers left, so that hops
        beyond the layers change nothing.

        Raises:
            UserError: if a sampled graph has fewer hops than the network has layers.
        """
        if "num_sampled_nodes" in graph[USER]:
            return self._encode_seeds(graph)
        h = self.embed(graph)
        edges = {key: _edges(graph, key, group) for key, group in self.groups.items()}
        for layer in self.layers:
            h = layer(h, edges)
        return self.widened(h, graph)

    def widened(
        self, h: dict[str, Tensor], graph: HeteroData | Mapping[str, Mapping[str, Tensor]]
    ) -> dict[str, Tensor]:
        """The towers' vectors of users and contents, the first of the graph's, beside gates and popularity."""
        wide = dict(h)
        for kind in (USER, CONTENT):
            x, x_cat = (graph[kind][key][: len(h[kind])] for key in ("x", "x_cat"))
            parts = [h[kind], self.user_gates(x, x_cat) if kind == USER else self._popularity(x)]
            if self.pair is not None and kind == USER:
                parts.append(self.pair.user(x, x_cat))
            wide[kind] = torch.cat(parts, dim=1)
        return wide

    def user_gates(self, x: Tensor, x_cat: Tensor) -> Tensor:
        """Popularity gates of users, then minus their level, [n, width of the gates + 1]."""
        level = -self.level.user(x, x_cat)
        return level if self.gates is None else torch.cat([self.gates.user(x, x_cat), level], dim=1)

    def mood_gates(self, mood: Tensor) -> Tensor:
        """Popularity gates of moods int64 [...], then minus their level, [..., width of the gates + 1]."""
        level = -self.level.mood(mood)
        return level if self.gates is None else torch.cat([self.gates.mood(mood), level], dim=-1)

    def _popularity(self, x: Tensor) -> Tensor:
        """What the gates of users and moods weigh of contents, then 1, [n, width of the gates + 1]."""
        one = x.new_ones(len(x), 1)
        return one if self.gates is None else torch.cat([self.gates.content(x), one], dim=1)

    def embed(self, graph: HeteroData, sizes: Mapping[str, int] | None = None) -> dict[str, Tensor]:
        """First vectors of the nodes, or of the first `sizes` of each type; node type -> [num_nodes, hidden]."""
        return {
            kind: self.first(kind, graph[kind], slice(None if sizes is None else sizes[kind]))
            for kind in self.embeddings.keys()  # noqa: SIM118  a ModuleDict of this kind has no __iter__
        }

    def first(self, kind: str, nodes: Mapping[str, Tensor] | NodeStorage, part: slice = slice(None)) -> Tensor:
        """First vectors of some nodes of a type, from their `x`, `x_cat` and, for users and contents, `met`."""
        vectors: Tensor = self.embeddings[kind](nodes["x"][part], nodes["x_cat"][part])
        return vectors + self.ids[kind](nodes["met"][part]) if kind in self.ids else vectors

    def _encode_seeds(self, graph: HeteroData) -> dict[str, Tensor]:
        """`encode` of a sampled graph."""
        depth, sampled = len(self.layers), len(graph[USER].num_sampled_nodes) - 1
        if depth > sampled:
            enough = ",".join(["10", *["5"] * (depth - 1)])
            raise UserError(
                f"The network has {depth} layers (model.layers), but loader.fan_out samples {sampled} hops: give it a "
                f"number for each layer, such as loader.fan_out=[{enough}]."
            )
        h = self.embed(graph, _within(graph, depth))
        for place, layer in enumerate(self.layers):
            hops = depth - place - 1  # nodes up to this many hops away are still needed after this layer
            targets = {kind: h[kind][:size] for kind, size in _within(graph, hops).items()}
            edges = {
                key: _edges(graph, key, group, hops + 1, (len(h[key[0]]), len(targets[key[2]])))
                for key, group in self.groups.items()
            }
            h = layer(h, edges, targets)
        return self.widened(h, graph)

    def link_logits(
        self, vectors: dict[str, Tensor], user: Tensor, content: Tensor, signals: Tensor | None = None
    ) -> Tensor:
        """Logits of users and contents of an encoded graph: rows int64 [B] and [B, N] -> [B, N]; for training.

        As `pair_logits` of their vectors, but before the users' levels are taken off, and every node is projected only
        once. `signals` are [B, N, num_signals].
        """
        users, contents = self._parts(vectors[USER]), self._parts(vectors[CONTENT])
        tower = self.head.user(users.tower).index_select(0, user)[:, None]
        logits = self.head.meet(tower, _gathered(self.head.content(contents.tower), content))
        if self.gates is not None:
            gates = self.gates.kept(users.popularity[:, :-1].index_select(0, user))[:, None]
            logits = logits + (gates * _gathered(contents.popularity[:, :-1], content)).sum(dim=-1)
        if self.pair is not None:
            assert signals is not None
            logits = logits + self.pair(users.pair.index_select(0, user), signals)
        return logits

    def user_levels(self, vectors: dict[str, Tensor], user: Tensor) -> Tensor:
        """Levels of users of an encoded graph, rows int64 [B] -> [B]; for training."""
        return -self._parts(vectors[USER]).popularity[:, -1].index_select(0, user)

    def mood_link_logits(self, vectors: dict[str, Tensor], mood: Tensor, content: Tensor) -> Tensor:
        """Logits of moods int64 [M] and contents of an encoded graph, rows int64 [M, N] -> [M, N]; for training.

        Before the moods' levels are taken off.

        Raises:
            UserError: if the data has no moods.
        """
        head, contents = self._mood_head(), self._parts(vectors[CONTENT])
        logits = head.meet(head.mood(mood)[:, None], _gathered(head.content(contents.tower), content))
        if self.gates is not None:
            popularity = _gathered(contents.popularity[:, :-1], content)
            logits = logits + (self.gates.kept(self.gates.mood(mood))[:, None] * popularity).sum(dim=-1)
        return logits

    def pair_logits(self, user: Tensor, content: Tensor, signals: Tensor | None = None) -> Tensor:
        """Logits of pairs of user and content vectors, [..., width] each -> [...]; leading dimensions broadcast.

        `signals` are [..., num_signals]; without them the logits lack what paths say.
        """
        users, contents = self._parts(user), self._parts(content)
        logits = self.head(users.tower, contents.tower) + (users.popularity * contents.popularity).sum(dim=-1)
        if self.pair is not None and signals is not None:
            logits = logits + self.pair(users.pair, signals[..., None, :])[..., 0]
        return logits  # type: ignore[no-any-return]

    def block_logits(self, user: Tensor, content: Tensor) -> Tensor:
        """Logits of all pairs without what paths say, [U, width] and [C, width] -> [U, C]; in eval mode only."""
        users, contents = self._parts(user), self._parts(content)
        return self.head.block_logits(users.tower, contents.tower) + users.popularity @ contents.popularity.t()

    def path_logits(self, user: Tensor, signals: Tensor) -> Tensor:
        """What paths add to the logits of one user, [width], and N contents, [N, num_signals] -> [N]."""
        assert self.pair is not None
        return self.pair(self._parts(user).pair, signals)  # type: ignore[no-any-return]

    def mood_logits(self, mood: Tensor, content: Tensor) -> Tensor:
        """Logits of moods int64 [...] for content vectors [..., width] -> [...]; leading dimensions broadcast.

        Raises:
            UserError: if the data has no moods.
        """
        contents = self._parts(content)
        logits = self._mood_head()(mood, contents.tower)
        return logits + (self.mood_gates(mood) * contents.popularity).sum(dim=-1)  # type: ignore[no-any-return]

    def mood_block_logits(self, moods: Tensor, content: Tensor) -> Tensor:
        """Logits of all pairs of moods int64 [M] and content vectors [C, width] -> [M, C].

        Raises:
            UserError: if the data has no moods.
        """
        contents = self._parts(content)
        return self._mood_head().block_logits(moods, contents.tower) + self.mood_gates(moods) @ contents.popularity.t()

    def _parts(self, vectors: Tensor) -> Parts:
        """The parts of vectors [..., width] of users or contents."""
        popularity = self.hidden + (0 if self.gates is None else self.gates.width) + 1
        return Parts(vectors[..., : self.hidden], vectors[..., self.hidden : popularity], vectors[..., popularity:])

    def _mood_head(self) -> MoodHead:
        if self.mood_head is None:
            raise UserError("This data has no moods to recommend by: ask for a user, or give the contents moods.")
        return self.mood_head


def _edges(
    graph: HeteroData, key: EdgeType, group: EdgeGroup, hops: int | None = None, sizes: tuple[int, int] | None = None
) -> TypedEdges:
    """The edges of a group; of a sampled graph those of the first hops, between nodes of the given numbers."""
    stores = [graph[edge_type] for edge_type in group.edge_types]
    ends = [None if hops is None else sum(store.num_sampled_edges[:hops]) for store in stores]
    num_sources, num_targets = sizes or (graph[key[0]].num_nodes, graph[key[2]].num_nodes)
    return TypedEdges(
        [store.edge_index[:, :end] for store, end in zip(stores, ends, strict=True)],
        num_sources,
        num_targets,
        [store.edge_attr[:end] for store, end in zip(stores, ends, strict=True)] if group.attributes else None,
    )


def _within(graph: HeteroData, hops: int) -> dict[str, int]:
    """Numbers of the nodes of a sampled graph that are at most so many hops from a seed; they come first."""
    return {kind: sum(graph[kind].num_sampled_nodes[: hops + 1]) for kind in graph.node_types}


def _gathered(vectors: Tensor, rows: Tensor) -> Tensor:
    """vectors[rows], [n, d] and [...] -> [..., d]; the gradient of `index_select` is faster than that of indexing."""
    return vectors.index_select(0, rows.flatten()).view(*rows.shape, vectors.shape[1])


def check_settings(
    *,
    hidden: int,
    layers: int,
    dropout: float,
    feature_dropout: float,
    head_hidden: int,
    category_dim: int,
    similarity: bool,
    popularity_gates: bool,
    heads: int = 1,
) -> None:
    """Raise `UserError` for settings that no network can have."""
    for name, size in (
        ("hidden", hidden),
        ("heads", heads),
        ("head_hidden", head_hidden),
        ("category_dim", category_dim),
    ):
        check_count(f"model.{name}", size, 1)
    check_count("model.layers", layers, 0)
    if hidden % heads:
        raise UserError(f"model.hidden is {hidden}: it must be a multiple of model.heads, {heads}.")
    for name, probability in (("dropout", dropout), ("feature_dropout", feature_dropout)):
        check_number(f"model.{name}", probability, 0, 1, below=True)
    check_switch("model.similarity", similarity)
    check_switch("model.popularity_gates", popularity_gates)
