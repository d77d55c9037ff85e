"""Cross-category discovery by hand, and in the protocol against a loop."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array

from recsys.data.event_log import EventLog
from recsys.evaluation.metrics import discovery
from recsys.evaluation.pooling import pooled
from recsys.evaluation.protocol import evaluate
from recsys.evaluation.slices import content_categories
from tests.evaluation.fakes import FixedScorer, early_log, random_scorer, task_of
from tests.graph.logs import log_of

A, B, C = range(3)
# content: its categories
CATEGORIES = csr_array(np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [0, 0, 0]]))


def test_hits_outside_by_hand() -> None:
    # user: history, top 3 with hits marked -> counted hits, hits outside
    table = [
        ([1, 0, 0], [(0, True), (1, True), (2, True)], (3, 2)),  # A is known, B and C are new
        ([1, 0, 0], [(3, True), (1, False), (2, False)], (1, 0)),  # A and B: partly known is inside
        ([0, 0, 2], [(0, False), (2, False), (-1, False)], (0, 0)),  # no hit
        ([0, 1, 0], [(4, True), (0, True), (-1, False)], (1, 1)),  # a hit without a category does not count
        ([0, 0, 0], [(0, True), (1, True), (2, True)], (0, 0)),  # a cold user
    ]
    explored = csr_array(np.array([history for history, _, _ in table]))
    content = np.array([[place for place, _ in places] for _, places, _ in table])
    relevant = np.array([[hit for _, hit in places] for _, places, _ in table])
    hits, outside = discovery(content, relevant, explored, CATEGORIES)
    assert list(zip(hits.tolist(), outside.tolist(), strict=True)) == [expected for _, _, expected in table]


@pytest.fixture
def by_hand() -> EventLog:
    """Validation is [100, 200). Contents 0 and 3 are of A, 1 of B, 2 of C, 4 of none; users 0 to 2 have met 0 to 2."""
    events = [
        (0, 0, "view", None, 10),
        (1, 1, "view", None, 11),
        (2, 2, "view", None, 12),
        *((0, content, "view", None, 101 + content) for content in (1, 2, 3, 4)),
        (1, 3, "view", None, 150),
        (2, 0, "view", None, 151),
        (3, 0, "view", None, 152),
        (0, 0, "view", None, 300),
    ]
    created = {3: 20, 4: 30}
    tags = [(0, A), (1, B), (2, C), (3, A)]
    return log_of(events, t_val=100, t_test=200, content_tags=tags, content_created=created, tag_kinds=["category"] * 3)


def test_the_protocol_by_hand(by_hand: EventLog) -> None:
    index, task = task_of(by_hand)
    matrix = np.zeros((4, 5))
    found = evaluate(FixedScorer(matrix), by_hand, index, task).metrics
    # Everything is in the top 10. User 0 hits B, C (new), A (known) and one without a category: 2 of 3 are new. User 1,
    # of B, and user 2, of C, hit A: 1 of 1. User 3 is cold and does not count, but is one of the four users.
    assert found["all"]["discovery@10"] == pytest.approx((2 / 3 + 1 + 1) / 3)
    assert found["all"]["discovery_users@10"] == 3
    assert found["all"]["discovery_hits@10"] == pytest.approx((2 + 1 + 1 + 0) / 4)
    assert found["warm_users"]["discovery_hits@10"] == pytest.approx(4 / 3)
    assert not any(name.startswith("discovery") for name in found["cold_users"])
    # Among cold contents, 3 and 4, user 0 hits 3 (known) and user 1 hits 3 (new).
    assert found["cold_contents"]["discovery@10"] == pytest.approx((0 + 1) / 2)
    assert found["cold_contents"]["discovery_hits@10"] == pytest.approx(1 / 2)


def test_no_hit_that_counts_leaves_the_share_unknown(by_hand: EventLog) -> None:
    index, task = task_of(by_hand)
    of_one = task.of_users(np.array([1]))
    far = replace(of_one, positive=np.array([[0], [4]]), label=np.ones(1, np.float32), negative=np.array([0]))
    found = evaluate(FixedScorer(np.zeros((4, 5))), by_hand, index, far).metrics["all"]
    assert "discovery@10" not in found
    assert found["discovery_users@10"] == found["discovery_hits@10"] == 0


@pytest.mark.parametrize("seed", [0, 1, 3])
def test_the_protocol_against_a_loop(seed: int) -> None:
    log = early_log(seed)
    index, task = task_of(log)
    found = evaluate(random_scorer(log, seed), log, index, task)
    category = log.contents.attributes["category"]
    shares, counts = [], []
    for user in task.user:
        known = {
            category[c]
            for u, c, at in zip(log.user, log.content, log.time, strict=True)
            if u == user and at < task.time
        } - {None}
        top = found.recommendations.query("user == @user and rank <= 10")["content"]
        positives = set(found.pairs.query("user == @user and positive")["content"])
        hits = [category[c] for c in top if c in positives and known and category[c] is not None]
        counts.append(sum(of not in known for of in hits))
        shares += [counts[-1] / len(hits)] if hits else []
    everyone = found.metrics["all"]
    assert 0 < np.mean(shares) < 1
    assert everyone["discovery@10"] == pytest.approx(np.mean(shares))
    assert everyone["discovery_users@10"] == len(shares)
    assert everyone["discovery_hits@10"] == pytest.approx(np.mean(counts))


def test_tags_stand_for_categories_only_where_there_are_none(by_hand: EventLog) -> None:
    with_both = replace(
        by_hand, tags=replace(by_hand.tags, attributes=pd.DataFrame({"kind": ["category", "tag", "tag"]}))
    )
    only_tags = replace(by_hand, tags=replace(by_hand.tags, attributes=pd.DataFrame({"kind": ["tag", "tag", "mood"]})))
    moods = replace(by_hand, tags=replace(by_hand.tags, attributes=pd.DataFrame({"kind": ["mood"] * 3})))
    found = content_categories(with_both, 100)
    assert found is not None
    assert found.toarray()[:, 0].tolist() == [1, 0, 0, 1, 0]
    assert found.nnz == 2
    found = content_categories(only_tags, 100)
    assert found is not None
    assert found.nnz == 3
    assert content_categories(moods, 100) is None
    assert content_categories(log_of([(0, 0, "view", None, 10)], t_val=100, t_test=200), 100) is None


def test_origins_are_pooled_over_the_users_behind_each_mean() -> None:
    one = {"users": 10, "discovery@10": 0.5, "discovery_users@10": 1, "discovery_hits@10": 0.1}
    other = {"users": 10, "discovery@10": 0.1, "discovery_users@10": 3, "discovery_hits@10": 0.3}
    nobody = {"users": 20, "discovery_users@10": 0, "discovery_hits@10": 0.0}
    found = pooled([{"all": of} for of in (one, other, nobody)])["all"]
    assert found["discovery@10"] == pytest.approx(0.2)
    assert found["discovery_users@10"] == 4
    assert found["discovery_hits@10"] == pytest.approx(0.1)
