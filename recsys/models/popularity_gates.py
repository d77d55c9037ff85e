"""What a content is worth to anybody, and how much each user or mood goes by it; `network.py` adds it to a logit."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recsys.graph.schema import CONTENT, USER, GraphSchema
from recsys.models.feature_network import FeatureNetwork

LOW = -2.0  # gates begin near softplus(-2) = 0.13, so that popularity does not drown the towers


class PopularityGates(nn.Module):
    """logit = sum over k of g_k p_k(c) + b(c): the gates g >= 0 of a user or a mood on popularity, and a prior b.

    p(c) are the content's scaled log counts and trends over several windows; g = softplus(network(user's features) - 2)
    or a learned vector of a mood; b is a network of all the content's features that starts at 0. Gates are never
    negative, so that somebody of whom nothing is known still gets what is popular, over the windows that serve best.

    Both sides are vectors that only meet in a dot product: g beside a 1, and p beside b.

    Args:
        schema: node features of the graph.
        hidden: width inside the networks.
        dropout: probability of dropping one of their hidden components.

    Attributes:
        width: width of both vectors.
    """

    def __init__(self, schema: GraphSchema, *, hidden: int, dropout: float) -> None:
        super().__init__()
        self.columns = list(schema.popularity)
        self.width = len(self.columns) + 1
        self.user_network = (
            FeatureNetwork(schema, USER, hidden=hidden, outputs=len(self.columns), dropout=dropout)
            if self.columns
            else None
        )
        self.prior = FeatureNetwork(schema, CONTENT, hidden=hidden, outputs=1, dropout=dropout)
        nn.init.zeros_(self.prior.outer.weight)
        nn.init.zeros_(self.prior.outer.bias)
        self.moods = nn.Parameter(torch.zeros(schema.num_moods, len(self.columns)))

    def user(self, x: Tensor, x_cat: Tensor) -> Tensor:
        """Gates of users, [n, width]."""
        if self.user_network is None:
            return x.new_ones(len(x), 1)
        return _beside_one(F.softplus(self.user_network(x, x_cat) + LOW))

    def content(self, x: Tensor, x_cat: Tensor) -> Tensor:
        """Popularity and prior of contents, [n, width]."""
        return torch.cat([x[:, self.columns], self.prior(x, x_cat)], dim=1)

    def mood(self, mood: Tensor) -> Tensor:
        """Gates of moods, int64 [...] -> [..., width]."""
        return _beside_one(F.softplus(F.embedding(mood, self.moods) + LOW))


def _beside_one(gates: Tensor) -> Tensor:
    return F.pad(gates, (0, 1), value=1.0)
