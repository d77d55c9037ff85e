"""How much each user goes by what paths say about a pair (see `PairPaths`); `network.py` adds it to a logit."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recsys.errors import UserError
from recsys.graph.path_kernel import PATH_SIGNALS
from recsys.graph.schema import USER, GraphSchema
from recsys.models.feature_network import FeatureNetwork
from recsys.models.local_hops import HOPS, LocalHops

NONE, CO_ENGAGED, PROPAGATE, LOCAL_GNN = "none", "co_engagement", "propagate", "local_gnn"
PAIRS = (NONE, CO_ENGAGED, PROPAGATE, LOCAL_GNN)
FIXED_HOPS = PATH_SIGNALS[:6]  # what learned hops take the place of
CO_ENGAGEMENT = ("target_cosine", "all_cosine")
STEEP = 50.0  # log(1 + 50 s) tells small signals apart


class PairReadout(nn.Module):
    """logit = sum over signals s of a_s(u) s + b_s(u) l(s), l(s) = log(1 + 50 s) / log(51).

    a, b = softplus(network(user's features)) >= 0: a stronger signal never counts against a content, and a pair without
    any path has logit 0.

    Args:
        schema: node features of the graph.
        hidden: width inside the gates' network.
        dropout: probability of dropping one of its hidden components.
        names: names of the signals that are given.
        only: names of the signals to use; None for all.

    Attributes:
        num_signals: number of the signals that are given.
        width: width of the gates of one user.
    """

    def __init__(
        self,
        schema: GraphSchema,
        names: Sequence[str],
        *,
        hidden: int,
        dropout: float,
        only: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        self.num_signals = len(names)
        self.columns = [i for i, name in enumerate(names) if only is None or name in only]
        self.width = 2 * len(self.columns)
        self.user_network = FeatureNetwork(schema, USER, outputs=self.width, hidden=hidden, dropout=dropout)

    def user(self, x: Tensor, x_cat: Tensor) -> Tensor:
        """Gates of users, [n, width]."""
        return F.softplus(self.user_network(x, x_cat))

    def forward(self, gates: Tensor, signals: Tensor) -> Tensor:
        """Gates [..., width] and signals [..., N, num_signals] -> logits [..., N]."""
        signals = signals[..., self.columns]
        both = torch.cat([signals, torch.log1p(STEEP * signals) / torch.log1p(signals.new_tensor(STEEP))], dim=-1)
        return (both @ gates[..., None])[..., 0]


def pair_readout(pair: str, schema: GraphSchema, *, hidden: int, dropout: float) -> PairReadout | None:
    """The readout that `model.pair` asks for: of all signals, of those of co-engagement, of learned hops, or none."""
    if pair == NONE:
        return None
    names = schema.pair_signals
    only: tuple[str, ...] | None = None
    if pair == CO_ENGAGED:
        only = CO_ENGAGEMENT
    elif pair == LOCAL_GNN:
        names = (*names, *HOPS)
        only = tuple(name for name in names if name not in FIXED_HOPS)
    return PairReadout(schema, names, hidden=hidden, dropout=dropout, only=only)


def local_hops(pair: str, schema: GraphSchema, *, dropout: float) -> LocalHops | None:
    """The hops that `model.pair` asks for, if they are learned."""
    return LocalHops(schema, dropout=dropout) if pair == LOCAL_GNN else None


def check_pair(pair: str) -> None:
    """Raise `UserError` for what is none of PAIRS."""
    if pair not in PAIRS:
        raise UserError(f"model.pair is {pair!r}: choose among {', '.join(PAIRS)}.")
