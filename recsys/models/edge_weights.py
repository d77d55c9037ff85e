"""How much the message of each edge counts beside the others of its node; the layers in `layers.py` multiply by it."""

import torch
from torch import Tensor, nn

from recsys.errors import UserError
from recsys.graph.schema import EVENT_ATTRIBUTES
from recsys.models.neighbours import TypedEdges

NONE, RECENCY, WEIGHT, STRENGTH, LEARNED = "none", "recency", "weight", "strength", "learned"
EVENT_WEIGHTS = (NONE, RECENCY, WEIGHT, STRENGTH, LEARNED)
COSINE = "cosine"  # of similarity edges, their only attribute

_COLUMN = {name: EVENT_ATTRIBUTES.index(name) for name in (WEIGHT, RECENCY, STRENGTH)} | {COSINE: 0}
# Smallest total weight that is divided by: a node whose edges all weigh 0 gets messages of 0.
_LEAST = torch.finfo(torch.float32).tiny


class EdgeWeights(nn.Module):
    """Each edge's share w_uv / sum over u' in N(v) of w_u'v of the weight of all edges, of any type, into its target.

    A share has no unit, so that a node whose events are all weak or old gets no shorter messages than others; since
    all types share in one total, a like outweighs a view by the ratio of their weights.

    - recency: w = 1 + recency, the report's time decay; weight: w = weight(type, value);
      strength: w = weight x (1 + recency) (report, section II.B).
    - learned: w = exp(a_t weight + b_t recency) with a_t = b_t = 0 at first, when all edges weigh alike: each type t
      learns its own weight and an exponential decay.
    - cosine: w = cosine, for similarity edges.

    Args:
        kind: one of EVENT_WEIGHTS but "none", or "cosine".
        num_types: number of edge types.
    """

    def __init__(self, kind: str, num_types: int) -> None:
        super().__init__()
        self.kind = kind
        self.slope = nn.Parameter(torch.zeros(num_types, 2)) if kind == LEARNED else None  # a_t and b_t

    def forward(self, edges: TypedEdges) -> Tensor:
        """Share of each edge, [E, 1]."""
        assert edges.attributes is not None
        if self.slope is not None:
            attributes = edges.attributes[:, [_COLUMN[WEIGHT], _COLUMN[RECENCY]]]
            logit = (attributes * self.slope.index_select(0, edges.type)).sum(dim=1, keepdim=True)
            return edges.from_typed.softmax(logit)
        weight = edges.attributes[:, _COLUMN[self.kind], None]
        if self.kind == RECENCY:
            weight = 1 + weight
        return weight / edges.from_typed.total(weight).clamp(min=_LEAST).index_select(0, edges.from_typed.target)


def edge_weights(kind: str, num_types: int) -> EdgeWeights | None:
    """The weights of one kind, None for "none"."""
    return None if kind == NONE else EdgeWeights(kind, num_types)


def check_event_weights(kind: str) -> None:
    """Raise `UserError` for what is none of EVENT_WEIGHTS."""
    if kind not in EVENT_WEIGHTS:
        raise UserError(f"model.edge_weights is {kind!r}: choose among {', '.join(EVENT_WEIGHTS)}.")
