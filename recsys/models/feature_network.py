"""A small network of a node's features: the gates of `popularity_gates.py` and `pair_readout.py`, and levels."""

from torch import Tensor, nn

from recsys.graph.schema import GraphSchema
from recsys.models.node_embedding import NodeEmbedding

CATEGORY_DIM = 8


class FeatureNetwork(nn.Module):
    """Linear(Dropout(ReLU(LayerNorm(NodeEmbedding(x, x_cat))))).

    Args:
        schema: node features of the graph.
        node_type: whose features.
        hidden: width of the hidden layer.
        outputs: width of the result.
        dropout: probability of dropping a hidden component.
    """

    def __init__(self, schema: GraphSchema, node_type: str, *, hidden: int, outputs: int, dropout: float) -> None:
        super().__init__()
        numbers, categories = schema.numbers[node_type], schema.categories[node_type]
        self.embedding = NodeEmbedding(numbers, categories, hidden=hidden, category_dim=CATEGORY_DIM, normalise=False)
        self.inner = nn.Sequential(nn.LayerNorm(hidden), nn.ReLU(), nn.Dropout(dropout))
        self.outer = nn.Linear(hidden, outputs)

    def forward(self, x: Tensor, x_cat: Tensor) -> Tensor:
        """Numbers [n, numbers] and category indices [n, num vocabularies] -> [n, outputs]."""
        return self.outer(self.inner(self.embedding(x, x_cat)))  # type: ignore[no-any-return]
