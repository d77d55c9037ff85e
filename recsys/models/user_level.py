"""How high a user's logits lie as a whole; `network.py` takes it off them."""

import torch.nn.functional as F
from torch import Tensor, nn, zeros

from recsys.graph.schema import USER, GraphSchema
from recsys.models.feature_network import FeatureNetwork

STRIDE = 10.0  # logits lie up to several units high, which steps of the size that suits other weights reach too late


class UserLevel(nn.Module):
    """level = 10 network(user's features), or 10 times a learned number of a mood.

    Losses that compare a positive with its own negatives, such as a softmax, see no difference between the logits of a
    user and the same ones all higher. So these say who comes first, but of two users' logits not which is the more
    probable. The level is learned to be a user's mean logit over its negatives: what is left says how far a content
    stands out for a user, which compares. It moves all logits of a user by as much, so it changes nobody's order.

    Args:
        schema: node features of the graph.
        hidden: width inside the network.
    """

    def __init__(self, schema: GraphSchema, *, hidden: int) -> None:
        super().__init__()
        self.network = FeatureNetwork(schema, USER, hidden=hidden, outputs=1, dropout=0.0)
        nn.init.zeros_(self.network.outer.weight)
        nn.init.zeros_(self.network.outer.bias)
        self.moods = nn.Parameter(zeros(schema.num_moods, 1))

    def user(self, x: Tensor, x_cat: Tensor) -> Tensor:
        """Levels of users, [n, 1]."""
        return STRIDE * self.network(x, x_cat)  # type: ignore[no-any-return]

    def mood(self, mood: Tensor) -> Tensor:
        """Levels of moods, int64 [...] -> [..., 1]."""
        return STRIDE * F.embedding(mood, self.moods)
