"""What validation and test ask, by hand and against a naive recomputation."""

from collections import defaultdict

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.data.event_log import EventLog, Split
from recsys.data.interaction_index import InteractionIndex
from recsys.data.preparation import LogSettings, prepare
from recsys.data.ranking_task import RankingTask
from recsys.errors import UserError
from recsys.sources.base import Tables
from tests.factories import tiny_log

T = 1_700_000_000
SECOND = 1_000_000_000
SPLITS: tuple[Split, ...] = ("validation", "test")


def hand_log(**options: object) -> EventLog:
    """Ten views and likes, one a second; validation is [6, 8), test [8, 9]."""
    rows = [
        (1, "a", "view"), (2, "b", "view"), (1, "c", "like"), (3, "a", "like"), (2, "c", "view"), (4, "d", "view"),
        (1, "b", "like"), (1, "a", "like"),  # validation: b is new to user 1, a is history by a view
        (2, "e", "like"), (2, "d", "like"),  # test: e is unborn, d is new to user 2
    ]  # fmt: skip
    interactions = pd.DataFrame(rows, columns=["user_id", "content_id", "type"]).assign(timestamp=T + np.arange(10))
    given_settings = LogSettings(target=["like"], boundaries=[T + 6, T + 8], **options)
    return prepare(Tables("hand", interactions), given_settings).log


def test_by_hand() -> None:
    log = hand_log()
    index = InteractionIndex(log)
    content = {name: i for i, name in enumerate(log.contents.ids)}
    user = {name: i for i, name in enumerate(log.users.ids)}
    validation, test = (RankingTask.build(log, index, split, seed=0) for split in SPLITS)
    assert validation.user.tolist() == [user[1]]
    assert validation.positive.tolist() == [[0], [content["b"]]]
    assert validation.num_contents == 4  # a to d
    assert validation.first_time.tolist() == [(T + 6) * SECOND]
    assert validation.label.tolist() == [1]
    assert validation.negative.tolist() == [content["d"]]  # the only candidate that is left
    assert test.user.tolist() == [user[2]]
    assert test.positive.tolist() == [[0], [content["d"]]]
    assert test.time == (T + 8) * SECOND
    assert test.negative.tolist() == [content["a"]]
    assert validation.unborn.tolist() == [0]
    assert test.unborn.tolist() == [1]  # e


def test_a_user_whose_positives_are_all_unborn_is_evaluated() -> None:
    rows = [(1, "a"), (2, "b"), (1, "c"), (2, "c"), (1, "b"), (2, "d"), (1, "e"), (2, "e"), (2, "a")]
    interactions = pd.DataFrame(rows, columns=["user_id", "content_id"]).assign(timestamp=T + np.arange(9))
    log = prepare(Tables("hand", interactions), LogSettings(boundaries=[T + 4, T + 6])).log
    task = RankingTask.build(log, InteractionIndex(log), "test", 0)  # 1: e; 2: e, a; e is unborn
    assert log.users.ids[task.user].tolist() == [1, 2]
    assert task.unborn.tolist() == [1, 1]
    assert task.positive[0].tolist() == [1]
    first, second = task.batches(InteractionIndex(log), 1)
    assert (first.unborn.tolist(), first.positive.shape) == ([1], (2, 0))
    assert (second.unborn.tolist(), second.positive.shape) == ([1], (2, 1))


def test_a_pair_takes_its_largest_label_and_first_time() -> None:
    rows = [(1, "a"), (2, "b"), (1, "b"), (3, "a"), (3, "c"), (1, "c"), (2, "c"), (2, "a"), (2, "a"), (2, "a")]
    interactions = pd.DataFrame(rows, columns=["user_id", "content_id"]).assign(
        timestamp=T + np.arange(10),
        type=["view", "like", "share", "view", "like", "view", "view", "share", "like", "view"],
    )
    log = prepare(Tables("hand", interactions), LogSettings(boundaries=[T + 6, T + 7])).log
    task = RankingTask.build(log, InteractionIndex(log), "test", 0)
    assert task.label.tolist() == [1]  # of share, like and view, with weights 1, 3 and 1
    assert task.first_time.tolist() == [(T + 7) * SECOND]


def naive(log: EventLog, split: Split) -> dict[tuple[int, int], tuple[float, int]]:
    """(user, content) -> largest label and first time, by a loop over all events."""
    start, stop = log.boundaries.period(split)
    met = {(u, c) for u, c, t in zip(log.user, log.content, log.time, strict=True) if t < start}
    found: dict[tuple[int, int], list[tuple[float, int]]] = defaultdict(list)
    for i in range(len(log)):
        pair = (int(log.user[i]), int(log.content[i]))
        if log.is_target[i] and start <= log.time[i] < stop and pair not in met:
            found[pair].append((float(log.label[i]), int(log.time[i])))
    return {pair: (max(x for x, _ in events), min(t for _, t in events)) for pair, events in found.items()}


@given(seed=st.integers(0, 10_000), repeats=st.sampled_from(["merge", "keep"]), split=st.sampled_from(SPLITS))
@settings(deadline=None, max_examples=15)
def test_like_a_naive_recomputation(seed: int, repeats: str, split: Split) -> None:
    log = tiny_log(seed, settings=LogSettings(repeats=repeats))
    index = InteractionIndex(log)
    task = RankingTask.build(log, index, split, seed)
    row, content = task.positive
    everything = naive(log, split)
    expected = {pair: found for pair, found in everything.items() if log.contents.exists_from[pair[1]] < task.time}
    pairs = list(zip(task.user[row].tolist(), content.tolist(), strict=True))
    assert pairs == sorted(expected)
    assert list(zip(task.label.tolist(), task.first_time.tolist(), strict=True)) == [expected[pair] for pair in pairs]
    assert task.user.tolist() == sorted({user for user, _ in everything})
    unborn = [sum(u == user for u, _ in everything.keys() - expected.keys()) for user in task.user]
    assert task.unborn.tolist() == unborn
    met = {(u, c) for u, c, t in zip(log.user, log.content, log.time, strict=True) if t < task.time}
    for (user, _), negative in zip(pairs, task.negative.tolist(), strict=True):
        allowed = {c for c in range(task.num_contents) if (user, c) not in met and (user, c) not in expected}
        assert negative in (allowed or {-1})


def test_negatives_are_uniform() -> None:
    """Over many seeds each content that a positive may be paired with comes about equally often."""
    log = tiny_log(1, num_contents=20)
    index = InteractionIndex(log)
    tasks = [RankingTask.build(log, index, "test", seed) for seed in range(600)]
    drawn = np.array([task.negative[0] for task in tasks])
    task = tasks[0]
    history = index.history(task.user[:1], task.time)[1]
    positive = task.positive[1][task.positive[0] == 0]
    allowed = np.setdiff1d(np.arange(task.num_contents), np.concatenate([history, positive]))
    counts = np.bincount(drawn, minlength=task.num_contents)
    assert counts[allowed].sum() == 600
    expected = 600 / len(allowed)
    chi_square = ((counts[allowed] - expected) ** 2 / expected).sum()
    assert chi_square < len(allowed) + 4 * np.sqrt(2 * len(allowed))


def test_seeds() -> None:
    log = tiny_log(num_events=200, num_contents=60)
    index = InteractionIndex(log)
    first, same, other = (RankingTask.build(log, index, "validation", seed).negative for seed in (0, 0, 1))
    assert first.tolist() == same.tolist() != other.tolist()


def test_a_user_who_met_everything_has_no_negative() -> None:
    rows = [(u, c) for c in "abc" for u in (1, 2)] + [(3, "a"), (3, "b"), (3, "c"), (1, "d")]
    interactions = pd.DataFrame(rows, columns=["user_id", "content_id"]).assign(timestamp=T + np.arange(10))
    log = prepare(Tables("full", interactions), LogSettings(train_share=0.6, validation_share=0.3)).log
    task = RankingTask.build(log, InteractionIndex(log), "validation", 0)
    assert log.users.ids[task.user].tolist() == [3]
    assert task.negative.tolist() == [-1, -1, -1]


def test_no_positive_is_an_error() -> None:
    log = hand_log()
    without = prepare(
        Tables("hand", pd.DataFrame({
            "user_id": log.users.ids[log.user[:9]], "content_id": log.contents.ids[log.content[:9]],
            "type": np.array(log.types, dtype=object)[log.type[:9]], "timestamp": log.time[:9],
        })), LogSettings(target=["like"], boundaries=[T + 6, T + 8]),
    ).log  # fmt: skip
    with pytest.raises(UserError, match="The test period has no positive"):
        RankingTask.build(without, InteractionIndex(without), "test", 0)


@given(seed=st.integers(0, 10_000), block=st.integers(1, 5))
@settings(deadline=None, max_examples=10)
def test_batches_put_together_are_the_task(seed: int, block: int) -> None:
    log = tiny_log(seed)
    index = InteractionIndex(log)
    task = RankingTask.build(log, index, "validation", 0)
    batches = list(task.batches(index, block))
    assert np.concatenate([batch.user for batch in batches]).tolist() == task.user.tolist()
    assert all(len(batch.user) == block for batch in batches[:-1])
    for name in ("label", "negative"):
        assert np.concatenate([getattr(batch, name) for batch in batches]).tolist() == getattr(task, name).tolist()
    first = 0
    for start, batch in zip(range(0, len(task.user), block), batches, strict=True):
        assert (batch.first, batch.time, batch.num_contents) == (first, task.time, task.num_contents)
        pairs = task.positive[:, first : first + len(batch.label)]
        assert np.add(batch.positive, [[start], [0]]).tolist() == pairs.tolist()
        assert batch.seen.tolist() == index.history(batch.user, task.time).tolist()
        first += len(batch.label)


def test_a_subset_keeps_the_pairs_of_its_users() -> None:
    log = tiny_log(3, num_users=20, num_events=200)
    index = InteractionIndex(log)
    task = RankingTask.build(log, index, "validation", 0)
    subset = task.subset(4, seed=1)
    assert len(subset.user) == 4 < len(task.user)
    assert (np.diff(subset.user) > 0).all()

    def pairs(of: RankingTask) -> dict[tuple[int, int], tuple[float, int, int]]:
        row, content = of.positive
        return dict(
            zip(
                zip(of.user[row].tolist(), content.tolist(), strict=True),
                zip(of.label.tolist(), of.first_time.tolist(), of.negative.tolist(), strict=True),
                strict=True,
            )
        )

    assert pairs(subset) == {pair: rest for pair, rest in pairs(task).items() if pair[0] in subset.user}
    assert subset.user.tolist() == task.subset(4, seed=1).user.tolist()
    assert any(subset.user.tolist() != task.subset(4, seed=other).user.tolist() for other in range(2, 6))
    assert task.subset(len(task.user), seed=1) is task
