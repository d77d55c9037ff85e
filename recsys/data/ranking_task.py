"""What validation and test ask: which users, which candidates, which positives, as of one boundary.

Everything that ranks (training's validation metric, the final evaluation, the peers) is asked through this
task, so all numbers come from one protocol.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from recsys.data.event_log import EventLog, Split
from recsys.data.interaction_index import InteractionIndex
from recsys.errors import UserError


@dataclass(frozen=True)
class RankingBatch:
    """A block of users whose candidates are to be ranked at one time. U users, P positive pairs.

    Attributes:
        time: the query time, ns.
        num_contents: the candidates are the contents [0, num_contents) less each user's history.
        user: rows of the users in the log, int64, [U].
        seen: (row in `user`, content) pairs of the users' histories before `time`, int64, [2, S].
        positive: (row in `user`, content) pairs, int64, [2, P].
        label: soft label of each positive pair, float32, [P].
        negative: the fixed negative of each positive pair (same user), a content, int64, [P]; -1 where there is none.
        first: offset of this block's first positive pair among all pairs of the task.
        unborn: as `RankingTask.unborn`, int64, [U].
    """

    time: int
    num_contents: int
    user: np.ndarray
    seen: np.ndarray
    positive: np.ndarray
    label: np.ndarray
    negative: np.ndarray
    first: int
    unborn: np.ndarray


@dataclass(frozen=True)
class RankingTask:
    """The users evaluated in one split and what they acted on, asked at the boundary where the split begins.

    A positive is a distinct (user, content) pair with a target event in the split's period, which the user has not met
    before the boundary by any event. Users are evaluated if they have one. A positive whose content does not exist yet
    at the boundary is out of every model's reach: it is only counted, as one that was missed.

    Attributes:
        split: "validation" or "test".
        time: the boundary, ns.
        num_contents: contents that exist strictly before the boundary; candidates are these less the histories.
        user: rows of the evaluated users in the log, ascending, int64, [U].
        positive: (row in `user`, content) pairs within reach, sorted by row, then content; int64, [2, P].
        label: the largest soft label among each pair's target events in the period, float32, [P].
        first_time: time of each pair's first target event in the period, ns, int64, [P].
        negative: for each pair one content drawn uniformly from the user's candidates that are no positives; -1 where
            the user has no such candidate; int64, [P].
        unborn: each user's positives whose content does not exist yet at the boundary, int64, [U].
    """

    split: Split
    time: int
    num_contents: int
    user: np.ndarray
    positive: np.ndarray
    label: np.ndarray
    first_time: np.ndarray
    negative: np.ndarray
    unborn: np.ndarray

    @classmethod
    def build(cls, log: EventLog, index: InteractionIndex, split: Split, seed: int) -> Self:
        """The task of one split; `seed` draws the negatives.

        Raises:
            UserError: the split has no positive within reach.
        """
        start, stop = log.boundaries.period(split)
        first, last = log.count_before(start), log.count_before(stop)
        events = first + np.flatnonzero(log.is_target[first:last])
        events = events[~index.seen_before(log.user[events], log.content[events], start)]
        # Events are in time order, so the first place of a pair is its first event.
        keys, first_event, pair = np.unique(
            log.user[events] * len(log.contents) + log.content[events], return_index=True, return_inverse=True
        )
        label = np.zeros(len(keys), dtype=np.float32)
        np.maximum.at(label, pair, log.label[events])
        user, row = np.unique(keys // len(log.contents), return_inverse=True)
        content = keys % len(log.contents)
        num_contents = log.contents.count_before(start)
        born = content < num_contents
        if not born.any():
            raise UserError(
                f"The {split} period has no positive: no user has a first event of a target type there with a content "
                "that existed before; choose other targets, shares or boundaries."
            )
        positive = np.stack([row[born], content[born]]).astype(np.int64)
        forbidden = np.concatenate([index.history(user, start), positive], axis=1)
        return cls(
            split=split,
            time=start,
            num_contents=num_contents,
            user=user,
            positive=positive,
            label=label[born],
            first_time=log.time[events[first_event]][born],
            negative=_draw_outside(
                positive[0], forbidden, num_contents, np.random.default_rng([seed, split == "test"])
            ),
            unborn=np.bincount(row[~born], minlength=len(user)),
        )

    def subset(self, max_users: int, seed: int) -> Self:
        """The task of at most `max_users` users, drawn at random; their pairs and negatives stay the same."""
        if max_users >= len(self.user):
            return self
        chosen = np.random.default_rng(seed).choice(len(self.user), max_users, replace=False)
        return self.of_users(np.sort(chosen))

    def of_users(self, chosen: np.ndarray) -> Self:
        """The task of some users, by their places in `user`, ascending, int64; their pairs and negatives stay."""
        row = np.full(len(self.user), -1, dtype=np.int64)
        row[chosen] = np.arange(len(chosen))
        kept = row[self.positive[0]] >= 0
        return replace(
            self,
            user=self.user[chosen],
            positive=np.stack([row[self.positive[0, kept]], self.positive[1, kept]]),
            label=self.label[kept],
            first_time=self.first_time[kept],
            negative=self.negative[kept],
            unborn=self.unborn[chosen],
        )

    def batches(self, index: InteractionIndex, block: int) -> Iterator[RankingBatch]:
        """The task in blocks of `block` users, in order.

        Args:
            index: the log's index, for the users' histories.
            block: users a batch, at least 1.
        """
        for start in range(0, len(self.user), block):
            user = self.user[start : start + block]
            first, last = np.searchsorted(self.positive[0], (start, start + len(user)))
            yield RankingBatch(
                time=self.time,
                num_contents=self.num_contents,
                user=user,
                seen=index.history(user, self.time),
                positive=np.stack([self.positive[0, first:last] - start, self.positive[1, first:last]]),
                label=self.label[first:last],
                negative=self.negative[first:last],
                first=int(first),
                unborn=self.unborn[start : start + block],
            )


def _draw_outside(
    rows: np.ndarray, forbidden: np.ndarray, num_contents: int, generator: np.random.Generator
) -> np.ndarray:
    """For each of `rows` [P] one content in [0, num_contents), uniform over those not forbidden to the row.

    The k-th allowed content of a row is k plus the number of its forbidden contents f_0 < f_1 < ... with f_i - i <= k,
    since f_i - i contents before f_i are allowed.

    Args:
        rows: rows to draw for, int64, [P].
        forbidden: distinct (row, content) pairs, int64, [2, F].
        num_contents: number of contents.
        generator: draws one number for each of `rows`.

    Returns:
        int64 [P], -1 where everything is forbidden.
    """
    keys = np.sort(forbidden[0] * num_contents + forbidden[1])
    row, content = np.divmod(keys, num_contents)
    starts = np.searchsorted(row, rows)
    counts = np.searchsorted(row, rows, side="right") - starts
    allowed = num_contents - counts
    place = np.floor(generator.random(len(rows)) * allowed).astype(np.int64)
    allowed_before = content - (np.arange(len(keys)) - np.searchsorted(row, row))
    # Ascending along (row, allowed_before), with room for allowed_before = num_contents.
    passed = np.searchsorted(row * (num_contents + 1) + allowed_before, rows * (num_contents + 1) + place, side="right")
    return np.where(allowed > 0, place + passed - starts, -1)
