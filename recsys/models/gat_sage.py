"""The report's network, `gat_sage`; its layers are in `layers.py`, the article's network in `hetero_sage.py`."""

from collections.abc import Sequence

from torch import nn

from recsys.errors import UserError
from recsys.graph.schema import EVENT_ATTRIBUTES, SIMILAR, USER, GraphSchema
from recsys.models.edge_weights import COSINE, NONE, check_event_weights
from recsys.models.heads import HadamardHead, MoodHead
from recsys.models.layers import GraphAttention, HeteroLayer, SageMean
from recsys.models.network import EVENTS, EdgeGroup, Network, check_settings, edge_groups
from recsys.models.node_embedding import NodeEmbedding, UserEmbedding, id_embeddings
from recsys.models.pair_readout import PROPAGATE, check_pair, local_hops, pair_readout
from recsys.models.popularity_gates import gates_by_popularity
from recsys.models.user_level import UserLevel


class GatSage(Network):
    """Attention between users and contents, GraphSAGE between all else (report, sections IV and V).

    - Users: linear, batch normalisation, ReLU, dropout (Eq. 1, section V.A.1). Contents, creators and tags: category
      vectors next to batch-normalised numbers, projected (Eq. 2 and 3, section V.A.2).
    - Events, one edge type each and both ways: graph attention (Eq. 5, section V.B), which also sees the chosen edge
      attributes. Similar users and similar contents: GraphSAGE weighted by the cosine. created_by and has_tag, both
      ways: GraphSAGE. Edge types are summed (Eq. 4).
    - Hadamard head for users, mood head for newcomers who state a mood (section V.C).

    Args:
        schema: node features and edge types of the graph.
        hidden: width of all vectors; a multiple of `heads`.
        layers: rounds of message passing; 0 switches it off, and features alone speak.
        heads: attention heads.
        dropout: probability of dropping a component of users' first vectors and of each layer's update.
        feature_dropout: probability of hiding each feature of a node, and the popularity gates of a seed, in training.
        edge_attributes: which of EVENT_ATTRIBUTES reach the attention, may be empty.
        edge_weights: how much the message of an event counts beside the node's others, whatever its attention: one of
            EVENT_WEIGHTS (see `EdgeWeights`).
        head_hidden: width of the regular head's hidden layer.
        category_dim: width of each category's vector.
        similarity: whether messages pass along similarity edges.
        popularity_gates: whether logits also have what is popular, by gates (see `PopularityGates`).
        pair: what logits also have of paths between user and content (see `PairReadout`): "propagate" for all signals,
            "local_gnn" for those with learned hops instead of the fixed ones (see `LocalHops`),
            "co_engagement" for the cosines of co-engagement only, "none" for nothing.
        id_embedding: width of a vector of its own for each user and content met in training (see `IdEmbedding`); None
            for none.
        id_dropout: probability of hiding it in training.

    Raises:
        UserError: for settings that mean nothing or do not fit together.
    """

    name = "gat_sage"

    def __init__(
        self,
        schema: GraphSchema,
        *,
        hidden: int = 32,
        layers: int = 2,
        heads: int = 2,
        dropout: float = 0.5,
        feature_dropout: float = 0.3,
        edge_attributes: Sequence[str] = ("strength", "recency"),
        edge_weights: str = NONE,
        head_hidden: int = 16,
        category_dim: int = 16,
        similarity: bool = True,
        popularity_gates: bool = True,
        pair: str = PROPAGATE,
        id_embedding: int | None = None,
        id_dropout: float = 0.5,
    ) -> None:
        check_settings(
            hidden=hidden,
            layers=layers,
            dropout=dropout,
            feature_dropout=feature_dropout,
            head_hidden=head_hidden,
            category_dim=category_dim,
            similarity=similarity,
            popularity_gates=popularity_gates,
            heads=heads,
        )
        check_event_weights(edge_weights)
        check_pair(pair)
        for attribute in edge_attributes:
            if attribute not in EVENT_ATTRIBUTES:
                raise UserError(f"model.edge_attributes has {attribute!r}: choose among {', '.join(EVENT_ATTRIBUTES)}.")
        columns = [EVENT_ATTRIBUTES.index(attribute) for attribute in edge_attributes]
        needed = bool(columns) or edge_weights != NONE
        groups = edge_groups(schema, event_attributes=needed, similarity=similarity)

        def conv(name: str, group: EdgeGroup) -> nn.Module:
            num_types = len(group.edge_types)
            if name == EVENTS:
                return GraphAttention(
                    hidden, heads=heads, num_types=num_types, attributes=columns, weights=edge_weights
                )
            return SageMean(hidden, num_types=num_types, weights=COSINE if name == SIMILAR else NONE)

        def embedding(node_type: str) -> nn.Module:
            sizes = schema.numbers[node_type], schema.categories[node_type]
            # Users without any feature all have one vector, which has no variance to normalise.
            if node_type == USER and any(sizes):
                return UserEmbedding(
                    *sizes,
                    hidden=hidden,
                    category_dim=category_dim,
                    dropout=dropout,
                    feature_dropout=feature_dropout,
                )
            return NodeEmbedding(
                *sizes, hidden=hidden, category_dim=category_dim, normalise=True, feature_dropout=feature_dropout
            )

        def layer() -> HeteroLayer:
            convs = {key: conv(key[1], group) for key, group in groups.items()}
            return HeteroLayer(convs, list(schema.numbers), hidden=hidden, dropout=dropout)

        super().__init__(
            embeddings={node_type: embedding(node_type) for node_type in schema.numbers},
            hidden=hidden,
            groups=groups,
            layers=[layer() for _ in range(layers)],
            head=HadamardHead(hidden, head_hidden),
            mood_head=MoodHead(schema.num_moods, hidden, hidden) if schema.num_moods else None,
            gates=gates_by_popularity(popularity_gates, schema, hidden=hidden, dropout=feature_dropout),
            pair=pair_readout(pair, schema, hidden=hidden, dropout=dropout),
            hops=local_hops(pair, schema, dropout=dropout),
            ids=id_embeddings(schema, id_embedding, hidden=hidden, dropout=id_dropout),
            level=UserLevel(schema, hidden=hidden),
        )
        self.settings = {
            "hidden": hidden,
            "layers": layers,
            "heads": heads,
            "dropout": dropout,
            "feature_dropout": feature_dropout,
            "edge_attributes": list(edge_attributes),
            "edge_weights": edge_weights,
            "head_hidden": head_hidden,
            "category_dim": category_dim,
            "similarity": similarity,
            "popularity_gates": popularity_gates,
            "pair": pair,
            "id_embedding": id_embedding,
            "id_dropout": id_dropout,
        }
