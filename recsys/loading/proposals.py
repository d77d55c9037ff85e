"""Distributions that `recsys.loading.negatives` proposes contents from, and the way from there to valid contents."""

from collections.abc import Callable
from typing import Protocol

import numpy as np

from recsys.data.event_log import EventLog

_ROUNDS = 8  # of proposing, before the exact draw
_GRID = 1 << 22  # (row, content) pairs that the exact draw looks at in one go


class Proposal(Protocol):
    """A distribution over contents for each row; some of what it proposes may not be valid.

    Attributes:
        total: sum of the weights over all contents, for each row, [B].
    """

    total: np.ndarray

    def draw(self, row: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """One content for each entry of `row`, int64, [X]."""
        ...

    def weight(self, row: np.ndarray, content: np.ndarray) -> np.ndarray:
        """Unnormalised probability of each content in each row, float64; both arguments broadcast."""
        ...


class UniformProposal:
    """Every content that exists, alike; built from their number for each row, [B]."""

    def __init__(self, num_contents: np.ndarray) -> None:
        self.total = num_contents

    def draw(self, row: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """See `Proposal`."""
        content: np.ndarray = rng.integers(self.total[row])
        return content

    def weight(self, row: np.ndarray, content: np.ndarray) -> np.ndarray:
        """See `Proposal`."""
        return np.ones(np.broadcast_shapes(row.shape, content.shape))


class BatchProposal:
    """The positives of a batch as often as they occur; built from them and the number of contents for each row, [B]."""

    def __init__(self, positive: np.ndarray, num_contents: np.ndarray) -> None:
        self._positive = positive
        self._frequency = np.bincount(positive, minlength=int(num_contents.max(initial=0))).astype(np.float64)
        self.total = np.full(len(positive), len(positive))

    def draw(self, row: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """See `Proposal`."""
        content: np.ndarray = self._positive[rng.integers(self.total[row])]
        return content

    def weight(self, row: np.ndarray, content: np.ndarray) -> np.ndarray:
        """See `Proposal`."""
        return np.broadcast_to(self._frequency[content], np.broadcast_shapes(row.shape, content.shape))


class EventCounts:
    """Counts of each content's events before any event, and what each event adds to the sum of all weights.

    With w(n) = (1 + n) ** alpha, the weights of all contents that exist at t sum to their number (w(0) each) plus
    w(n + 1) - w(n) for each event before t that is its content's n-th. So one running sum over events serves all query
    times: to draw, throw a dart at it.
    """

    def __init__(self, log: EventLog, alpha: float) -> None:
        self._alpha = alpha
        self.log = log
        order = np.argsort(log.content, kind="stable")
        self._key = log.content[order] * len(log) + order
        self._start = np.searchsorted(log.content[order], np.arange(len(log.contents)))
        earlier = np.empty(len(log), dtype=np.int64)
        earlier[order] = np.arange(len(log)) - self._start[log.content[order]]
        self.mass = np.concatenate([[0.0], np.cumsum(self._raise(earlier + 1) - self._raise(earlier))])

    def weight(self, content: np.ndarray, num_events: np.ndarray) -> np.ndarray:
        """(1 + number of events of each content among the first `num_events` of the log) ** alpha."""
        place = np.searchsorted(self._key, content * len(self.log) + num_events)
        return self._raise(place - self._start[content])

    def _raise(self, count: np.ndarray) -> np.ndarray:
        return (1.0 + count) ** self._alpha


class PopularityProposal:
    """Contents by the weights of `EventCounts`; built from the number of contents and events before each row, [B]."""

    def __init__(self, counts: EventCounts, num_contents: np.ndarray, num_events: np.ndarray) -> None:
        self._counts = counts
        self._num_contents = num_contents
        self._num_events = num_events
        self.total = num_contents + counts.mass[num_events]

    def draw(self, row: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """See `Proposal`."""
        dart = rng.random(len(row)) * self.total[row]
        born = self._num_contents[row]
        event = np.searchsorted(self._counts.mass, dart - born, side="right") - 1
        # The bounds only matter where rounding pushes a dart over the edge.
        event = np.clip(event, 0, np.maximum(self._num_events[row] - 1, 0))
        content: np.ndarray = np.where(dart < born, dart.astype(np.int64), self._counts.log.content[event])
        return content

    def weight(self, row: np.ndarray, content: np.ndarray) -> np.ndarray:
        """See `Proposal`."""
        return self._counts.weight(content, self._num_events[row])


def draw_valid(
    proposal: Proposal,
    num_contents: np.ndarray,
    is_forbidden: Callable[[np.ndarray, np.ndarray], np.ndarray],
    count: int,
    rng: np.random.Generator,
    *,
    group: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Valid contents for each row that has any, distributed as the proposal given that it is valid.

    What is not valid is proposed again; after a few rounds, what is still missing is drawn from all valid contents of
    its row. Rows of a group are proposed the same for the same place: so all of them together get few distinct
    contents, while each row's are distributed as if it were alone.

    Args:
        proposal: the distribution of each row.
        num_contents: valid contents of a row are below this number, int64, [B].
        is_forbidden: whether a content is not valid for a row, for arrays of both that broadcast.
        count: contents a row, with repeats.
        rng: where all chance comes from.
        group: the group of each row, int64, [B]; rows of a group have one distribution. None leaves every row alone.

    Returns:
        The rows that have a valid content, ascending, int64, [R], and their contents, int64, [R, count].
    """

    def is_valid(row: np.ndarray, content: np.ndarray) -> np.ndarray:
        valid: np.ndarray = (content < num_contents[row]) & ~is_forbidden(row, content)
        return valid

    # A row at whose time nothing exists can get nothing, and must not be asked for a proposal.
    able = np.flatnonzero(num_contents > 0)
    slot_row = np.repeat(able, count)
    content = np.full(len(slot_row), -1)
    empty = np.arange(len(slot_row))
    shared = None if group is None else group[slot_row] * count + empty % count
    for _ in range(_ROUNDS):
        if not len(empty):
            break
        row = slot_row[empty]
        if shared is None:
            proposed = proposal.draw(row, rng)
        else:
            _, first, of_first = np.unique(shared[empty], return_index=True, return_inverse=True)
            proposed = proposal.draw(row[first], rng)[of_first]
        valid = is_valid(row, proposed)
        content[empty[valid]] = proposed[valid]
        empty = empty[~valid]
    if len(empty):
        content[empty] = _draw_exactly(slot_row[empty], is_valid, int(num_contents.max()), proposal, rng)

    drawn = content.reshape(-1, count)
    found = drawn[:, 0] >= 0
    return able[found], drawn[found]


def _draw_exactly(
    slot_row: np.ndarray,
    is_valid: Callable[[np.ndarray, np.ndarray], np.ndarray],
    num_contents: int,
    proposal: Proposal,
    rng: np.random.Generator,
) -> np.ndarray:
    """A content for each slot, drawn from its row's valid contents by weight; -1 where the row has none; int64, [S]."""
    content = np.full(len(slot_row), -1)
    rows = np.unique(slot_row)
    size = max(1, _GRID // num_contents)
    for first in range(0, len(rows), size):
        block = rows[first : first + size]
        line, candidate = np.nonzero(is_valid(block[:, None], np.arange(num_contents)[None, :]))
        weight = proposal.weight(block[line], candidate)
        line, candidate, weight = line[weight > 0], candidate[weight > 0], weight[weight > 0]
        edge = np.concatenate([[0.0], np.cumsum(weight)])

        slots = np.flatnonzero(np.isin(slot_row, block))
        slot_line = np.searchsorted(block, slot_row[slots])
        start, stop = np.searchsorted(line, slot_line, side="left"), np.searchsorted(line, slot_line, side="right")
        slots, start, stop = slots[stop > start], start[stop > start], stop[stop > start]
        dart = edge[start] + rng.random(len(slots)) * (edge[stop] - edge[start])
        place = np.clip(np.searchsorted(edge, dart, side="right") - 1, start, stop - 1)
        content[slots] = candidate[place]
    return content
