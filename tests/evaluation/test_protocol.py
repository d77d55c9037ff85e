"""The protocol against a naive one in loops, by hand, and at its two extremes: knowing all and knowing nothing."""

from dataclasses import replace
from math import log2

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from recsys.data.event_log import EventLog
from recsys.data.ranking_task import RankingTask
from recsys.errors import UserError
from recsys.evaluation import metrics
from recsys.evaluation.protocol import Evaluation, evaluate
from recsys.evaluation.slices import mood_users
from tests.evaluation.fakes import FixedMoodScorer, FixedScorer, early_log, perfect_scorer, random_scorer, task_of
from tests.factories import tiny_log
from tests.graph.logs import log_of

LISTED = ("ndcg", "recall", "precision", "map", "mrr", "hit_rate")


def naive_slices(log: EventLog, task: RankingTask, matrix: np.ndarray, k: int) -> dict[str, dict[str, float]]:
    """The slices, user by user and event by event."""
    past = [(u, c) for u, c, at in zip(log.user, log.content, log.time, strict=True) if at < task.time]
    warm_users, warm_contents = {u for u, _ in past}, {c for _, c in past}
    everything = set(range(task.num_contents))
    num_users = sum(log.users.exists_from < task.time)
    surprise = {c: -log2((len({u for u, d in past if d == c}) + 1) / (num_users + 1)) for c in everything}
    cuts = {
        "all": (set(task.user), everything),
        "warm_users": (warm_users, everything),
        "cold_users": (set(task.user) - warm_users, everything),
        "warm_contents": (set(task.user), warm_contents),
        "cold_contents": (set(task.user), everything - warm_contents),
    }
    slices = {}
    for name, (users, contents) in cuts.items():
        values: dict[str, list[float]] = {kind: [] for kind in LISTED}
        positives, shown = 0, []
        for row, user in enumerate(task.user):
            relevant = {c for r, c in task.positive.T if r == row} & contents
            num_relevant = len(relevant) + (task.unborn[row] if contents == everything else 0)
            if user not in users or not num_relevant:
                continue
            positives += num_relevant
            candidates = contents - {c for u, c in past if u == user}
            in_order = sorted(candidates, key=lambda c: (-np.float32(matrix[user, c]), c))
            ranked = in_order[:k]
            shown.append(in_order[:10])
            hits = [c in relevant for c in ranked]
            ideal = sum(1 / log2(i + 2) for i in range(min(num_relevant, k)))
            values["ndcg"].append(sum(1 / log2(i + 2) for i, hit in enumerate(hits) if hit) / ideal)
            values["recall"].append(sum(hits) / num_relevant)
            values["precision"].append(sum(hits) / k)
            values["map"].append(
                sum(sum(hits[: i + 1]) / (i + 1) for i, hit in enumerate(hits) if hit) / min(num_relevant, k)
            )
            values["mrr"].append(next((1 / (i + 1) for i, hit in enumerate(hits) if hit), 0.0))
            values["hit_rate"].append(float(any(hits)))
        if values["ndcg"]:
            slices[name] = {f"{kind}@{k}": float(np.mean(of_users)) for kind, of_users in values.items()}
            slices[name] |= {"users": len(values["ndcg"]), "positives": positives}
            slices[name]["coverage@10"] = len(set().union(*shown)) / len(contents)
            slices[name]["novelty@10"] = float(np.mean([np.mean([surprise[c] for c in listed]) for listed in shown]))
            times = [sum(c in listed for listed in shown) for c in contents]
            differences = np.mean([abs(a - b) for a in times for b in times])
            slices[name]["gini@10"] = float(differences / (2 * np.mean(times)))
    return slices


@settings(deadline=None, max_examples=12)
@given(st.integers(0, 1000), st.sampled_from([1, 3, 10]), st.booleans())
def test_slices_are_those_of_a_naive_protocol(seed: int, k: int, tied: bool) -> None:
    log = early_log((0, 1, 3, 4, 6)[seed % 5])
    index, task = task_of(log)
    scorer = random_scorer(log, seed)
    if tied:
        scorer.matrix = np.round(scorer.matrix)
    found = evaluate(scorer, log, index, task, ks=(k,), block=4).metrics
    found.pop("cold_users_regular", None)  # worked out by hand below
    expected = naive_slices(log, task, scorer.matrix, k)
    assert found.keys() == expected.keys() == {"all", "warm_users", "cold_users", "warm_contents", "cold_contents"}
    for name, values in expected.items():
        for metric, value in values.items():
            assert found[name][metric] == pytest.approx(value), (name, metric)


def test_a_perfect_scorer_reaches_one() -> None:
    log = early_log(1)
    index, task = task_of(log)
    task = replace(task, unborn=np.zeros_like(task.unborn))  # which nobody can reach
    found = evaluate(perfect_scorer(log, task), log, index, task)
    for name, values in found.metrics.items():
        for kind in ("ndcg@10", "map@10", "recall@50", "mrr@10", "hit_rate@5"):
            assert values[kind] == pytest.approx(1), (name, kind)
    assert found.metrics["all"]["auroc"] == 1
    assert found.metrics["all"]["average_precision"] == 1
    assert found.metrics["all"]["f1"] == 1


def test_a_random_scorer_is_near_its_expectation() -> None:
    log = tiny_log(2, num_users=60, num_contents=50, num_events=1500)
    index, task = task_of(log)
    runs = [evaluate(random_scorer(log, seed), log, index, task).metrics["all"] for seed in range(30)]
    history = np.array([len(index.history(np.array([user]), task.time)[0]) for user in task.user])
    expected_recall = (10 / (task.num_contents - history)).mean()
    assert np.mean([run["recall@10"] for run in runs]) == pytest.approx(expected_recall, rel=0.1)
    assert np.mean([run["auroc"] for run in runs]) == pytest.approx(0.5, abs=0.03)


@pytest.fixture
def by_hand() -> EventLog:
    """Validation is [100, 200): warm user 0, cold user 1 with mood 1 (from content 1) and positives 2 and 4 besides."""
    return log_of(
        [
            (0, 0, "view", None, 10),
            (0, 1, "like", None, 11),
            (0, 2, "inspire", None, 12),
            (0, 3, "like", None, 110),
            (1, 1, "inspire", None, 120),
            (1, 2, "view", None, 121),
            (1, 4, "like", None, 122),
            (0, 4, "view", None, 200),
        ],
        t_val=100,
        t_test=200,
        content_tags=[(0, 0), (1, 1), (2, 1)],
        tag_kinds=["mood", "mood"],
        content_created={3: 20, 4: 21},
    )


def test_mood_path_by_hand(by_hand: EventLog) -> None:
    index, task = task_of(by_hand)
    scorer = FixedMoodScorer(
        matrix=np.array([[0, 0, 0, 2, 1], [0, 9, 3, 1, 2]]),
        by_mood=np.array([[0, 0, 0, 0, 0], [5, 9, 1, 4, 3]]),
    )
    found = evaluate(scorer, by_hand, index, task).metrics
    ideal = 1 / log2(2) + 1 / log2(3)
    # By mood 1, without content 1: 0, 3, 4 (hit), 2 (hit). By the regular path: 2 (hit), 4 (hit), 3, 0.
    mood, regular = found["cold_users_mood"], found["cold_users_regular"]
    assert mood["ndcg@10"] == pytest.approx((1 / log2(4) + 1 / log2(5)) / ideal)
    assert mood["map@10"] == pytest.approx((1 / 3 + 2 / 4) / 2)
    assert regular["ndcg@10"] == pytest.approx(1)
    for values in (mood, regular):
        assert (values["users"], values["positives"]) == (1, 2)
        assert (values["users_without_mood"], values["users_without_rest"]) == (0, 0)
    # The slice of all cold users still holds the first content: 1 (hit), 2 (hit), 4 (hit).
    assert found["cold_users"]["recall@5"] == 1
    assert found["cold_users"]["positives"] == 3


def test_without_a_mood_path_the_same_users_are_ranked_by_the_regular_one(by_hand: EventLog) -> None:
    index, task = task_of(by_hand)
    scorer = FixedMoodScorer(matrix=np.array([[0, 0, 0, 2, 1], [0, 9, 3, 1, 2]]), by_mood=np.zeros((2, 5)))
    without = random_scorer(by_hand)
    without.matrix = scorer.matrix
    found = evaluate(without, by_hand, index, task).metrics
    assert "cold_users_mood" not in found
    assert found["cold_users_regular"] == evaluate(scorer, by_hand, index, task).metrics["cold_users_regular"]


def test_no_mood_slices_without_moods() -> None:
    bare = log_without_moods()
    index, task = task_of(bare)
    scorer = FixedMoodScorer(random_scorer(bare).matrix, by_mood=np.zeros((0, len(bare.contents))))
    assert "cold_users_mood" not in evaluate(scorer, bare, index, task).metrics


def test_no_mood_slices_when_no_cold_user_can_be_judged(by_hand: EventLog) -> None:
    """The one cold user has a mood, but then no other positive."""
    index, task = task_of(by_hand)
    kept = np.flatnonzero((task.positive[0] == 0) | (task.positive[1] == 1))
    task = replace(
        task,
        positive=task.positive[:, kept],
        label=task.label[kept],
        first_time=task.first_time[kept],
        negative=task.negative[kept],
    )
    scorer = FixedMoodScorer(random_scorer(by_hand).matrix, by_mood=np.zeros((2, 5)))
    found = evaluate(scorer, by_hand, index, task).metrics
    assert found.keys() == {"all", "warm_users", "cold_users", "warm_contents", "cold_contents"}


def log_without_moods() -> EventLog:
    return log_of(
        [
            (0, 0, "view", None, 10),
            (1, 1, "view", None, 11),
            (0, 1, "view", None, 110),
            (2, 0, "view", None, 120),
            (2, 1, "view", None, 121),
            (1, 0, "view", None, 200),
        ],
        t_val=100,
        t_test=200,
    )


def test_linking_by_hand(by_hand: EventLog) -> None:
    index, task = task_of(by_hand)
    scorer = random_scorer(by_hand, 3)
    found = evaluate(scorer, by_hand, index, task)
    pairs = found.pairs
    half = len(pairs) // 2
    assert pairs["user"][:half].tolist() == [0, 1, 1, 1] == pairs["user"][half:].tolist()
    assert pairs["content"][:half].tolist() == [3, 1, 2, 4]
    assert pairs["content"][half:].tolist() == task.negative.tolist()
    assert pairs["positive"].tolist() == [True] * 4 + [False] * 4
    assert pairs["label"].tolist() == [3 / 4, 4 / 4, 1 / 4, 3 / 4, 0, 0, 0, 0]
    np.testing.assert_allclose(pairs["score"], scorer.matrix[pairs["user"], pairs["content"]], rtol=1e-6)
    np.testing.assert_allclose(pairs["probability"], 1 / (1 + np.exp(-pairs["score"])))
    everyone = found.metrics["all"]
    error = pairs["probability"] - pairs["label"]
    assert everyone["mae"] == pytest.approx(error.abs().mean())
    cold = pairs["user"] == 1
    assert found.metrics["cold_users"]["rmse"] == pytest.approx((error[cold] ** 2).mean() ** 0.5)
    assert "auroc" not in found.metrics["warm_contents"]


def test_threshold_comes_from_validation_and_never_from_test() -> None:
    log = early_log(4)
    index, validation_task = task_of(log, "validation")
    _, test_task = task_of(log, "test")
    scorer = random_scorer(log, 1)
    validation = evaluate(scorer, log, index, validation_task)
    positive, probability = validation.pairs["positive"].to_numpy(), validation.pairs["probability"].to_numpy()
    assert validation.threshold == metrics.best_f1_threshold(positive, probability)
    with pytest.raises(ValueError, match="threshold"):
        evaluate(scorer, log, index, test_task)

    test = evaluate(scorer, log, index, test_task, threshold=validation.threshold)
    assert test.threshold == validation.threshold
    judged = test.pairs["probability"].to_numpy()
    assert test.metrics["all"]["f1"] == pytest.approx(
        metrics.f1(test.pairs["positive"].to_numpy(), judged, validation.threshold)
    )
    # Another outcome of the test period changes F1 there, not the threshold.
    flipped = FixedScorer(-scorer.matrix)
    assert evaluate(flipped, log, index, test_task, threshold=0.25).threshold == 0.25


def test_scores_without_logits_have_no_probability() -> None:
    log = early_log(4)
    index, task = task_of(log)
    scorer = random_scorer(log, 1, gives_logits=False)
    scorer.matrix *= 1000
    found = evaluate(scorer, log, index, task)
    assert found.pairs["probability"].isna().all()
    assert not {"mae", "rmse", "score_spread", "score_std"} & found.metrics["all"].keys()
    assert {"auroc", "average_precision", "f1"} <= found.metrics["all"].keys()
    assert found.threshold in found.pairs["score"].to_numpy()


def test_recommendations_are_ranked_unseen_candidates() -> None:
    log = early_log(5)
    index, task = task_of(log)
    scorer = random_scorer(log, 2)
    frame = evaluate(scorer, log, index, task, top=7).recommendations
    assert sorted(set(frame["user"])) == task.user.tolist()
    assert frame["content"].max() < task.num_contents
    assert not index.seen_before(frame["user"].to_numpy(), frame["content"].to_numpy(), task.time).any()
    for user, of_user in frame.groupby("user"):
        assert of_user["rank"].tolist() == list(range(1, len(of_user) + 1))
        assert (of_user["score"].diff().dropna() <= 0).all()
        unseen = task.num_contents - index.history(np.array([user]), task.time).shape[1]
        assert len(of_user) == min(7, unseen)
        np.testing.assert_allclose(of_user["score"], scorer.matrix[user, of_user["content"]], rtol=1e-6)


def test_per_user_values_average_to_the_metrics() -> None:
    log = early_log(5)
    index, task = task_of(log)
    found = evaluate(random_scorer(log), log, index, task)
    table = found.per_user
    assert table["user"].tolist() == task.user.tolist()
    positives = np.bincount(task.positive[0], minlength=len(task.user)) + task.unborn
    assert table["positives"].tolist() == positives.tolist()
    for metric in ("ndcg@10", "recall@20", "mrr@5"):
        assert table[metric].mean() == pytest.approx(found.metrics["all"][metric])
        assert table.loc[~table["cold"], metric].mean() == pytest.approx(found.metrics["warm_users"][metric])


def same(left: Evaluation, right: Evaluation) -> bool:
    frames = ("recommendations", "pairs", "per_user")
    return left.metrics == right.metrics and all(getattr(left, f).equals(getattr(right, f)) for f in frames)


def test_neither_the_block_nor_a_second_run_changes_a_bit() -> None:
    log = early_log(6)
    index, task = task_of(log)
    scorer = FixedMoodScorer(random_scorer(log).matrix, by_mood=random_scorer(log, 1).matrix[: len(log.moods)])
    first = evaluate(scorer, log, index, task, block=512)
    assert same(first, evaluate(scorer, log, index, task, block=512))
    assert same(first, evaluate(scorer, log, index, task, block=3))
    assert not same(first, evaluate(random_scorer(log, 9), log, index, task))


def test_the_scorers_own_scores_are_left_alone(by_hand: EventLog) -> None:
    index, task = task_of(by_hand)
    matrix = random_scorer(by_hand).matrix.astype(np.float32)
    held = FixedScorer(matrix)
    held.score = lambda users, contents, t: torch_view(matrix, users, contents)  # type: ignore[method-assign]
    evaluate(held, by_hand, index, task)
    assert np.isfinite(matrix).all()


def torch_view(matrix: np.ndarray, users: np.ndarray, contents: np.ndarray):
    import torch

    assert users.tolist() == list(range(len(matrix)))
    return torch.from_numpy(matrix)[:, : len(contents)]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_are_not_finite_are_an_error(by_hand: EventLog, bad: float) -> None:
    index, task = task_of(by_hand)
    scorer = random_scorer(by_hand)
    scorer.matrix[1, 3] = bad
    with pytest.raises(UserError, match="NaN or infinite"):
        evaluate(scorer, by_hand, index, task)


def test_probability_is_the_sigmoid_of_the_logit(by_hand: EventLog) -> None:
    index, task = task_of(by_hand)
    scorer = FixedScorer(np.full((2, 5), -1.5))
    found = evaluate(scorer, by_hand, index, task)
    assert found.pairs["probability"].tolist() == pytest.approx([expit(-1.5)] * 8)
    assert found.metrics["all"]["score_spread"] == 0
    assert found.metrics["all"]["auroc"] == pytest.approx(0.5)


def test_positives_that_do_not_exist_yet_are_missed() -> None:
    """Contents 3 and 4 appear within validation. User 0 has met all there is before, so no list can be made for it."""
    log = log_of(
        [
            (0, 0, "view", None, 10),
            (0, 1, "view", None, 11),
            (0, 2, "view", None, 12),
            (0, 3, "view", None, 110),
            (1, 1, "view", None, 120),
            (1, 3, "view", None, 121),
            (1, 4, "view", None, 122),
            (2, 4, "view", None, 123),
            (0, 4, "view", None, 200),
        ],
        t_val=100,
        t_test=200,
        content_tags=[(1, 0)],
        tag_kinds=["mood"],
    )
    index, task = task_of(log)
    matrix = np.zeros((3, 5))
    matrix[:, 1] = 1
    found = evaluate(FixedMoodScorer(matrix, by_mood=np.zeros((1, 5))), log, index, task)
    # User 1 has 3 positives of which the list begins with the only one within reach; users 0 and 2 have one, missed.
    everyone = found.metrics["all"]
    assert (everyone["users"], everyone["positives"]) == (3, 5)
    assert everyone["recall@10"] == pytest.approx((0 + 1 / 3 + 0) / 3)
    assert everyone["ndcg@10"] == pytest.approx((0 + 1 / (1 + 1 / log2(3) + 1 / log2(4)) + 0) / 3)
    assert everyone["map@10"] == pytest.approx((0 + 1 / 3 + 0) / 3)
    assert everyone["coverage@10"] == 1
    assert found.per_user["positives"].tolist() == [1, 3, 1]
    assert found.metrics["warm_users"].keys() & {"recall@10", "coverage@10", "novelty@10"} == {"recall@10"}
    assert found.metrics["warm_contents"]["positives"] == 1
    assert len(found.pairs) == 2
    assert set(found.recommendations["user"]) == {1, 2}
    # Neither cold user can be judged by mood: user 1 has no other positive within reach, user 2 none at all.
    moods = mood_users(log, task, np.array([False, True, True]))
    assert (len(moods.row), moods.without_mood, moods.without_rest) == (0, 1, 1)
    assert "cold_users_mood" not in found.metrics


def test_a_positive_without_a_negative_is_judged_without_one() -> None:
    """User 1 acts on all the contents there are, so no negative can be drawn for it."""
    log = log_of(
        [(0, 0, "view", None, 10), (0, 1, "view", None, 11), (0, 2, "view", None, 12), (0, 3, "view", None, 110)]
        + [(1, c, "view", None, 120 + c) for c in range(5)]
        + [(0, 4, "view", None, 200)],
        t_val=100,
        t_test=200,
        content_created={3: 20, 4: 21},
    )
    index, task = task_of(log)
    assert task.negative.tolist() == [4, -1, -1, -1, -1, -1]
    found = evaluate(random_scorer(log), log, index, task)
    assert found.pairs["positive"].tolist() == [True] * 6 + [False]
    assert found.pairs["content"].tolist() == [3, 0, 1, 2, 3, 4, 4]
    assert "auroc" in found.metrics["warm_users"]
    assert "auroc" not in found.metrics["cold_users"]
    assert found.metrics["cold_users"]["recall@5"] == 1
