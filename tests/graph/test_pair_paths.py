"""What paths say about pairs, against walks in plain Python; nothing at or after the time can be felt."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.data.event_log import EventLog
from recsys.graph.pair_paths import HALF_LIFE, KEPT, PairPaths, signal_names
from recsys.graph.path_kernel import PATH_SIGNALS
from recsys.graph.settings import GraphSettings
from tests.factories import tiny_log
from tests.graph.logs import log_of, with_other_future

# Ages are told apart in steps.
LATE = [PATH_SIGNALS.index(name) for name in ("late_paths_of_late", "next", "next_after_last")]
GROUPS = ("creator", "tag", "mood", "category")


@dataclass(frozen=True)
class Breadth:
    """The breadths of `PairPaths`."""

    history: int = 50
    users: int = 64
    contents: int = 128
    steps: int = 5

    def over(self, log: EventLog) -> PairPaths:
        return PairPaths(
            log, GraphSettings(), history=self.history, users=self.users, contents=self.contents, steps=self.steps
        )


def walk(log: EventLog, user: int, t: int, breadth: Breadth) -> np.ndarray:
    """The first eight signals of a user with every content of the log, float64 [C, 8]."""
    n = int((log.time < t).sum())
    met: dict[int, list[int]] = {}  # contents of each user in the order of the first meeting, and so users of contents
    met_by: dict[int, list[int]] = {}
    first: dict[tuple[int, int], int] = {}
    wanted: set[tuple[int, int]] = set()
    for i in range(n):
        pair = v, c = int(log.user[i]), int(log.content[i])
        if pair not in first:
            first[pair] = i
            met.setdefault(v, []).append(c)
            met_by.setdefault(c, []).append(v)
        if log.is_target[i]:
            wanted.add(pair)

    def late(v: int, c: int) -> float:
        return float(0.5 ** ((n - 1 - first[v, c]) / n / HALF_LIFE))

    def root(c: int) -> float:
        return float(max(len(met_by.get(c, [])), 1) ** -0.5)

    def root_of_targets(c: int) -> float:
        return float(max(sum(pair[1] == c for pair in wanted), 1) ** -0.5)

    mine = met.get(user, [])
    total = np.zeros((len(log.contents), len(PATH_SIGNALS)))
    for j, c in enumerate(mine[: -breadth.history - 1 : -1]):
        for v in met_by[c][-breadth.users :]:
            if v == user:
                continue
            num_wanted = sum(pair[0] == v for pair in wanted)
            for d in met[v][-breadth.contents :]:
                all_wanted = {(user, c), (v, c), (v, d)} <= wanted
                path = root(c) * root(d) / len(met[v])
                total[d, 1:4] += [path, path * KEPT**j, path * KEPT**j * late(v, c) * late(v, d)]
                total[d, 5] += root(c) * root(d)
                if all_wanted:
                    total[d, 0] += root_of_targets(c) * root_of_targets(d) / num_wanted
                    total[d, 4] += root_of_targets(c) * root_of_targets(d)
            here = met[v].index(c)
            for gap, d in enumerate(met[v][here + 1 : here + 1 + breadth.steps], 1):
                near = root(c) * root(d) * late(v, c) / gap
                total[d, 6:] += [near * KEPT**j, near * (j == 0)]
    total[mine] = 0
    largest = total.max(axis=0)
    return total / np.where(largest > 0, largest, 1)


def affinity(log: EventLog, user: int, t: int, groups_of: dict[int, set[int]], history: int) -> list[float]:
    """Cosine of a user's groups with each content's own, over the `history` contents that the user met last."""
    past = log.content[(log.time < t) & (log.user == user)]
    mine = list(dict.fromkeys(past.tolist()))[-history:]
    existing = [c for c in range(len(log.contents)) if log.contents.exists_from[c] < t]
    profile: dict[int, float] = {}
    for c in mine:
        groups = groups_of.get(c, set())
        for g in groups:
            profile[g] = profile.get(g, 0) + len(groups) ** -0.5
    for g in profile:
        profile[g] *= np.log1p(len(existing) / sum(g in groups_of.get(c, ()) for c in existing))
    norm = sum(value**2 for value in profile.values()) ** 0.5

    def cosine(content: int) -> float:
        groups = groups_of.get(content, set())
        met = sum(profile.get(g, 0.0) for g in groups)
        return met / norm / len(groups) ** 0.5 if met else 0.0

    return [cosine(content) for content in existing]


def numbered(items: Sequence[int], first: int = 0) -> list[int]:
    """The items by their first appearance."""
    number = {item: first + place for place, item in enumerate(dict.fromkeys(items))}
    return [number[item] for item in items]


@st.composite
def logs(draw: st.DrawFn) -> EventLog:
    """Few users and contents, so that many events repeat a pair or share a time; user 0 and content 0 have no event."""
    rows = draw(
        st.lists(
            st.tuples(st.integers(0, 4), st.integers(0, 6), st.integers(0, 2), st.booleans()), min_size=1, max_size=40
        )
    )
    user, content = (numbered([row[place] for row in rows], first=1) for place in (0, 1))
    time = np.cumsum([row[2] for row in rows]) + 10
    groups = draw(st.lists(st.lists(st.integers(0, 5), max_size=3), min_size=8, max_size=8))
    num_contents = max(content) + 1
    pairs = [(c, g) for c, of in enumerate(groups[:num_contents]) for g in sorted(set(of))]
    tag = numbered([g for _, g in pairs])
    pairs = sorted((c, g) for (c, _), g in zip(pairs, tag, strict=True))
    maker = [of[0] if of else -1 for of in groups[:num_contents]]
    number = dict(zip([m for m in maker if m >= 0], numbered([m for m in maker if m >= 0]), strict=True))
    log = log_of(
        [(u, c, "view", None, int(at)) for u, c, at in zip(user, content, time, strict=True)],
        t_val=int(time[-1]) + 1,
        t_test=int(time[-1]) + 1,
        user_created={0: 0},
        content_created={0: 0},
        creator_of=[number.get(m, -1) for m in maker],
        content_tags=pairs,
        tag_kinds=[("tag", "mood", "category")[g % 3] for g in range(max(tag, default=-1) + 1)],
    )
    return replace(log, is_target=np.array([row[3] for row in rows]))


def block(paths: PairPaths, log: EventLog, t: int) -> np.ndarray:
    """All signals of all users, newcomers too, with all contents that exist."""
    return paths.of_block(np.arange(len(log.users)), np.arange(log.contents.count_before(t)), t)


@settings(deadline=None, max_examples=150)
@given(
    log=logs(),
    breadth=st.one_of(
        st.just(Breadth()),
        st.builds(Breadth, st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(0, 2)),
    ),
    where=st.floats(0, 1),
)
def test_paths_equal_a_plain_walk(log: EventLog, breadth: Breadth, where: float) -> None:
    t = int(log.time[0]) + round(where * (int(log.time[-1]) + 1 - int(log.time[0])))
    found = block(breadth.over(log), log, t)[..., : len(PATH_SIGNALS)]
    assert found.dtype == np.float32
    assert (found >= 0).all()
    assert (found <= 1 + 1e-6).all()
    for user in range(len(log.users)):
        expected = walk(log, user, t, breadth)[: found.shape[1]]
        exact = [k for k in range(len(PATH_SIGNALS)) if k not in LATE]
        np.testing.assert_allclose(found[user][:, exact], expected[:, exact], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(found[user][:, LATE], expected[:, LATE], rtol=2e-2, atol=1e-6)


@settings(deadline=None, max_examples=100)
@given(log=logs(), history=st.sampled_from([1, 2, 50]), where=st.floats(0, 1))
def test_affinities_equal_a_loop(log: EventLog, history: int, where: float) -> None:
    t = int(log.time[0]) + round(where * (int(log.time[-1]) + 1 - int(log.time[0])))
    kind = list(log.tags.attributes["kind"])
    groups: dict[str, dict[int, set[int]]] = {name: {} for name in GROUPS}
    for content, maker in enumerate(log.creator_of):
        if maker >= 0:
            groups["creator"][content] = {int(maker)}
    for content, tag in log.content_tags.T:
        groups[kind[tag]].setdefault(int(content), set()).add(int(tag))
    paths = PairPaths(log, GraphSettings(), history=history)
    assert paths.names == (*PATH_SIGNALS, *(name for name in GROUPS if groups[name]))
    found = block(paths, log, t)
    for place, name in enumerate(paths.names[len(PATH_SIGNALS) :], len(PATH_SIGNALS)):
        for user in range(len(log.users)):
            expected = affinity(log, user, t, groups[name], 2 * history)
            np.testing.assert_allclose(found[user, :, place], expected, rtol=1e-4, atol=1e-6)


def test_paths_by_hand() -> None:
    """User 0 met a; user 1 a, b, c, d in turn; user 2 only b and c; user 3 c.

    From user 0 over a and user 1 lead walks to b, c and d, each by 1 / (4 sqrt(2 d)) with d = 2, 3 and 1. One, two and
    three events after a: 1 / gap, 1/2 and 1/3, over sqrt(d).
    """
    rows = [(0, 0), (1, 0), (1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (3, 2)]
    log = log_of([(u, c, "view", None, 10 * (i + 1)) for i, (u, c) in enumerate(rows)], t_val=100, t_test=100)
    log = replace(log, is_target=np.array([True, True, False, True, True, True, True, False]))
    paths = PairPaths(log, GraphSettings())
    assert paths.names == PATH_SIGNALS
    b, c, d = paths.of_block(np.array([0]), np.array([1, 2, 3]), 100)[0].astype(np.float64)
    root = np.sqrt([2, 3, 1])
    for name in ("all_paths", "all_paths_of_late", "all_cosine"):
        np.testing.assert_allclose([x[PATH_SIGNALS.index(name)] for x in (b, c, d)], 1 / root, rtol=1e-5)
    # User 1 did not want b, and of c's three events two are target events.
    for name in ("target_paths", "target_cosine"):
        np.testing.assert_allclose([x[PATH_SIGNALS.index(name)] for x in (b, c, d)], [0, 0.5**0.5, 1], rtol=1e-5)
    near = np.array([1, 1 / 2, 1 / 3]) / root
    for name in ("next", "next_after_last"):
        np.testing.assert_allclose([x[PATH_SIGNALS.index(name)] for x in (b, c, d)], near / near[0], rtol=1e-5)
    # Of 8 events, b, c and d of user 1 are 5, 4 and 3 events old: half for every 5%.
    late = 0.5 ** (np.array([5, 4, 3]) / 8 / 0.05) / root
    place = PATH_SIGNALS.index("late_paths_of_late")
    np.testing.assert_allclose([x[place] for x in (b, c, d)], late / late.max(), rtol=1e-4)


def test_a_way_back_and_a_user_nobody_shares_a_content_with_lead_nowhere() -> None:
    log = log_of(
        [(0, 0, "view", None, 10), (0, 1, "view", None, 20), (1, 2, "view", None, 30), (2, 2, "view", None, 40)],
        t_val=50,
        t_test=50,
    )
    assert not block(PairPaths(log, GraphSettings()), log, 50).any()


def test_the_seen_the_cold_and_newcomers_have_no_paths() -> None:
    log = tiny_log(2)
    t = int(log.time[len(log) // 4])
    before = slice(log.count_before(t))
    paths = PairPaths(log, GraphSettings())
    found = block(paths, log, t)
    of_paths = found[..., : len(PATH_SIGNALS)]
    assert not of_paths[log.user[before], log.content[before]].any()
    cold = np.setdiff1d(np.arange(len(log.users)), log.user[before])
    assert (cold >= log.users.count_before(t)).any()
    assert not found[cold].any()
    largest = of_paths.max(axis=1)
    assert (np.isclose(largest, 1) | (largest == 0)).all()
    assert largest.any()


def test_without_metadata_there_are_only_paths() -> None:
    log = log_of([(0, 0, "view", None, 10), (1, 0, "view", None, 20), (1, 1, "view", None, 30)], t_val=40, t_test=40)
    assert PairPaths(log, GraphSettings()).names == signal_names(log, GraphSettings()) == PATH_SIGNALS


def test_what_is_switched_off_or_comes_after_validation_began_has_no_signal() -> None:
    log = tiny_log(0)
    assert signal_names(log, GraphSettings()) == (*PATH_SIGNALS, "creator", "tag", "mood")
    assert signal_names(log, GraphSettings(creators=False)) == (*PATH_SIGNALS, "tag", "mood")
    assert signal_names(log, GraphSettings(tags=False)) == (*PATH_SIGNALS, "creator")
    late = log_of(
        [(0, 0, "view", None, 10), (0, 1, "view", None, 30)],
        t_val=20,
        t_test=40,
        creator_of=[-1, 0],
        content_tags=[(0, 0), (1, 0), (1, 1)],
        tag_kinds=["tag", "mood"],
    )
    assert signal_names(late, GraphSettings()) == (*PATH_SIGNALS, "tag")


def test_nothing_before_the_first_event_and_nobody_asked() -> None:
    log = tiny_log(0)
    paths, num = PairPaths(log, GraphSettings()), len(signal_names(log, GraphSettings()))
    t = log.boundaries.t_val
    assert not paths.of_block(np.arange(3), np.arange(2), int(log.time[0])).any()
    assert paths.of_block(np.arange(0), np.arange(4), t).shape == (0, 4, num)
    assert paths.of_block(np.arange(3), np.arange(0), t).shape == (3, 0, num)
    none = np.empty(0, dtype=np.int64)
    assert paths.of_pairs(none, np.empty((0, 5), dtype=np.int64), none).shape == (0, 5, num)
    assert paths.of_pairs(np.arange(2), np.empty((2, 0), dtype=np.int64), np.array([t, t])).shape == (2, 0, num)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), size=st.integers(1, 30), width=st.integers(1, 4), num_times=st.integers(1, 6))
def test_pairs_have_the_bits_of_blocks(seed: int, size: int, width: int, num_times: int) -> None:
    """Users, times and contents come in any order and repeatedly."""
    rng, log = np.random.default_rng(seed), tiny_log(seed % 3)
    paths = PairPaths(log, GraphSettings())
    time = rng.choice(rng.choice(log.time, num_times), size)
    user, content = rng.integers(0, len(log.users), size), rng.integers(0, len(log.contents), (size, width))
    found = paths.of_pairs(user, content, time)
    assert found.shape == (size, width, len(paths.names))
    for row in range(size):
        expected = paths.of_block(user[[row]], content[row], int(time[row]))
        assert found[row].tobytes() == expected[0].tobytes()


def test_nobodys_bits_depend_on_who_else_is_asked_for_or_on_threads() -> None:
    log = tiny_log(2, num_users=40, num_contents=60, num_events=600)
    paths, t = PairPaths(log, GraphSettings()), log.boundaries.t_test
    users, contents = np.arange(len(log.users)), np.arange(log.contents.count_before(t))
    whole = paths.of_block(users, contents, t)
    assert whole.any(axis=(0, 1)).all()
    rng = np.random.default_rng(0)
    some, few = rng.choice(users, 13), rng.choice(contents, 9)
    assert paths.of_block(some, few, t).tobytes() == whole[np.ix_(some, few)].tobytes()
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert paths.of_block(users, contents, t).tobytes() == whole.tobytes()
    finally:
        torch.set_num_threads(before)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), where=st.one_of(st.just("event"), st.floats(0.05, 1.0)))
def test_no_bit_depends_on_what_happens_at_or_after_the_time(seed: int, where: str | float) -> None:
    rng, log = np.random.default_rng(seed), tiny_log(seed % 5)
    if isinstance(where, float):
        t = int(log.time[0] + where * (log.time[-1] - log.time[0]))
    else:
        t = int(log.time[rng.integers(1, len(log))])
    other = with_other_future(log, t, rng)
    users, contents = np.arange(log.users.count_before(t)), np.arange(log.contents.count_before(t))
    first, second = PairPaths(log, GraphSettings()), PairPaths(other, GraphSettings())
    names = [name for name in first.names if name in second.names]  # tags may come before t_val in only one of them
    ours, theirs = (
        paths.of_block(users, contents, t)[..., [paths.names.index(name) for name in names]]
        for paths in (first, second)
    )
    assert ours.tobytes() == theirs.tobytes()
    asked = rng.integers(0, len(users), 6), rng.integers(0, len(contents), (6, 3))
    times = np.sort(np.append(rng.integers(log.time[0], t, 5, endpoint=True), t))
    ours, theirs = (
        paths.of_pairs(*asked, times)[..., [paths.names.index(name) for name in names]] for paths in (first, second)
    )
    assert ours.tobytes() == theirs.tobytes()


def test_an_event_just_before_the_time_is_felt() -> None:
    rows = [(0, 0, 10), (1, 0, 20), (1, 1, 30)]
    log = log_of([(u, c, "view", None, at) for u, c, at in rows], t_val=40, t_test=40)
    paths = PairPaths(log, GraphSettings())
    asked = np.array([0]), np.array([1])
    assert not paths.of_block(*asked, 30).any()
    np.testing.assert_allclose(paths.of_block(*asked, 31)[0, 0], 1, rtol=1e-6)
