"""The flat table against a loop over events, and against the graph's own features."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.data.event_log import EventLog
from recsys.data.features import fit_encoders
from recsys.data.preparation import LogSettings, prepare
from recsys.graph.temporal_graph import TemporalGraph
from recsys.models.baselines.flat_table import FlatTable
from recsys.models.baselines.pair_counts import RECENT, PairCounts, content_groups, pair_names
from tests.factories import tiny_log, tiny_tables, with_future_changed

AGES = 10_000


def busy_log(seed: int) -> EventLog:
    """A log in which users have more contents than are compared, and not all types are targets."""
    return tiny_log(seed, num_users=4, num_contents=45, num_events=250, settings=LogSettings(target=["like", "rating"]))


def groups_of(log: EventLog, relation: str, content: int) -> set[object]:
    if relation == "creator":
        return {log.creator_of[content]} - {-1}
    if relation == "category":
        return {category for category in log.contents.attributes["category"][[content]] if isinstance(category, str)}
    return set(log.content_tags[1, log.content_tags[0] == content].tolist())


def by_hand(log: EventLog, user: int, content: int, t: int) -> list[float]:
    """The features of one pair."""
    before = [e for e in range(len(log)) if log.time[e] < t]
    own = [e for e in before if log.user[e] == user]
    span = t - log.time[0]
    columns: list[float] = []
    for relation in ("category", "creator", "tag"):
        groups = groups_of(log, relation, content)
        shared = [(e, g) for e in own for g in groups & groups_of(log, relation, int(log.content[e]))]
        size = max(len(groups), 1)
        last = max((log.time[e] for e, _ in shared), default=log.time[0])
        columns += [
            np.log1p(len(shared) / size),
            np.log1p(sum(log.is_target[e] for e, _ in shared) / size),
            len(shared) / size / max(len(own), 1),
            np.log1p(AGES) - np.log1p(AGES * float(t - last) / span),
        ]
    for counted in (before, [e for e in before if log.is_target[e]]):
        met: dict[int, set[int]] = {}
        for e in counted:
            met.setdefault(int(log.content[e]), set()).add(int(log.user[e]))
        latest: list[int] = []
        for e in reversed(counted):
            if log.user[e] == user and log.content[e] not in latest:
                latest.append(int(log.content[e]))
        mine = met.get(content, set())
        number = sum(len(met[other] & mine) for other in latest[:RECENT])
        cosine = sum(len(met[o] & mine) / np.sqrt(max(len(met[o]) * len(mine), 1)) for o in latest[:RECENT])
        columns += [np.log1p(number), cosine]
    return columns


@settings(deadline=None, max_examples=6)
@given(seed=st.integers(0, 3), where=st.floats(0.02, 1))
def test_pair_counts_by_hand(seed: int, where: float) -> None:
    log = busy_log(seed)
    t = int(log.time[int(where * (len(log) - 1))]) + 1
    groups = content_groups(log)
    assert list(groups) == ["category", "creator", "tag"]
    users = np.arange(len(log.users))
    counts = PairCounts(log, groups, t)
    found = counts.of(users)
    assert found.shape == (len(users), log.contents.count_before(t), len(pair_names(groups)))
    rng = np.random.default_rng(seed)
    for user, content in zip(rng.choice(users, 6), rng.choice(found.shape[1], 6), strict=True):
        assert found[user, content] == pytest.approx(by_hand(log, user, content, t), abs=1e-4)


def test_a_user_has_more_contents_than_are_compared() -> None:
    log = busy_log(0)
    most = max(Counter(user for user, _ in set(zip(log.user.tolist(), log.content.tolist(), strict=True))).values())
    assert most > RECENT


def test_rows_are_the_graphs_features_and_pairs_of_a_grid() -> None:
    log = tiny_log(1)
    t = int(log.users.exists_from[-1])  # the last user is a newcomer
    table = FlatTable(log, pair_counts=True)
    before = table.before(t)
    users, contents = np.array([5, 0, len(log.users) - 1]), np.array([3, 0, 7])
    ((part, grid),) = before.grid(users, contents)
    assert (part, grid.shape) == (slice(0, 3), (3, 3, len(table.names)))

    graph = TemporalGraph(log, fit_encoders(log))
    snapshot, newcomers = graph.snapshot(t), graph.newcomers(users[2:], t)
    user = torch.cat([snapshot["user"].x[users[:2]], newcomers["user"].x])
    category = torch.cat([snapshot["user"].x_cat[users[:2]], newcomers["user"].x_cat])
    width = [name.startswith("user ") for name in table.names].count(True)
    assert np.array_equal(grid[:, 0, :width], torch.cat([user, category], 1).numpy())
    content = torch.cat([snapshot["content"].x, snapshot["content"].x_cat], 1)[contents].numpy()
    assert np.array_equal(grid[0, :, width : width + content.shape[1]], content)
    creators = [i for i, name in enumerate(table.names) if name.startswith("creator ")]
    known = log.creator_of[contents] >= 0
    assert np.isnan(grid[0][~known][:, creators]).all()
    assert np.array_equal(grid[0][known][:, creators], snapshot["creator"].x[log.creator_of[contents[known]]].numpy())
    assert all(table.names[i].split()[1] == "category" for i in table.categorical)

    order = np.argsort(users, kind="stable")
    pairs = before.pairs(np.repeat(users[order], 3), np.tile(contents, 3))
    assert np.array_equal(pairs.reshape(3, 3, -1), grid[order], equal_nan=True)


def test_without_pair_counts_the_same_columns_less_those_of_pairs() -> None:
    log = tiny_log(1)
    full, flat = FlatTable(log, pair_counts=True), FlatTable(log, pair_counts=False)
    assert flat.names == tuple(name for name in full.names if not name.startswith("pair "))
    assert full.categorical == flat.categorical
    pair = np.array([2]), np.array([4])
    rows = [table.before(log.boundaries.t_val).pairs(*pair) for table in (full, flat)]
    assert np.array_equal(rows[0][:, : len(flat.names)], rows[1], equal_nan=True)


def test_a_log_without_metadata_has_only_what_events_say() -> None:
    tables = tiny_tables(0)
    contents = tables.contents[["content_id"]]
    bare = replace(tables, contents=contents, content_tags=tables.content_tags.iloc[:0])
    log = prepare(bare, LogSettings()).log
    assert content_groups(log) == {}
    table = FlatTable(log, pair_counts=True)
    ((_, grid),) = table.before(log.boundaries.t_val).grid(np.array([0]), np.array([0, 1]))
    assert grid.shape == (1, 2, len(table.names))
    assert [name for name in table.names if name.startswith("pair ")] == [
        "pair events_log_co_users",
        "pair events_similarity",
        "pair target_events_log_co_users",
        "pair target_events_similarity",
    ]


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 1000), st.floats(0, 1))
def test_the_future_changes_no_bit(seed: int, where: float) -> None:
    tables = tiny_tables(seed % 5)
    cut = prepare(tables, LogSettings()).log.boundaries
    t = int(cut.t_val + where * (cut.end - cut.t_val))
    fixed = LogSettings(boundaries=[cut.t_val, cut.t_test])
    changed = with_future_changed(tables, t, np.random.default_rng(seed))
    grids = []
    for each in (tables, changed):
        log = prepare(each, fixed).log
        contents = np.arange(log.contents.count_before(t))
        ((_, grid),) = FlatTable(log, pair_counts=True).before(t).grid(np.arange(log.users.count_before(t)), contents)
        grids.append(grid)
    assert grids[0].shape == grids[1].shape
    assert grids[0].tobytes() == grids[1].tobytes()
