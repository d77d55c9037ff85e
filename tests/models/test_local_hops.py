"""Learned hops against dense products in float64, values and gradients; nothing at or after the time can be felt."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from recsys.data.event_log import EventLog
from recsys.graph.local_kernel import AGES
from recsys.graph.local_walks import LocalWalks
from recsys.graph.pair_paths import PairPaths, Queries
from recsys.graph.path_kernel import PATH_SIGNALS
from recsys.graph.schema import GraphSchema
from recsys.graph.settings import GraphSettings
from recsys.models.local_hops import HOPS, OF_TARGETS, PLACES, SPEED, LocalHops
from tests.factories import tiny_log
from tests.graph.logs import log_of, with_other_future
from tests.models.helpers import same_bits

WIDE = {"history": 50, "users": 64, "contents": 128}
NARROW = {"history": 3, "users": 2, "contents": 4}


def log_with_targets(seed: int = 0) -> EventLog:
    """A log in which likes and ratings are targets and the other types are not."""
    log = tiny_log(seed, num_users=10, num_contents=16, num_events=140)
    return replace(log, is_target=np.isin(log.type, [log.types.index("like"), log.types.index("rating")]))


def walks_of(log: EventLog, **breadths: int) -> LocalWalks:
    return LocalWalks(log, PairPaths(log, GraphSettings(), **breadths))


def hops_of(log: EventLog, *, seed: int | None = 0, dropout: float = 0.0) -> LocalHops:
    """Hops with random weights, or with those they start with."""
    schema = GraphSchema({}, {}, (), log.types, 0, (), (), {})
    hops = LocalHops(schema, dropout=dropout)
    if seed is not None:
        generator = torch.Generator().manual_seed(seed)
        for parameter in hops.parameters():
            parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator)
    return hops.eval()


def dense(hops: LocalHops, log: EventLog, user: int, t: int, breadths: dict[str, int]) -> tuple[Tensor, bool]:
    """The signals of a user with every content, [C, K], by products of whole matrices; whether any largest is tied."""
    n = int((log.time < t).sum())
    shape = len(log.users), len(log.contents)
    event = np.full(shape, n)
    types = np.zeros((*shape, len(log.types) + 1), dtype=bool)
    lists: dict[int, list[int]] = {v: [] for v in range(shape[0])}  # contents of users, and users of contents
    met_by: dict[int, list[int]] = {c: [] for c in range(shape[1])}
    for i in range(n):
        u, c = int(log.user[i]), int(log.content[i])
        if event[u, c] == n:
            event[u, c] = i
            lists[u].append(c)
            met_by[c].append(u)
        types[u, c, log.type[i]] = True
        types[u, c, -1] |= log.is_target[i]
    met, target = event < n, types[..., -1]
    kind = sum((n - 1 - event >= share * n).astype(int) for share in AGES) + target * (len(AGES) + 1)
    counts = torch.from_numpy(np.where(OF_TARGETS, target[..., None], met[..., None])).double()
    of_user, of_content = counts.sum(dim=1).clamp(min=1), counts.sum(dim=0).clamp(min=1)  # degrees, [U, K] and [C, K]
    to_users, to_contents = ((SPEED * w.double()).exp()[kind] for w in (hops.to_users, hops.to_contents))

    state = torch.zeros(shape[0], len(HOPS), dtype=torch.float64)
    for place, c in enumerate(lists[user][::-1][: breadths["history"]]):
        marks = torch.from_numpy(types[user, c]).double()
        start = (SPEED * (hops.place[min(int(np.log2(place + 1)), PLACES - 1)] + marks @ hops.types.double())).exp()
        rows = [v for v in met_by[c][-breadths["users"] :] if v != user]
        onto = torch.zeros(shape[0], 1, dtype=torch.float64)
        onto[rows] = 1
        state = state + onto * start * to_users[:, c] / of_content[c].sqrt()
    state = state / of_user**hops.degree
    is_tied = has_ties(state)
    state = (state / state.amax(dim=0).clamp(min=1e-30) @ hops.mix.double()).relu()

    latest = torch.zeros(shape, dtype=torch.float64)
    for v, contents in lists.items():
        latest[v, contents[-breadths["contents"] :]] = 1
    total = (state[:, None] * latest[..., None] * to_contents).sum(dim=0) / of_content.sqrt()
    total = total * torch.from_numpy(~met[user])[:, None]
    return total / total.amax(dim=0).clamp(min=1e-30), is_tied or has_ties(total)


def has_ties(values: Tensor) -> bool:
    """Whether the two largest of any column, [n, K], are as good as equal: there, gradients may go to either."""
    largest, second = values.topk(2, dim=0).values
    return bool(((largest > 0) & (second > (1 - 1e-5) * largest)).any())


@pytest.mark.parametrize("breadths", [WIDE, NARROW], ids=["wide", "narrow"])
@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 1000), share=st.floats(0.1, 1.0))
def test_values_and_gradients_are_those_of_dense_products(breadths: dict[str, int], seed: int, share: float) -> None:
    log, hops = log_with_targets(seed % 7), hops_of(log_with_targets(), seed=seed)
    t = int(log.time[0] + share * (log.time[-1] + 1 - log.time[0]))
    users, contents = np.arange(len(log.users)), np.arange(len(log.contents))
    found = hops(walks_of(log, **breadths), Queries.of_block(users, contents, t)).view(len(users), len(contents), -1)
    signals, is_tied = zip(*(dense(hops, log, user, t, breadths) for user in users), strict=True)
    expected = torch.stack(signals)
    torch.testing.assert_close(found, expected.float(), atol=1e-5, rtol=1e-4)
    # Where two are the largest, there is no gradient to agree on.
    weights = torch.from_numpy(np.random.default_rng(seed).normal(size=expected.shape))
    weights[torch.tensor(is_tied)] = 0
    if expected.any() and not all(is_tied):
        parameters = list(hops.parameters())
        due = torch.autograd.grad((expected * weights).sum(), parameters)
        for ours, theirs in zip(torch.autograd.grad((found * weights).sum(), parameters), due, strict=True):
            torch.testing.assert_close(ours, theirs, atol=2e-4 * float(theirs.abs().max()) + 1e-4, rtol=1e-3)


def test_every_hop_learns() -> None:
    log, hops = log_with_targets(), hops_of(log_with_targets())
    queries = Queries.of_block(np.arange(len(log.users)), np.arange(len(log.contents)), log.boundaries.t_test)
    hops(walks_of(log), queries).square().sum().backward()
    for name, parameter in hops.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name


def test_hops_start_at_the_fixed_walks_of_paths() -> None:
    """Exactly where no weight depends on age; where every event is a target, nothing else is left of a walk."""
    log = tiny_log(3, num_users=10, num_contents=16, num_events=140)
    t, users, contents = log.boundaries.t_test, np.arange(len(log.users)), np.arange(len(log.contents))
    paths = PairPaths(log, GraphSettings())
    fixed = torch.from_numpy(paths.of_block(users, contents, t))
    hops, queries = hops_of(log, seed=None), Queries.of_block(users, contents, t)
    found = hops(LocalWalks(log, paths), queries).view(*fixed.shape[:2], -1)
    names = ("target_paths", "all_paths", "all_paths_of_late", "late_paths_of_late", "target_cosine", "all_cosine")
    for place, name in enumerate(names):
        due = fixed[..., PATH_SIGNALS.index(name)]
        if "late" in name:
            assert torch.corrcoef(torch.stack([due.flatten(), found[..., place].flatten()]))[0, 1] > 0.8
        else:
            torch.testing.assert_close(found[..., place], due, atol=1e-5, rtol=1e-4)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), size=st.integers(1, 30), width=st.integers(1, 4), num_times=st.integers(1, 6))
def test_pairs_have_the_bits_of_blocks(seed: int, size: int, width: int, num_times: int) -> None:
    """Users, times and contents come in any order and repeatedly."""
    rng, log = np.random.default_rng(seed), log_with_targets(seed % 3)
    walks, hops = walks_of(log), hops_of(log, seed=seed)
    time = rng.choice(rng.choice(log.time, num_times), size)
    user, content = rng.integers(0, len(log.users), size), rng.integers(0, len(log.contents), (size, width))
    queries, order = Queries.of_pairs(user, content, time)
    found = hops(walks, queries).view(size, width, -1)
    for row, of_pair in zip(order, found, strict=True):
        alone = hops(walks, Queries.of_block(user[[row]], content[row], int(time[row])))
        assert same_bits(of_pair, alone)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), share=st.floats(0.05, 1.0))
def test_no_bit_depends_on_what_happens_at_or_after_the_time(seed: int, share: float) -> None:
    rng, log = np.random.default_rng(seed), log_with_targets(seed % 5)
    t = int(log.time[0] + share * (log.time[-1] - log.time[0]))
    other = with_other_future(log, t, rng)
    assert other.types == log.types
    hops = hops_of(log, seed=seed)
    users, contents = np.arange(log.users.count_before(t)), np.arange(log.contents.count_before(t))
    block = Queries.of_block(users, contents, t)
    assert same_bits(hops(walks_of(log), block), hops(walks_of(other), block))
    times = np.append(rng.integers(log.time[0], t, 5, endpoint=True), t)
    pairs, _ = Queries.of_pairs(rng.integers(0, len(users), 6), rng.integers(0, len(contents), (6, 3)), times)
    assert same_bits(hops(walks_of(log), pairs), hops(walks_of(other), pairs))


def test_an_event_just_before_the_time_is_felt() -> None:
    rows = [(0, 0, 10), (1, 0, 20), (1, 1, 30)]
    log = log_of([(u, c, "view", None, at) for u, c, at in rows], t_val=40, t_test=40)
    walks, hops = walks_of(log), hops_of(log, seed=None)
    asked = np.array([0]), np.array([1])
    assert not hops(walks, Queries.of_block(*asked, 30)).any()
    torch.testing.assert_close(hops(walks, Queries.of_block(*asked, 31)), torch.ones(1, len(HOPS)))


def test_nobody_asked_and_nothing_before() -> None:
    log = log_with_targets()
    walks, hops, first = walks_of(log), hops_of(log), int(log.time[0])
    nobody, some = np.arange(0), np.arange(3)
    assert not hops(walks, Queries.of_block(some, some, first)).any()
    for users, contents in ((nobody, some), (some, nobody)):
        assert hops(walks, Queries.of_block(users, contents, first + 1)).shape == (0, len(HOPS))


def test_contents_of_the_history_are_dropped_in_training_only() -> None:
    log = log_with_targets()
    walks, hops = walks_of(log), hops_of(log, dropout=0.5)
    queries = Queries.of_block(np.arange(len(log.users)), np.arange(len(log.contents)), log.boundaries.t_test)
    assert same_bits(hops(walks, queries), hops(walks, queries))
    hops.train()
    assert not torch.equal(hops(walks, queries), hops(walks, queries))


def test_no_bit_depends_on_threads() -> None:
    log = log_with_targets()
    queries = Queries.of_block(np.arange(len(log.users)), np.arange(len(log.contents)), log.boundaries.t_test)
    found, before = [], torch.get_num_threads()
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            hops = hops_of(log)
            signals = hops(walks_of(log), queries)
            signals.square().sum().backward()
            found.append([signals, *(parameter.grad for parameter in hops.parameters())])
    finally:
        torch.set_num_threads(before)
    assert all(same_bits(one, other) for one, other in zip(*found, strict=True))
