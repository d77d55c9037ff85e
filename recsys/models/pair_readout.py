"""How much each user goes by what paths say about a pair (see `PairPaths`); `network.py` adds it to a logit."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recsys.graph.schema import USER, GraphSchema
from recsys.models.feature_network import FeatureNetwork

STEEP = 50.0  # log(1 + 50 s) tells small signals apart
NUM_HIDDEN = 16


class PairReadout(nn.Module):
    """logit = sum over signals s of a_s(u) s + b_s(u) l(s) + m(all s and l(s)), l(s) = log(1 + 50 s) / log(51).

    a, b = softplus(network(user's features)) >= 0: a stronger signal never counts against a content by itself. m is a
    small network that starts at 0 and is 0 where there is no signal, so that a pair without any path has logit 0.

    Args:
        schema: node features of the graph and the number of signals.
        hidden: width inside the gates' network.
        dropout: probability of dropping one of its hidden components.

    Attributes:
        width: width of the gates of one user.
    """

    def __init__(self, schema: GraphSchema, *, hidden: int, dropout: float) -> None:
        super().__init__()
        self.width = 2 * len(schema.pair_signals)
        self.user_network = FeatureNetwork(schema, USER, outputs=self.width, hidden=hidden, dropout=dropout)
        self.inner = nn.Linear(self.width, NUM_HIDDEN)
        self.outer = nn.Linear(NUM_HIDDEN, 1, bias=False)
        nn.init.zeros_(self.outer.weight)

    def user(self, x: Tensor, x_cat: Tensor) -> Tensor:
        """Gates of users, [n, width]."""
        return F.softplus(self.user_network(x, x_cat))

    def forward(self, gates: Tensor, signals: Tensor) -> Tensor:
        """Gates [..., width] and signals [..., N, num_signals] -> logits [..., N]."""
        both = torch.cat([signals, torch.log1p(STEEP * signals) / torch.log1p(signals.new_tensor(STEEP))], dim=-1)
        mixed = self.outer(self.inner(both).relu() - self.inner.bias.relu())[..., 0]
        return (both @ gates[..., None])[..., 0] + mixed  # type: ignore[no-any-return]
