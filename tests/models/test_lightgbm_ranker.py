"""The boosted trees: what they are trained on, that they learn it, and that they repeat themselves."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from recsys.data.event_log import EventLog
from recsys.data.interaction_index import InteractionIndex
from recsys.data.preparation import LogSettings, prepare
from recsys.errors import UserError
from recsys.loading.seeds import training_windows
from recsys.models.baselines.flat_table import FlatTable, FlatTableBefore
from recsys.models.baselines.lightgbm_ranker import LightGbmRanker, TrainingRows
from tests.factories import tiny_log, tiny_tables
from tests.models.helpers import small_log

pytest.importorskip("lightgbm", reason="LightGBM is not installed")

FAST = {"num_trees": 5, "num_leaves": 4, "min_child_samples": 2, "negatives": 3, "snapshots": 4, "reach": 2}


def scores(peer: LightGbmRanker, t: int | None = None) -> torch.Tensor:
    log = peer.log
    t = log.boundaries.t_val if t is None else t
    return peer.score(np.arange(len(log.users)), np.arange(log.contents.count_before(t)), t)


def rows_of(peer: LightGbmRanker) -> TrainingRows:
    t = peer.log.boundaries.t_val
    rows = peer.training_rows(t, peer.table(t))
    assert rows is not None
    return rows


@pytest.mark.parametrize("pair_counts", [True, False])
def test_rows_are_as_of_windows_before_the_time(pair_counts: bool) -> None:
    log = small_log()
    t = log.boundaries.t_test
    peer = LightGbmRanker(log, pair_counts=pair_counts, **FAST)
    table = peer.table(t)
    rows = peer.training_rows(t, table)
    past = replace(log, boundaries=replace(log.boundaries, t_val=t))
    windows = training_windows(past, InteractionIndex(log), snapshots=4, reach=2)
    assert rows.label.sum() == sum(map(len, windows))
    assert rows.group.tolist() == [4 * n for w in windows for n in np.unique(w.user, return_counts=True)[1]]
    assert len(rows.label) == len(rows.features) == rows.group.sum()
    assert rows.label.reshape(-1, 4).tolist() == [[1, 0, 0, 0]] * (len(rows.label) // 4)

    positives = rows.features[rows.label == 1]
    expected = [table.before(w.time).pairs(w.user, w.content) for w in windows]
    assert np.array_equal(positives, np.concatenate(expected), equal_nan=True)


def test_what_validation_brings_is_known_once_it_is_past() -> None:
    """Vocabularies and scales are those of all that comes before the time asked, as a refitted network's are."""
    tables = tiny_tables(0, num_users=8, num_contents=40, num_events=200)
    contents = tables.contents.assign(category=[f"kind {n}" for n in range(len(tables.contents))])
    log = prepare(replace(tables, contents=contents), LogSettings()).log
    t, users = log.boundaries.t_test, np.arange(len(log.users))
    peer = LightGbmRanker(log, **FAST)
    scores(peer, log.boundaries.t_val)
    scores(peer, t)
    user, content = np.repeat(users, 5), np.tile(np.arange(log.contents.count_before(t))[-5:], len(users))
    found = peer._now.pairs(user, content)
    expected = FlatTable(log.with_validation_in_training(), pair_counts=True).before(t).pairs(user, content)
    assert np.array_equal(found, expected, equal_nan=True)
    assert not np.array_equal(found, FlatTable(log, pair_counts=True).before(t).pairs(user, content), equal_nan=True)


def test_negatives_are_neither_history_nor_positives(monkeypatch: pytest.MonkeyPatch) -> None:
    log = small_log()
    index = InteractionIndex(log)
    peer = LightGbmRanker(log, **FAST)
    asked: list[tuple[int, np.ndarray, np.ndarray]] = []
    table = peer.table(log.boundaries.t_val)
    before = table.before

    def watched(t: int) -> FlatTableBefore:
        table = before(t)
        pairs = table.pairs

        def told(user: np.ndarray, content: np.ndarray) -> np.ndarray:
            asked.append((t, user, content))
            return pairs(user, content)

        monkeypatch.setattr(table, "pairs", told)
        return table

    monkeypatch.setattr(table, "before", watched)
    rows = peer.training_rows(log.boundaries.t_val, table)
    is_positive = np.split(rows.label == 1, np.cumsum([len(user) for _, user, _ in asked])[:-1])
    for (t, user, content), positive in zip(asked, is_positive, strict=True):
        assert not index.seen_before(user, content, t).any()
        assert (content < log.contents.count_before(t)).all()
        chosen = set(zip(user[positive].tolist(), content[positive].tolist(), strict=True))
        assert not chosen & set(zip(user[~positive].tolist(), content[~positive].tolist(), strict=True))


def test_no_more_rows_than_allowed_and_whole_groups() -> None:
    log = small_log()
    limited = rows_of(LightGbmRanker(log, **FAST, max_rows=40))
    full = rows_of(LightGbmRanker(log, **FAST))
    assert 20 < len(limited.label) <= 40 < len(full.label)
    assert set(limited.group.tolist()) <= set(full.group.tolist())
    least = rows_of(LightGbmRanker(log, **FAST, max_rows=2))
    assert len(least.group) == 1


def test_a_busy_user_does_not_outweigh_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recsys.models.baselines.lightgbm_ranker.MOST_POSITIVES", 2)
    rows = rows_of(LightGbmRanker(small_log(), **FAST))
    assert rows.group.max() == 8


def test_it_learns_a_taste() -> None:
    """Users only ever act on contents of one creator each; the columns of the pair show it."""
    log = taste_log()
    t = log.boundaries.t_test
    users = np.arange(8)
    for pair_counts, least, most in ((True, 0.95, 1.0), (False, 0.0, 0.8)):
        peer = LightGbmRanker(log, pair_counts=pair_counts, num_trees=30, num_leaves=4, min_child_samples=5)
        found = peer.score(users, np.arange(log.contents.count_before(t)), t).numpy()
        own = log.creator_of[: found.shape[1]][None] == favourite_of(log, users)[:, None]
        better = np.mean([(found[u][own[u]][:, None] > found[u][~own[u]]).mean() for u in users])
        assert least <= better <= most


def taste_log() -> EventLog:
    tables = tiny_tables(0, num_users=8, num_contents=40, num_events=600)
    rng = np.random.default_rng(0)
    ids = tables.contents["content_id"].to_numpy()
    creators = 100 + np.arange(len(ids)) % 4
    contents = tables.contents.assign(creator_id=creators, created_at=None, tags=None, moods=None, category=None)
    user = rng.integers(8, size=600)
    content = [rng.choice(ids[creators == 100 + u % 4]) for u in user]
    interactions = tables.interactions.assign(user_id=100 + user, content_id=content, type="view")
    interactions = interactions.drop_duplicates(["user_id", "content_id"])
    made = replace(tables, interactions=interactions, contents=contents, content_tags=tables.content_tags.iloc[:0])
    return prepare(made, LogSettings()).log


def favourite_of(log: EventLog, users: np.ndarray) -> np.ndarray:
    return np.array([log.creator_of[log.content[log.user == u][0]] for u in users])


def test_nothing_to_learn_from_is_said(caplog: pytest.LogCaptureFixture) -> None:
    log = tiny_log(0)
    assert not scores(LightGbmRanker(log), int(log.time[0])).any()
    assert "nothing to learn from before 2024-01-01" in caplog.text


def test_a_missing_library_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(UserError, match=r"model=lightgbm needs the library lightgbm.*pip install 'recsys\[peers\]'"):
        scores(LightGbmRanker(small_log()))
