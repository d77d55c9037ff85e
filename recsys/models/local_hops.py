"""A small graph network around each user whose last states are signals about pairs: hops that are learned."""

from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recsys.graph.local_kernel import AGES, KINDS, Reach
from recsys.graph.local_walks import LocalWalks, States
from recsys.graph.pair_paths import KEPT, Queries
from recsys.graph.schema import GraphSchema

HOPS = ("target_hops", "hops", "hops_of_late", "late_hops_of_late", "target_hops_of_any", "hops_of_any")
OF_TARGETS = tuple(name.startswith("target") for name in HOPS)  # which count degrees over target pairs only
DEGREES = [int(not of_targets) for of_targets in OF_TARGETS]  # column of each in the degrees of a `Reach`
AT_FIRST = -4.6  # log of what a pair without a target event counts in the states of targets: 1%
PLACES = 6  # of the history, each twice as long as the one before it
SPEED = 4.0  # Adam moves a parameter by its rate however small the gradient, and weights have to change by factors


class LocalHops(nn.Module):
    """Signals h(u, d) = norm(P_3 norm(mix(P_2 P_1 1_u))): the walks of `PairPaths` with all weights learned.

    A state of K numbers starts at each of the last contents c that the user met, goes to the users v who met it too
    and from those to the contents d that they met, within the bounds and degrees of `PairPaths`:

    - at c: exp(place in the history + every type of event that the pair has so far);
    - from c to v: times exp(age and whether target) / sqrt(d_c), summed at v, times d_v^-a;
    - at v: divided by the largest of all users reached, then ReLU(a linear layer), with dropout;
    - from v to d: times exp(age and whether target) / sqrt(d_d), summed at d, and divided by the largest of
      all contents that the user has not met, so that the best is 1.

    Everything but the degrees is learned, K times over, and starts at the six fixed walks of the same kinds. A state at
    v sums all ways to v before it goes on, so the cost does not grow with the number of walks. It is done pair by pair
    over the log itself, not by products with operators of one time: every pair keeps its own time whatever the loader,
    and nothing larger than a block of users is held.

    Args:
        schema: event types of the graph.
        dropout: probability of dropping a content of the history, and a number of a user's state.
    """

    def __init__(self, schema: GraphSchema, *, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        of_targets = torch.tensor(OF_TARGETS)
        late = torch.tensor(["of_late" in name for name in HOPS])
        of_late_pairs = torch.tensor([name.startswith("late") for name in HOPS])
        any_degree = torch.tensor([name.endswith("of_any") for name in HOPS])
        places = np.log(KEPT) * 1.5 * (2.0 ** torch.arange(PLACES) - 1)  # in the middle of each
        self.place = nn.Parameter((places[:, None].clamp(min=AT_FIRST) * late + AT_FIRST * of_targets) / SPEED)
        types = torch.zeros(len(schema.event_types) + 1, len(HOPS))
        types[-1] = -AT_FIRST * of_targets / SPEED
        self.types = nn.Parameter(types)
        self.to_users = nn.Parameter(_kinds(of_targets, of_late_pairs))
        self.to_contents = nn.Parameter(_kinds(of_targets, of_late_pairs))
        self.degree = nn.Parameter((~any_degree).float())
        self.mix = nn.Parameter(torch.eye(len(HOPS)))

    def forward(self, walks: LocalWalks, queries: Queries) -> Tensor:
        """Signals of the queries' candidates, float32 [candidates, K]; no bit depends on who else is asked for."""
        device, reach = self.mix.device, walks.reach(queries)

        def tensor(array: np.ndarray) -> Tensor:
            return torch.from_numpy(array).to(device)

        place, marks = (tensor(array) for array in walks.marks(queries, reach))
        start = self.place[torch.frexp(place + 1.0).exponent.long().sub(1).clamp(max=PLACES - 1)]
        for mark, of_type in zip(marks.unbind(dim=1), self.types, strict=True):
            start = start + mark[:, None] * of_type
        start = (SPEED * start).exp()
        if self.training:
            start = start * (torch.rand(len(start), 1, device=device) >= self.dropout)
        step = (SPEED * self.to_users).exp().index_select(0, tensor(reach.kind)) * tensor(reach.scale)[:, DEGREES]
        message = start.index_select(0, tensor(reach.source)) * step
        state = start.new_zeros(len(reach.user), len(HOPS)).index_add(0, tensor(reach.to), message)
        state = state * (-self.degree * tensor(reach.degree)[:, DEGREES].log()).exp()
        state = self._mixed(state, tensor(np.diff(reach.offset[:, 2])))
        weight = (SPEED * self.to_contents).exp()
        around = _Around(walks, queries, reach)
        signals: Tensor = _SpreadStates.apply(state, weight, around)  # type: ignore[no-untyped-call]
        return signals

    def _mixed(self, state: Tensor, size: Tensor) -> Tensor:
        """States of users by `size` [Q] after each other, [R, K] -> [R, K]."""
        if not len(state):
            return state
        largest = torch.segment_reduce(state, "max", lengths=size, axis=0, initial=0.0)
        state = state / largest.clamp(min=torch.finfo(torch.float32).tiny).repeat_interleave(size, dim=0)
        # No matrix product: its bits depend on how many rows there are.
        mixed = sum(of_one[:, None] * row for of_one, row in zip(state.unbind(dim=1), self.mix, strict=True))
        assert isinstance(mixed, Tensor)
        return F.dropout(mixed.relu(), self.dropout, self.training)


class _Around(NamedTuple):
    """The local graph that states are spread over."""

    walks: LocalWalks
    queries: Queries
    reach: Reach


class _SpreadStates(torch.autograd.Function):
    """`LocalWalks.spread` of states [R, K] and weights [KINDS, K], with its gradients."""

    @staticmethod
    def forward(ctx: Any, state: Tensor, weight: Tensor, around: _Around) -> Tensor:
        states = States(state.detach().cpu().numpy(), weight.detach().cpu().numpy(), np.array(OF_TARGETS))
        found = around.walks.spread(around.queries, around.reach, states)
        ctx.around, ctx.states, ctx.found = around, states, found
        return torch.from_numpy(found.out).to(state.device)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        of_out = np.ascontiguousarray(gradient.cpu().numpy())
        around = ctx.around
        of_state, of_weight = around.walks.gradients(around.queries, around.reach, ctx.states, ctx.found, of_out)
        device = gradient.device
        return torch.from_numpy(of_state).to(device), torch.from_numpy(of_weight).to(device), None


def _kinds(of_targets: Tensor, late: Tensor) -> Tensor:
    """First values for the kinds of pairs, [KINDS, K]: target pairs only, or late pairs as of `PairPaths`, or all."""
    halvings = torch.tensor([0.1, 0.6, 2.5, 12.0])[: len(AGES) + 1]  # of 5% of the log, in the middle of each age
    ages = (halvings * np.log(0.5)).clamp(min=AT_FIRST)[:, None] * late
    return torch.cat([ages + AT_FIRST * of_targets, ages]).reshape(KINDS, -1) / SPEED
