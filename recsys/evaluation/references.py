"""What every run shows beside its model: scorers that need no training to speak of, asked by the same protocol."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from recsys.data.event_log import EventLog, Split
from recsys.data.interaction_index import InteractionIndex
from recsys.data.ranking_task import RankingTask
from recsys.errors import UserError
from recsys.evaluation.oracle import OracleScorer
from recsys.evaluation.protocol import COLD_CONTENTS, Metrics, evaluate, evaluate_cold_contents
from recsys.models.baselines.content_based import ContentBased
from recsys.models.baselines.creator_popularity import CreatorPopularity
from recsys.models.baselines.popularity import Popularity
from recsys.models.baselines.random_order import RandomOrder
from recsys.models.scorer import Scorer

logger = logging.getLogger(__name__)

RECENT_WINDOW = 0.05  # share of the events behind "recent popularity"
ORACLE = "oracle"  # knows what no model can
CONTENT_BASED, CREATOR_POPULARITY, RANDOM = "content based", "creator popularity", "random"
COLD_RIVALS = (CONTENT_BASED, CREATOR_POPULARITY, RANDOM)  # what a model must beat on contents that nobody has met


@dataclass(frozen=True, kw_only=True)
class References:
    """What other scorers reach.

    Attributes:
        metrics: name -> split -> slice -> metric -> value; of those that are there for cold contents only, just that
            slice.
        left_out: name -> a sentence on why it is not there.
    """

    metrics: Mapping[str, Mapping[Split, Metrics]]
    left_out: Mapping[str, str]


def judge_references(
    log: EventLog, index: InteractionIndex, tasks: Mapping[Split, RankingTask], *, seed: int, block: int
) -> References:
    """Evaluate popularity, content-based filtering and, on generated data, the best possible; on cold contents more.

    Args:
        log: the whole log.
        index: its index.
        tasks: what is asked on validation and test.
        seed: of the random order.
        block: users scored at a time.
    """
    found: dict[str, Mapping[Split, Metrics]] = {}
    left_out: dict[str, str] = {}
    for name, build in _BUILDERS.items():
        try:
            scorer = build(log, seed)
        except UserError as error:  # the data has nothing that it goes by
            left_out[name] = str(error)
            continue
        if scorer is None:
            continue
        if name not in _ONLY_COLD_CONTENTS:
            found[name] = _on_everything(scorer, log, index, tasks, block)
            continue
        of_splits = {split: _on_cold_contents(scorer, log, index, task, block) for split, task in tasks.items()}
        if of_splits["test"]:
            found[name] = of_splits
        else:
            left_out[name] = "no user has a positive on test among the contents without any event before."
    for name, why in left_out.items():
        logger.info("Reference %s is left out: %s", name, why)
    return References(metrics=found, left_out=left_out)


def _content_based(log: EventLog, _: int) -> Scorer:
    """Fitted, so that it has said if the contents have no attributes."""
    peer = ContentBased(log)
    peer.fit(log.boundaries.t_val)
    return peer


def _oracle(log: EventLog, _: int) -> Scorer | None:
    """Only where it is the best possible: it knows how likely somebody opens a content, not how it is liked then."""
    if log.oracle is None:
        return None
    if not log.is_target.all():
        raise UserError("it knows the chance of any event, and not every type is a target.")
    return OracleScorer(log)


_BUILDERS: dict[str, Callable[[EventLog, int], Scorer | None]] = {  # of a log and a seed; None: not for this log
    "popularity": lambda log, _: Popularity(log),
    "recent popularity": lambda log, _: Popularity(log, window=RECENT_WINDOW),
    CONTENT_BASED: _content_based,
    CREATOR_POPULARITY: lambda log, _: CreatorPopularity(log),
    RANDOM: lambda log, seed: RandomOrder(log, seed=seed),
    ORACLE: _oracle,
}
_ONLY_COLD_CONTENTS = (CREATOR_POPULARITY, RANDOM)


def _on_everything(
    scorer: Scorer, log: EventLog, index: InteractionIndex, tasks: Mapping[Split, RankingTask], block: int
) -> dict[Split, Metrics]:
    """Validation, which chooses the threshold, then test."""
    validation = evaluate(scorer, log, index, tasks["validation"], block=block)
    test = evaluate(scorer, log, index, tasks["test"], threshold=validation.threshold, block=block)
    return {"validation": validation.metrics, "test": test.metrics}


def _on_cold_contents(scorer: Scorer, log: EventLog, index: InteractionIndex, task: RankingTask, block: int) -> Metrics:
    """The one slice, if it has users."""
    of_slice = evaluate_cold_contents(scorer, log, index, task, block=block)
    return {} if of_slice is None else {COLD_CONTENTS: of_slice}
