"""How much each user or mood goes by what is popular; `network.py` adds it to a logit."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recsys.graph.schema import USER, GraphSchema
from recsys.models.feature_network import FeatureNetwork

LOW = -2.0  # gates begin near softplus(-2) = 0.13, so that popularity does not drown the towers


class PopularityGates(nn.Module):
    """logit = sum over k of g_k p_k(c): the gates g >= 0 of a user or a mood on a content's popularity.

    p(c) are the content's scaled log counts and trends over several windows; g = softplus(network(user's features) - 2)
    or a learned vector of a mood. Gates are never negative, so that somebody of whom nothing is known still gets what
    is popular, over the windows that serve best.

    In training they are all left out for a seed with the given probability (see `kept`): what counts explain by
    themselves, the towers and the paths must also learn to explain.

    Args:
        schema: node features of the graph, whose contents must have counters.
        hidden: width inside the network.
        dropout: probability of dropping one of its hidden components, and of leaving out the gates of a seed.

    Attributes:
        width: width of both vectors.
    """

    def __init__(self, schema: GraphSchema, *, hidden: int, dropout: float) -> None:
        super().__init__()
        self.columns = list(schema.popularity)
        self.width = len(self.columns)
        self.dropout = dropout
        self.network = FeatureNetwork(schema, USER, hidden=hidden, outputs=self.width, dropout=dropout)
        self.moods = nn.Parameter(torch.zeros(schema.num_moods, self.width))

    def user(self, x: Tensor, x_cat: Tensor) -> Tensor:
        """Gates of users, [n, width]."""
        return F.softplus(self.network(x, x_cat) + LOW)

    def content(self, x: Tensor) -> Tensor:
        """Popularity of contents, [n, width]."""
        return x[:, self.columns]

    def mood(self, mood: Tensor) -> Tensor:
        """Gates of moods, int64 [...] -> [..., width]."""
        return F.softplus(F.embedding(mood, self.moods) + LOW)

    def kept(self, gates: Tensor) -> Tensor:
        """Gates of seeds [B, width], in training without those of some seeds, the others larger to make up."""
        return gates * F.dropout(gates.new_ones(len(gates), 1), self.dropout, self.training)


def gates_by_popularity(wanted: bool, schema: GraphSchema, *, hidden: int, dropout: float) -> PopularityGates | None:
    """The gates of a network; None where they are not wanted or the graph's contents have no counters."""
    return PopularityGates(schema, hidden=hidden, dropout=dropout) if wanted and schema.popularity else None
