"""The references are judged by the model's own protocol; what cannot be judged is left out with a reason."""

from dataclasses import replace

import numpy as np
import pytest

from recsys.data.event_log import EventLog, Split
from recsys.data.interaction_index import InteractionIndex
from recsys.data.ranking_task import RankingTask
from recsys.evaluation.protocol import evaluate, evaluate_cold_contents
from recsys.evaluation.references import COLD_RIVALS, References, judge_references
from recsys.models.baselines.content_based import ContentBased
from recsys.models.baselines.creator_popularity import CreatorPopularity
from recsys.models.baselines.random_order import RandomOrder
from tests.evaluation.fakes import early_log, random_scorer, task_of
from tests.graph.logs import log_of

SPLITS: tuple[Split, Split] = ("validation", "test")


def judged(log: EventLog, seed: int = 0) -> References:
    index = InteractionIndex(log)
    tasks = {split: RankingTask.build(log, index, split, seed) for split in SPLITS}
    return judge_references(log, index, tasks, seed=seed, block=5)


@pytest.mark.parametrize("seed", [0, 1, 3])
@pytest.mark.parametrize("block", [2, 512])
def test_the_slice_alone_is_the_slice_of_the_whole(seed: int, block: int) -> None:
    log = early_log(seed)
    for split in SPLITS:
        index, task = task_of(log, split)
        scorer = random_scorer(log, seed)
        whole = evaluate(scorer, log, index, task, threshold=0.5, block=block).metrics.get("cold_contents")
        assert evaluate_cold_contents(scorer, log, index, task, block=block) == whole
        assert whole is not None or split == "test"


def test_every_rival_is_asked_by_the_protocol() -> None:
    log = early_log(1)
    found = judged(log, seed=5)
    assert found.metrics.keys() == {"popularity", "recent popularity", *COLD_RIVALS}
    assert not found.left_out
    rivals = {
        "random": RandomOrder(log, seed=5),
        "creator popularity": CreatorPopularity(log),
        "content based": ContentBased(log),
    }
    for split in SPLITS:
        index, task = task_of(log, split, seed=5)
        for name, scorer in rivals.items():
            whole = evaluate(scorer, log, index, task, threshold=0.5).metrics["cold_contents"]
            assert found.metrics[name][split]["cold_contents"] == whole
        assert "all" in found.metrics["content based"][split]
        assert found.metrics["random"][split].keys() == {"cold_contents"}


def test_without_cold_contents_creators_or_attributes_there_is_a_reason() -> None:
    pairs = [(user, content) for user in range(6) for content in range(4)]
    events = [(user, content, "view", None, 10 + place) for place, (user, content) in enumerate(pairs)]
    first = {u: i for i, u in enumerate(dict.fromkeys(user for user, *_ in events))}
    events = [(first[user], *rest) for user, *rest in events]
    log = log_of(events, t_val=20, t_test=27)
    found = judged(log)
    assert found.metrics.keys() == {"popularity", "recent popularity"}
    assert found.left_out.keys() == set(COLD_RIVALS)
    assert "no content of by hand has a creator" in found.left_out["creator popularity"]
    assert "nothing to compare" in found.left_out["content based"]
    assert "without any event before" in found.left_out["random"]


def test_the_future_moves_no_validation_figure() -> None:
    log = early_log(1)
    content, first = log.content.copy(), log.count_before(log.boundaries.t_test)
    content[first:] = np.random.default_rng(0).permutation(content[first:])
    changed = replace(log, content=content)
    before, after = (judged(each).metrics for each in (log, changed))
    assert before["popularity"]["test"] != after["popularity"]["test"], "the change was none"
    for name, of_splits in before.items():
        assert of_splits["validation"] == after[name]["validation"], name


@pytest.mark.parametrize("all_count", [True, False])
def test_the_oracle_is_there_only_where_it_is_the_best_possible(all_count: bool) -> None:
    log = replace(early_log(1), oracle=Truth())
    log = log if all_count else replace(log, is_target=np.arange(len(log)) % 3 > 0)
    found = judged(log)
    assert ("oracle" in found.metrics) == all_count
    assert found.left_out.get("oracle") == (None if all_count else Truth.WHY_NOT)


class Truth:
    """Knows some chances."""

    WHY_NOT = "it knows the chance of any event, and not every type is a target."

    def probability(self, user_ids: np.ndarray, content_ids: np.ndarray, t: int) -> np.ndarray:
        return np.full((len(user_ids), len(content_ids)), 0.5)
