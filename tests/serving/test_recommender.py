"""Recommendations equal the evaluation's, page by page, for warm, cold and unborn users and for moods."""

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.data.event_log import EventLog
from recsys.data.features import fit_encoders
from recsys.data.interaction_index import InteractionIndex
from recsys.data.ranking_task import RankingTask
from recsys.errors import UserError
from recsys.evaluation.protocol import evaluate
from recsys.evaluation.run_folder import write_recommendations
from recsys.graph.temporal_graph import TemporalGraph
from recsys.models.graph_scorer import GraphScorer
from recsys.serving.bundle import load_bundle
from recsys.serving.recommendations import Recommendations
from recsys.serving.recommender import ALREADY_SEEN, NOT_YET_PUBLISHED, WITHOUT_THE_MOOD, Recommender
from tests.serving.bundles import GRAPH, Made, make_bundle

NEAR = 1e-5  # scores nearer than this may change places where blocks of another size are rounded otherwise


@pytest.fixture(scope="module")
def recommender(gat: Made) -> Recommender:
    return Recommender(load_bundle(gat.folder))


def some_user(log: EventLog, t: int, *, history: bool) -> int:
    """Row of a user with or without events before `t`."""
    has_history = np.isin(np.arange(len(log.users)), log.user[: log.count_before(t)])
    return int(np.flatnonzero(has_history == history)[0])


def assert_same_list(found: Recommendations, expected: pd.DataFrame) -> None:
    """Same contents by rank with the same scores, but that neighbours with almost the same score may be swapped."""
    score = dict(zip(expected["content_id"], expected["score"], strict=True))
    assert len(found.items) == len(expected)
    assert {item.content_id for item in found.items} == set(score)
    for item, id_, value in zip(found.items, expected["content_id"], expected["score"], strict=True):
        assert math.isclose(item.score, score[item.content_id], abs_tol=NEAR)
        assert item.content_id == id_ or math.isclose(score[item.content_id], value, abs_tol=NEAR)


@pytest.mark.parametrize("split", ["validation", "test"])
@pytest.mark.parametrize("block", [1, 3, 512])
def test_equal_to_the_runs_recommendations(made: Made, tmp_path: Path, split: str, block: int) -> None:
    index = InteractionIndex(made.log)
    task = RankingTask.build(made.log, index, split, seed=0)
    evaluation = evaluate(made.scorer, made.log, index, task, threshold=0.5, block=block)
    expected = pd.read_parquet(write_recommendations(tmp_path, made.log, evaluation.recommendations))
    recommender = Recommender(load_bundle(made.folder))
    assert len(expected) > 0
    for user_id, of_user in expected.groupby("user_id"):
        assert_same_list(recommender.for_user(user_id, k=100, t=task.time), of_user)


def test_many_ties_keep_the_evaluations_order(popular: Made) -> None:
    log, t = popular.log, popular.log.boundaries.t_test
    index = InteractionIndex(log)
    task = RankingTask.build(log, index, "test", seed=0)
    expected = evaluate(popular.scorer, log, index, task, threshold=0.5).recommendations
    assert expected.duplicated(["user", "score"]).any(), "the log should give ties"
    recommender = Recommender(load_bundle(popular.folder))
    for user, of_user in expected.groupby("user"):
        found = recommender.for_user(log.users.ids[user], k=100, t=t)
        assert [item.content_id for item in found.items] == log.contents.ids[of_user["content"]].tolist()
        assert [item.score for item in found.items] == of_user["score"].tolist()


def test_equal_to_a_plain_loop(gat: Made, recommender: Recommender) -> None:
    log = gat.log
    for t in (log.boundaries.t_val, log.boundaries.t_test):
        for user in range(len(log.users)):
            seen = {
                int(c) for u, c, time in zip(log.user, log.content, log.time, strict=True) if u == user and time < t
            }
            born = [c for c in range(len(log.contents)) if log.contents.exists_from[c] < t]
            scores = gat.scorer.score(np.array([user]), np.array(born), t)[0].tolist()
            ranked = sorted((-score, c) for score, c in zip(scores, born, strict=True) if c not in seen)
            expected = pd.DataFrame(
                {"content_id": [log.contents.ids[c] for _, c in ranked], "score": [-score for score, _ in ranked]}
            )
            found = recommender.for_user(log.users.ids[user], k=1000, t=t)
            assert_same_list(found, expected)
            assert found.candidates == len(ranked)
            assert found.excluded == {ALREADY_SEEN: len(seen), NOT_YET_PUBLISHED: len(log.contents) - len(born)}
            assert found.has_history == bool(seen)


def test_items_say_what_they_are(gat: Made, recommender: Recommender) -> None:
    log, t = gat.log, gat.log.boundaries.t_test
    found = recommender.for_user(int(log.users.ids[some_user(log, t, history=True)]), k=100)
    assert found.time == t
    titles = dict(zip(log.contents.ids, log.contents.attributes["title"], strict=True))
    assert any(titles.values())
    assert None in [item.title for item in recommender.for_mood("joy", k=100).items], "one content has no title"
    for rank, item in enumerate(found.items, start=1):
        assert item.rank == rank
        assert item.title == titles[item.content_id]
        assert item.probability == pytest.approx(1 / (1 + math.exp(-item.score)), rel=1e-12)


def test_popularity_only_ranks(popular: Made) -> None:
    found = Recommender(load_bundle(popular.folder)).for_user(int(popular.log.users.ids[0]))
    assert found.items
    assert {item.probability for item in found.items} == {None}


def test_seen_contents_can_be_kept(gat: Made, recommender: Recommender) -> None:
    log, t = gat.log, gat.log.boundaries.t_test
    user = some_user(log, t, history=True)
    found = recommender.for_user(log.users.ids[user], k=100, exclude_seen=False)
    assert {item.content_id for item in found.items} == set(log.contents.ids[: log.contents.count_before(t)])
    assert found.excluded[ALREADY_SEEN] == 0
    assert found.has_history


def test_cold_user_is_served_by_the_regular_path_and_told(gat: Made, recommender: Recommender) -> None:
    log = gat.log
    late = int(log.user[log.count_before(log.boundaries.t_val) :].max())
    t = int(log.time[np.flatnonzero(log.user == late)[0]])  # at its very first event, which does not count yet
    found = recommender.for_user(log.users.ids[late], k=100, t=t)
    assert found.items
    assert not found.has_history
    assert found.excluded[ALREADY_SEEN] == 0
    assert any("no events before this time" in note for note in found.notes)
    after = recommender.for_user(log.users.ids[late], k=100, t=t + 1)
    assert after.has_history
    assert after.excluded[ALREADY_SEEN] >= 1
    assert after.notes == ()


def test_unborn_user_is_a_newcomer(gat: Made, recommender: Recommender) -> None:
    log = gat.log
    user = len(log.users) - 1
    t = int(log.users.exists_from[user])
    assert log.users.count_before(t) <= user
    found = recommender.for_user(log.users.ids[user], t=t)
    assert found.items
    assert not found.has_history


def test_before_anything_exists_the_page_is_empty_and_says_so(made: Made) -> None:
    recommender = Recommender(load_bundle(made.folder))
    found = recommender.for_user(made.log.users.ids[0], t=int(made.log.contents.exists_from[0]))
    assert found.items == ()
    assert found.excluded == {ALREADY_SEEN: 0, NOT_YET_PUBLISHED: len(made.log.contents)}
    assert any("No content is left" in note for note in found.notes)
    knows_the_future = any("trained on events after this time" in note for note in found.notes)
    assert knows_the_future == isinstance(made.scorer, GraphScorer), "a peer is fitted as of the time asked"


@pytest.mark.parametrize("id_", [7, "7", " 7 ", np.int64(7), "-3", -3])
def test_number_ids_match_as_number_and_as_text(gat: Made, recommender: Recommender, id_: object) -> None:
    log = gat.log
    ids = log.users.ids.copy()
    ids[0], ids[1] = 7, -3
    bundle = replace(recommender.bundle, log=replace(log, users=replace(log.users, ids=ids)))
    assert Recommender(bundle).for_user(id_).user_id == int(str(id_))  # type: ignore[arg-type]


@pytest.mark.parametrize("id_", ["u7", 12, "12"])
def test_text_ids_match_as_number_and_as_text(gat: Made, recommender: Recommender, id_: int | str) -> None:
    log = gat.log
    ids = log.users.ids.astype(str).astype(object)
    ids[0], ids[1] = "u7", "12"
    bundle = replace(recommender.bundle, log=replace(log, users=replace(log.users, ids=ids)))
    assert Recommender(bundle).for_user(id_).user_id == str(id_)


@pytest.mark.parametrize("id_", ["nobody", "", "1_0_1", "١٠١", "101.0", "9" * 40, -(10**30), "0"])
def test_unknown_user_is_pointed_to_the_moods(recommender: Recommender, id_: int | str) -> None:
    with pytest.raises(UserError) as error:
        recommender.for_user(id_)
    assert repr(id_) in str(error.value)
    assert "--mood" in str(error.value)
    for mood in recommender.moods:
        assert mood in str(error.value)


def test_unknown_user_where_there_are_no_moods(popular: Made) -> None:
    recommender = Recommender(load_bundle(popular.folder))
    assert recommender.moods == ()
    with pytest.raises(UserError) as error:
        recommender.for_user("nobody")
    assert "--mood" not in str(error.value)
    assert str(popular.log.users.ids[0]) in str(error.value)


def test_mood_ranks_all_contents_by_the_mood_path(gat: Made, recommender: Recommender) -> None:
    log, t = gat.log, gat.log.boundaries.t_test
    assert set(recommender.moods) == {"calm", "joy", "sad"}
    assert isinstance(gat.scorer, GraphScorer)
    contents = np.arange(log.contents.count_before(t))
    lists = []
    for mood, name in enumerate(recommender.moods):
        scores = gat.scorer.score_moods(np.array([mood]), contents, t)[0].numpy()
        found = recommender.for_mood(name, k=100)
        order = np.argsort(-scores, kind="stable")
        expected = pd.DataFrame({"content_id": log.contents.ids[order], "score": scores[order]})
        assert_same_list(found, expected)
        assert (found.mood, found.user_id, found.has_history) == (name, None, False)
        assert found.excluded == {ALREADY_SEEN: 0, NOT_YET_PUBLISHED: len(log.contents) - len(contents)}
        lists.append([item.score for item in found.items])
    assert len({tuple(scores) for scores in lists}) == len(lists)


def test_only_contents_that_carry_the_mood_on_demand(recommender: Recommender) -> None:
    log = recommender.bundle.log
    for name in recommender.moods:
        whole, found = recommender.for_mood(name, k=100), recommender.for_mood(name, k=100, only_carriers=True)
        tag = log.moods[recommender.moods.index(name)]
        carriers = set(log.contents.ids[log.content_tags[0][log.content_tags[1] == tag]].tolist())
        expected = [(one.content_id, one.score) for one in whole.items if one.content_id in carriers]
        assert [(one.content_id, one.score) for one in found.items] == expected
        assert [one.rank for one in found.items] == list(range(1, len(expected) + 1))
        assert 0 < len(expected) == found.candidates < len(whole.items)
        assert found.excluded == {**whole.excluded, WITHOUT_THE_MOOD: len(whole.items) - len(expected)}
    early = int(log.time[0])  # before most contents exist
    found = recommender.for_mood("joy", k=100, t=early, only_carriers=True)
    assert found.candidates + sum(found.excluded.values()) == len(log.contents)


def test_unknown_mood_lists_the_closest_first(recommender: Recommender) -> None:
    for wrong, right in (("Clam", "calm"), ("joyful", "joy"), ("SAD", "sad")):
        with pytest.raises(UserError, match=f"choose one of {right}, "):
            recommender.for_mood(wrong)


def test_popularity_knows_no_moods(popular: Made) -> None:
    with pytest.raises(UserError, match="no moods"):
        Recommender(load_bundle(popular.folder)).for_mood("joy")


@settings(deadline=None, max_examples=25)
@given(k=st.integers(1, 15), user=st.integers(0, 7))
def test_pages_in_a_row_are_one_large_page(recommender: Recommender, k: int, user: int) -> None:
    id_ = recommender.bundle.log.users.ids[user]
    whole = recommender.for_user(id_, k=1000)

    def pages() -> Iterator[Recommendations]:
        page = 1
        while (found := recommender.for_user(id_, k=k, page=page)).items:
            yield found
            page += 1

    found = list(pages())
    assert all(len(page.items) == k for page in found[:-1])
    assert tuple(item for page in found for item in page.items) == whole.items
    assert {page.candidates for page in found} <= {len(whole.items)}


def test_past_the_last_page(recommender: Recommender) -> None:
    whole = recommender.for_mood("joy", k=1000)
    found = recommender.for_mood("joy", k=5, page=10**30)
    assert found.items == ()
    last = -(-len(whole.items) // 5)
    assert any(f"The last page is {last}" in note for note in found.notes)
    assert len(recommender.for_mood("joy", k=10**30).items) == len(whole.items)


@pytest.mark.parametrize(("k", "page", "said"), [(0, 1, "k is 0"), (-1, 1, "k is -1"), (1, 0, "page is 0")])
def test_impossible_pages(recommender: Recommender, k: int, page: int, said: str) -> None:
    for ask in (lambda: recommender.for_user(101, k=k, page=page), lambda: recommender.for_mood("joy", k=k, page=page)):
        with pytest.raises(UserError, match=said):
            ask()


def test_diverged_model_is_told(tmp_path: Path) -> None:
    made = make_bundle("hetero_sage", tmp_path / "bundle")
    assert isinstance(made.scorer, GraphScorer)
    with torch.no_grad():
        next(made.scorer.network.parameters()).fill_(torch.nan)
    made.save(tmp_path / "bundle")
    with pytest.raises(UserError, match="diverged"):
        Recommender(load_bundle(tmp_path / "bundle")).for_user(int(made.log.users.ids[0]))


def test_later_events_change_nothing(gat: Made, recommender: Recommender) -> None:
    log = gat.log
    t = int(log.boundaries.t_test)
    n = log.count_before(t)
    events = ("user", "content", "type", "value", "weight", "time", "is_target")
    assert n < len(log)
    early = replace(log, **{name: getattr(log, name)[:n] for name in events})
    graph = TemporalGraph(early, fit_encoders(log), GRAPH)
    assert isinstance(gat.scorer, GraphScorer)
    bundle = replace(recommender.bundle, log=early, graph=graph, scorer=GraphScorer(gat.scorer.network, graph))
    without_future = Recommender(bundle)
    for user_id in log.users.ids:
        assert without_future.for_user(user_id, k=100, t=t) == recommender.for_user(user_id, k=100, t=t)


def test_answers_are_plain_json(recommender: Recommender) -> None:
    found = recommender.for_user(int(recommender.bundle.log.users.ids[0]), k=3)
    plain = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert pd.Timestamp(plain["time"]).value == found.time
    assert [item["score"] for item in plain["items"]] == [item.score for item in found.items]
    assert plain["user_id"] == found.user_id
