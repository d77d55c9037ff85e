"""Negative samplers: contents a user could have met at the query time and did not. The loaders ask them, row by row.

`recsys.loading.proposals` has the distributions behind them and the way to valid contents.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from recsys.checks import check_count, check_number
from recsys.data.event_log import EventLog
from recsys.data.positions import positions
from recsys.errors import UserError
from recsys.loading.proposals import (
    BatchProposal,
    EventCounts,
    PopularityProposal,
    Proposal,
    UniformProposal,
    draw_valid,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class NegativeRequest:
    """Rows that need negatives; each has its own query time.

    Attributes:
        log: the log whose contents are drawn.
        positive: the positive content of each row, int64, [B].
        time: query time of each row, ns, int64, [B].
        is_forbidden: maps rows (positions in `positive`) and contents, two int64 arrays that broadcast, to bool:
            whether the content must not be a negative of the row. Contents not born yet need not be named.
        shared_by: rows of one time that are proposed the same contents, so that all together have fewer distinct
            negatives. What a row gets is distributed as if it were alone.
    """

    log: EventLog
    positive: np.ndarray
    time: np.ndarray
    is_forbidden: Callable[[np.ndarray, np.ndarray], np.ndarray]
    shared_by: int = 1

    @property
    def num_contents(self) -> np.ndarray:
        """Number of contents that exist at each row's time; they are contents [0, number); int64, [B]."""
        return positions(self.log.contents.exists_from, self.time)

    @property
    def group(self) -> np.ndarray | None:
        """Number of the group of each row that is proposed the same contents, int64, [B]; None if none is shared."""
        if self.shared_by == 1:
            return None
        size = len(self.time)
        order = np.argsort(self.time, kind="stable")
        ordered = self.time[order]
        first = np.searchsorted(ordered, ordered)
        group = np.empty(size, dtype=np.int64)
        group[order] = first * size + (np.arange(size) - first) // self.shared_by
        return group


@dataclass(frozen=True)
class Negatives:
    """What a sampler drew: N negatives for each of the R <= B rows that have any valid content.

    Attributes:
        row: the rows of the request that got negatives, int64, ascending, [R].
        content: the negatives, with repeats, int64, [R, N].
        log_q: log probability of the proposal (before rejection) for the positive (column 0) and for each negative,
            float32, [R, 1 + N]. Rejection only adds a constant per row, which a softmax does not see.
        keep: how many of the N negatives with the highest scores shall enter the loss.
    """

    row: np.ndarray
    content: np.ndarray
    log_q: np.ndarray
    keep: int


class NegativeSampler(Protocol):
    """Draws negatives that exist at each row's query time and are not forbidden."""

    def sample(self, request: NegativeRequest, rng: np.random.Generator) -> Negatives:
        """Negatives of each row that has a valid content; rows that have none are left out."""
        ...


class Uniform:
    """Every valid content is equally likely.

    Args:
        count: negatives a row.

    Raises:
        UserError: if `count` is not positive.
    """

    def __init__(self, *, count: int = 20) -> None:
        check_count("negatives.count", count, 1)
        self._count = count

    def sample(self, request: NegativeRequest, rng: np.random.Generator) -> Negatives:
        """See `NegativeSampler`."""
        return _sample(request, UniformProposal(request.num_contents), self._count, self._count, rng)


class Popularity:
    """Contents are drawn in proportion to (1 + number of events strictly before the query time) ** alpha.

    Args:
        alpha: 0 is uniform, 1 is plain popularity; word2vec's 0.75 is the default.
        count: negatives a row.

    Raises:
        UserError: if `count` is not positive or `alpha` is negative.
    """

    def __init__(self, *, alpha: float = 0.75, count: int = 20) -> None:
        check_count("negatives.count", count, 1)
        check_number("negatives.alpha", alpha, 0)
        self._alpha = alpha
        self._count = count
        self._counts: EventCounts | None = None

    def sample(self, request: NegativeRequest, rng: np.random.Generator) -> Negatives:
        """See `NegativeSampler`."""
        # Counting takes a pass over the log, so it is done once for a log and not for every batch.
        if self._counts is None or self._counts.log is not request.log:
            self._counts = EventCounts(request.log, self._alpha)
        num_events = request.log.time.searchsorted(request.time)
        proposal = PopularityProposal(self._counts, request.num_contents, num_events)
        return _sample(request, proposal, self._count, self._count, rng)


class InBatch:
    """The other rows' positives are the negatives, as often as they occur in the batch.

    `log_q` is the log of a content's frequency in the batch, for the log-Q correction of sampled softmax (Yi et al.,
    "Sampling-bias-corrected neural modeling", 2019). Rows for which no positive of the batch is valid get uniform
    negatives with uniform `log_q`; the first time that happens is logged.

    Args:
        count: negatives a row.

    Raises:
        UserError: if `count` is not positive.
    """

    def __init__(self, *, count: int = 20) -> None:
        self._uniform = Uniform(count=count)
        self._count = count
        self._told = False

    def sample(self, request: NegativeRequest, rng: np.random.Generator) -> Negatives:
        """See `NegativeSampler`."""
        drawn = _sample(request, BatchProposal(request.positive, request.num_contents), self._count, self._count, rng)
        left = np.setdiff1d(np.arange(len(request.positive)), drawn.row)
        if not len(left):
            return drawn
        if not self._told:
            self._told = True
            logger.info(
                "In-batch negatives: %d of %d rows have no valid positive of another row in their batch and get "
                "uniform negatives (said once).",
                len(left),
                len(request.positive),
            )
        rest = NegativeRequest(
            log=request.log,
            positive=request.positive[left],
            time=request.time[left],
            is_forbidden=lambda row, content: request.is_forbidden(left[row], content),
            shared_by=request.shared_by,
        )
        uniform = self._uniform.sample(rest, rng)
        row = np.concatenate([drawn.row, left[uniform.row]])
        order = np.argsort(row)
        return Negatives(
            row=row[order],
            content=np.concatenate([drawn.content, uniform.content])[order],
            log_q=np.concatenate([drawn.log_q, uniform.log_q])[order],
            keep=self._count,
        )


class Hard:
    """Draws a uniform pool of which only the `count` contents that the model scores highest enter the loss.

    Args:
        pool: contents drawn a row.
        count: how many of the pool the loss keeps.

    Raises:
        UserError: if `count` is not positive or larger than `pool`.
    """

    def __init__(self, *, pool: int = 100, count: int = 20) -> None:
        check_count("negatives.count", count, 1)
        check_count("negatives.pool", pool, 1)
        if pool < count:
            raise UserError(f"negatives.pool is {pool}: it must be at least negatives.count, which is {count}.")
        self._pool = pool
        self._count = count

    def sample(self, request: NegativeRequest, rng: np.random.Generator) -> Negatives:
        """See `NegativeSampler`."""
        return _sample(request, UniformProposal(request.num_contents), self._pool, self._count, rng)


def _sample(request: NegativeRequest, proposal: Proposal, count: int, keep: int, rng: np.random.Generator) -> Negatives:
    row, content = draw_valid(proposal, request.num_contents, request.is_forbidden, count, rng, group=request.group)
    together = np.column_stack([request.positive[row], content])
    log_q = np.log(proposal.weight(row[:, None], together)) - np.log(proposal.total[row])[:, None]
    return Negatives(row=row, content=content, log_q=log_q.astype(np.float32), keep=keep)
