from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.data.event_log import EventLog
from recsys.data.interaction_index import InteractionIndex
from recsys.data.preparation import LogSettings, prepare
from recsys.errors import UserError
from recsys.loading.batch import LinkBatch
from recsys.loading.negatives import Hard, InBatch, NegativeSampler, Popularity, Uniform
from recsys.loading.seeds import Window, cut_times, training_windows
from recsys.sources.base import Tables
from tests.factories import tiny_log, tiny_tables, with_future_changed
from tests.loading.helpers import bits, hand_log, make_loader, random_log

SAMPLERS: dict[str, NegativeSampler] = {
    "uniform": Uniform(count=3),
    "popularity": Popularity(count=3),
    "in_batch": InBatch(count=3),
    "hard": Hard(pool=6, count=3),
}


def moods_of(log: EventLog, content: int) -> list[int]:
    tags = log.content_tags[1][log.content_tags[0] == content]
    return [m for m, tag in enumerate(log.moods) if tag in tags]


def is_negative(log: EventLog, user: int, content: int, t: int, stop: int) -> bool:
    """Whether the content exists at t, the user had not met it, and does not meet it as a target before `stop`."""
    pair = (log.user == user) & (log.content == content)
    met = pair & ((log.time < t) | ((log.time < stop) & log.is_target))
    return bool(log.contents.exists_from[content] < t and not met.any())


def check_batch(log: EventLog, batch: LinkBatch, window: Window, stop: int, drawn: int) -> None:
    t = int(batch.time[0])
    assert (batch.time == t).all()
    assert batch.graph.time == t
    assert t < log.boundaries.t_val
    assert batch.keep == 3
    size, num_moods = len(batch.user), len(batch.mood)
    assert batch.content.shape == batch.log_q.shape == (size, 1 + drawn)
    assert batch.label.shape == (size,)
    assert batch.mood_seed.shape == (num_moods,)
    for integers in (batch.user, batch.content, batch.mood, batch.mood_seed, batch.time):
        assert integers.dtype == torch.int64
    for reals in (batch.label, batch.log_q):
        assert reals.dtype == torch.float32

    users = batch.graph["user"].n_id[batch.user].tolist()
    assert batch.cold.tolist() == [not (log.time[log.user == user] < t).any() for user in users]
    contents = batch.graph["content"].n_id[batch.content]
    assert (contents == batch.content).all()
    for user, (positive, *negatives), label in zip(users, contents.tolist(), batch.label.tolist(), strict=True):
        of_pair = (log.user == user) & (log.content == positive) & log.is_target
        assert not (of_pair & (log.time < t)).any()
        assert label == log.label[of_pair & (log.time < stop)].max()
        assert all(is_negative(log, user, content, t, stop) for content in negatives)

    check_moods(log, batch, window)


def check_moods(log: EventLog, batch: LinkBatch, window: Window) -> None:
    """Every seed has a mood of something that its user acts on in the window, if anything there has one."""
    acts: dict[int, set[int]] = {}
    for user, content in zip(window.user.tolist(), window.content.tolist(), strict=True):
        acts.setdefault(user, set()).update(moods_of(log, content))
    users = batch.graph["user"].n_id[batch.user].tolist()
    assert batch.mood_seed.tolist() == [row for row, user in enumerate(users) if acts[user]]
    for row, mood in zip(batch.mood_seed.tolist(), batch.mood.tolist(), strict=True):
        assert mood in acts[users[row]]


@pytest.mark.parametrize("name", SAMPLERS)
@given(seed=st.integers(0, 12), max_seeds=st.sampled_from([None, 1, 3]), reach=st.sampled_from([1, 2]))
@settings(deadline=None, max_examples=8)
def test_batches_are_new_pairs_with_true_negatives(name: str, seed: int, max_seeds: int | None, reach: int) -> None:
    log = random_log(seed)
    windows = training_windows(log, InteractionIndex(log), snapshots=3, start_share=0.3, reach=reach)
    cuts = [*cut_times(log, 3, 0.3).tolist(), *[log.boundaries.t_val] * reach]
    loader = make_loader(log, SAMPLERS[name], snapshots=3, start_share=0.3, reach=reach, max_seeds=max_seeds)
    seeds = []
    for batch in loader.batches(epoch=1):
        t = int(batch.time[0])
        (window,) = (each for each in windows if each.time == t)
        check_batch(log, batch, window, cuts[cuts.index(t) + reach], 6 if name == "hard" else 3)
        users = batch.graph["user"].n_id[batch.user].tolist()
        assert max_seeds is None or len(users) <= max_seeds
        seeds += [(t, user, content) for user, content in zip(users, batch.content[:, 0].tolist(), strict=True)]
    expected = [(w.time, u, c) for w in windows for u, c in zip(w.user.tolist(), w.content.tolist(), strict=True)]
    assert sorted(seeds) == expected


def test_a_window_split_into_batches() -> None:
    log = tiny_log()
    whole = make_loader(log, snapshots=3)
    split = make_loader(log, snapshots=3, max_seeds=2)
    sizes = [len(batch.user) for batch in whole.batches(0)]
    assert len(split) == sum(-(-size // 2) for size in sizes) == len(list(split.batches(0)))
    assert len(split) > len(whole) == 3

    def partition(epoch: int) -> set[tuple[int, ...]]:
        return {(int(b.time[0]), *b.content[:, 0].tolist()) for b in split.batches(epoch)}

    assert partition(0) != partition(1)


def test_newcomers_follow_the_existing_users() -> None:
    # At 30 users 0 and 1 exist; 3 and 2 arrive in the window. Contents 0 and 1 have no event.
    events = [(0, 2, 10), (1, 2, 20), (0, 3, 25), (1, 3, 30), (2, 2, 40), (3, 3, 50), (3, 2, 60), (0, 2, 70)]
    (batch,) = make_loader(hand_log(events, 70), snapshots=1, start_share=0.5).batches(0)
    assert batch.user.tolist() == [1, 2, 3, 3]
    assert batch.content[:, 0].tolist() == [3, 2, 2, 3]
    assert batch.graph["user"].n_id.tolist() == [0, 1, 2, 3]
    assert all(int(store.edge_index.max()) < 4 for store in batch.graph.edge_stores if store.edge_index.numel())


def test_newcomers_are_numbered_by_their_place_among_the_newcomers() -> None:
    # User 3 exists from 35 on but does nothing new before 50: only user 4 is a newcomer with a seed at 30.
    events = [(0, 2, 10), (1, 2, 20), (0, 3, 25), (1, 3, 30), (2, 4, 35), (3, 3, 50), (0, 2, 70)]
    (batch,) = make_loader(hand_log(events, 70), snapshots=1, start_share=0.5).batches(0)
    assert batch.user.tolist() == [1, 2]
    assert batch.graph["user"].n_id.tolist() == [0, 1, 3]


def test_moods_worked_by_hand() -> None:
    # From 30 on user 0 likes contents 3 and 4, user 2 only content 4, which has two moods; content 3 has one.
    events = [(0, 2, 10), (1, 3, 20), (1, 4, 25), (0, 3, 30), (2, 4, 40), (0, 4, 45), (0, 2, 50)]
    log = hand_log(events, 50, moods_of={4: ["calm", "sad"], 3: ["old"]})
    loader = make_loader(log, snapshots=1, start_share=0.5)
    stated: dict[tuple[int, int], set[str]] = {}
    for epoch in range(20):
        (batch,) = loader.batches(epoch)
        users = batch.graph["user"].n_id[batch.user].tolist()
        assert batch.mood_seed.tolist() == [0, 1, 2]
        for row, mood in enumerate(batch.mood.tolist()):
            stated.setdefault((users[row], int(batch.content[row, 0])), set()).add(["calm", "old", "sad"][mood])
    assert stated == {(0, 3): {"calm", "old", "sad"}, (0, 4): {"calm", "old", "sad"}, (2, 4): {"calm", "sad"}}


def test_no_moods_give_empty_tensors() -> None:
    events = [(0, 2, 10), (1, 3, 20), (0, 3, 30), (1, 2, 40), (0, 2, 50)]
    (batch,) = make_loader(hand_log(events, 50), snapshots=1, start_share=0.5).batches(0)
    assert len(batch.user) == 2
    assert batch.mood.shape == batch.mood_seed.shape == (0,)


@pytest.mark.parametrize("name", SAMPLERS)
@given(seed=st.integers(0, 10_000))
@settings(deadline=None, max_examples=5)
def test_no_bit_of_a_batch_depends_on_what_happens_from_validation_on(name: str, seed: int) -> None:
    tables = tiny_tables(seed % 7)
    boundaries = prepare(tables, LogSettings()).log.boundaries
    cuts = LogSettings(boundaries=[boundaries.t_val, boundaries.t_test])

    def epoch_bits(source: Tables) -> list[bytes]:
        loader = make_loader(prepare(source, cuts).log, SAMPLERS[name], snapshots=4, max_seeds=5)
        return [bits(batch) for batch in loader.batches(epoch=0)]

    changed = with_future_changed(tables, boundaries.t_val, np.random.default_rng(seed))
    assert epoch_bits(tables) == epoch_bits(changed)


@pytest.mark.parametrize("name", SAMPLERS)
def test_same_seed_same_bits_other_seed_or_epoch_other_bits(name: str) -> None:
    log = tiny_log(num_users=20, num_contents=30, num_events=200)

    def epoch_bits(seed: int, epoch: int) -> list[bytes]:
        return [bits(batch) for batch in make_loader(log, SAMPLERS[name], seed=seed, snapshots=4).batches(epoch)]

    first = epoch_bits(seed=1, epoch=2)
    assert first == epoch_bits(seed=1, epoch=2)
    assert not set(first) & set(epoch_bits(seed=2, epoch=2))
    assert not set(first) & set(epoch_bits(seed=1, epoch=3))


def test_a_batch_depends_on_its_epoch_and_place_alone() -> None:
    loader = make_loader(tiny_log(), snapshots=4, max_seeds=4)
    expected = {epoch: [bits(batch) for batch in loader.batches(epoch)] for epoch in (0, 1, 2)}
    for epoch in (2, 0):
        for place in reversed(range(len(loader))):
            assert bits(loader.batch(epoch, place)) == expected[epoch][place]


def test_workers_give_the_same_batches_and_none_touches_the_global_random_state() -> None:
    log = tiny_log()
    state = torch.get_rng_state()
    here = [bits(batch) for batch in make_loader(log, snapshots=4, max_seeds=5).batches(1)]
    workers = [bits(batch) for batch in make_loader(log, snapshots=4, max_seeds=5, num_workers=2).batches(1)]
    assert here == workers
    assert (torch.get_rng_state() == state).all()


def test_the_order_of_windows_changes_with_the_epoch() -> None:
    loader = make_loader(tiny_log(), snapshots=4)
    orders = {tuple(int(batch.time[0]) for batch in loader.batches(epoch)) for epoch in range(6)}
    assert len(orders) > 1
    assert len({tuple(sorted(order)) for order in orders}) == 1


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"max_seeds": 0}, "loader.max_seeds is 0"),
        ({"max_seeds": 2.5}, "loader.max_seeds is 2.5: it must be a whole number of at least 1, or null"),
        ({"num_workers": -1}, "loader.num_workers is -1"),
        ({"snapshots": 0}, "loader.snapshots is 0"),
    ],
)
def test_arguments_out_of_range(settings_: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_loader(tiny_log(), **settings_)
