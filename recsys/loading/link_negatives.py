"""Negatives for links of any graph, which `subgraph_sampler.py` asks for; `negatives.py` has those of an event log."""

from collections.abc import Callable
from typing import Protocol

import numpy as np
from torch_geometric.data import HeteroData

from recsys.data.event_log import EventLog
from recsys.data.interaction_index import InteractionIndex
from recsys.errors import UserError
from recsys.loading.negatives import NegativeRequest, NegativeSampler
from recsys.loading.proposals import UniformProposal, draw_valid

Forbidden = Callable[[np.ndarray, np.ndarray], np.ndarray]


class LinkNegatives(Protocol):
    """Draws targets that exist at each link's query time and that its source is not linked with."""

    def is_link(self, source: np.ndarray, target: np.ndarray, time: np.ndarray) -> np.ndarray:
        """Whether a target is none to set against a source at a time; all arguments broadcast."""
        ...

    def draw(
        self, target: np.ndarray, time: np.ndarray, is_forbidden: Forbidden, amount: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """`amount` targets for each row that has a valid one.

        Args:
            target: the positive target of each row, int64, [B].
            time: query time of each row, int64, [B].
            is_forbidden: whether targets are not valid for rows, as in `NegativeRequest`.
            amount: targets a row, with repeats.
            rng: where all chance comes from.

        Returns:
            The rows, ascending, int64, [R], and their targets, int64, [R, amount].
        """
        ...


class UnlinkedNodes:
    """Any node of the target's type that exists at the query time, none of them linked with the source at any time.

    Args:
        data: the graph; nodes with a time exist from then on.
        source, target: node types of the links.
        time_attr: attribute with the time of nodes.
    """

    def __init__(self, data: HeteroData, source: str, target: str, time_attr: str) -> None:
        self._num_targets = int(data[target].num_nodes)
        born = data[target].get(time_attr)
        self._order = np.arange(self._num_targets)
        self._born = np.full(self._num_targets, np.iinfo(np.int64).min)
        if born is not None:
            self._order = np.argsort(born.numpy(), kind="stable")
            self._born = born.numpy()[self._order]
        links = [data[kind].edge_index.numpy() for kind in data.edge_types if (kind[0], kind[2]) == (source, target)]
        pairs = np.concatenate([np.zeros((2, 0), dtype=np.int64), *links], axis=1)
        keys = np.sort(pairs[0] * self._num_targets + pairs[1])
        self._links = keys[np.diff(keys, prepend=-1) > 0]

    def is_link(self, source: np.ndarray, target: np.ndarray, time: np.ndarray) -> np.ndarray:
        """See `LinkNegatives`."""
        key = source * self._num_targets + target
        if not len(self._links):
            return np.zeros(np.shape(key), dtype=bool)
        place = np.minimum(np.searchsorted(self._links, key), len(self._links) - 1)
        linked: np.ndarray = self._links[place] == key
        return linked

    def draw(
        self, target: np.ndarray, time: np.ndarray, is_forbidden: Forbidden, amount: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """See `LinkNegatives`."""
        num_existing = np.searchsorted(self._born, time)
        row, rank = draw_valid(
            UniformProposal(num_existing),
            num_existing,
            lambda rows, ranks: is_forbidden(rows, self._order[np.minimum(ranks, self._num_targets - 1)]),
            amount,
            rng,
        )
        return row, self._order[rank]


class LogNegatives:
    """The project's negative samplers for the links user -> content of a log; the history at the time is forbidden.

    Args:
        log: the log behind the graph.
        index: its interaction index.
        sampler: draws the contents; its count must be the amount of negatives that is asked for.
    """

    def __init__(self, log: EventLog, index: InteractionIndex, sampler: NegativeSampler) -> None:
        self._log = log
        self._index = index
        self._sampler = sampler

    def is_link(self, source: np.ndarray, target: np.ndarray, time: np.ndarray) -> np.ndarray:
        """See `LinkNegatives`."""
        return self._index.seen_before(source, target, time)

    def draw(
        self, target: np.ndarray, time: np.ndarray, is_forbidden: Forbidden, amount: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """See `LinkNegatives`.

        Raises:
            UserError: if the sampler draws another number.
        """
        drawn = self._sampler.sample(NegativeRequest(self._log, target, time, is_forbidden), rng)
        if len(drawn.row) and drawn.content.shape[1] != amount:
            raise UserError(
                f"The negative sampler draws {drawn.content.shape[1]} contents a row, but {amount} are asked for: "
                "make the two numbers equal."
            )
        return drawn.row, drawn.content.reshape(len(drawn.row), amount)
