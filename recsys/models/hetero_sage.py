"""The article's network, `hetero_sage`; its layers are in `layers.py`, the report's network in `gat_sage.py`."""

from torch import nn

from recsys.graph.schema import SIMILAR, GraphSchema
from recsys.models.edge_weights import COSINE, NONE, check_event_weights
from recsys.models.heads import DotHead, MoodHead
from recsys.models.layers import HeteroLayer, SageMean
from recsys.models.network import EVENTS, EdgeGroup, Network, check_settings, edge_groups
from recsys.models.node_embedding import NodeEmbedding, id_embeddings
from recsys.models.pair_readout import PROPAGATE, check_pair, local_hops, pair_readout
from recsys.models.popularity_gates import gates_by_popularity
from recsys.models.user_level import UserLevel


class HeteroSage(Network):
    """GraphSAGE over every edge type, summed, with a dot product at the end (article).

    A linear layer a node type (with vectors for categories), then layers of mean aggregation an edge type, both ways,
    creators and tags included; ReLU between the layers and none after the last. Similarity edges weigh by the cosine.

    Args:
        schema: node features and edge types of the graph.
        hidden: width of all vectors.
        layers: rounds of message passing; 0 switches it off, and features alone speak.
        dropout: probability of dropping a component of each layer's update.
        feature_dropout: probability of hiding each feature of a node, and the popularity gates of a seed, in training.
        edge_weights: how much the message of an event counts beside the node's others: one of EVENT_WEIGHTS (see
            `EdgeWeights`).
        head_hidden: width of the hidden layer in the mood head.
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

    name = "hetero_sage"

    def __init__(
        self,
        schema: GraphSchema,
        *,
        hidden: int = 32,
        layers: int = 2,
        dropout: float = 0.5,
        feature_dropout: float = 0.3,
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
        )
        check_event_weights(edge_weights)
        check_pair(pair)
        groups = edge_groups(schema, event_attributes=edge_weights != NONE, similarity=similarity)
        weights = {EVENTS: edge_weights, SIMILAR: COSINE}

        def conv(name: str, group: EdgeGroup) -> nn.Module:
            return SageMean(hidden, num_types=len(group.edge_types), weights=weights.get(name, NONE))

        def embedding(node_type: str) -> NodeEmbedding:
            sizes = schema.numbers[node_type], schema.categories[node_type]
            return NodeEmbedding(
                *sizes, hidden=hidden, category_dim=category_dim, normalise=False, feature_dropout=feature_dropout
            )

        def layer(activate: bool) -> HeteroLayer:
            convs = {key: conv(key[1], group) for key, group in groups.items()}
            return HeteroLayer(convs, list(schema.numbers), hidden=hidden, dropout=dropout, activate=activate)

        super().__init__(
            embeddings={node_type: embedding(node_type) for node_type in schema.numbers},
            hidden=hidden,
            groups=groups,
            layers=[layer(activate=place < layers - 1) for place in range(layers)],
            head=DotHead(hidden),
            mood_head=MoodHead(schema.num_moods, hidden, head_hidden) if schema.num_moods else None,
            gates=gates_by_popularity(popularity_gates, schema, hidden=hidden, dropout=feature_dropout),
            pair=pair_readout(pair, schema, hidden=hidden, dropout=dropout),
            hops=local_hops(pair, schema, dropout=dropout),
            ids=id_embeddings(schema, id_embedding, hidden=hidden, dropout=id_dropout),
            level=UserLevel(schema, hidden=hidden),
        )
        self.settings = {
            "hidden": hidden,
            "layers": layers,
            "dropout": dropout,
            "feature_dropout": feature_dropout,
            "edge_weights": edge_weights,
            "head_hidden": head_hidden,
            "category_dim": category_dim,
            "similarity": similarity,
            "popularity_gates": popularity_gates,
            "pair": pair,
            "id_embedding": id_embedding,
            "id_dropout": id_dropout,
        }
