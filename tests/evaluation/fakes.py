"""A log with much that is cold, scorers with fixed scores, and the task they are asked, for the tests of this room."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from recsys.data.event_log import Boundaries, EventLog, Split
from recsys.data.interaction_index import InteractionIndex
from recsys.data.ranking_task import RankingTask
from tests.factories import tiny_log


def early_log(seed: int = 0) -> EventLog:
    """The tiny log with early boundaries: several users and contents are cold and have positives, in both splits."""
    log = tiny_log(seed, num_users=14, num_contents=20, num_events=120)
    return replace(log, boundaries=Boundaries(int(log.time[20]), int(log.time[50]), int(log.time[-1])))


@dataclass
class FixedScorer:
    """Gives the scores of a matrix [users, contents]."""

    matrix: np.ndarray
    gives_logits: bool = True

    def score(self, users: np.ndarray, contents: np.ndarray, t: int) -> Tensor:
        return torch.from_numpy(self.matrix[np.ix_(users, contents)].astype(np.float32))


@dataclass
class FixedMoodScorer(FixedScorer):
    """Has a matrix [moods, contents] for the mood path too."""

    by_mood: np.ndarray | None = None

    def score_moods(self, moods: np.ndarray, contents: np.ndarray, t: int) -> Tensor:
        assert self.by_mood is not None
        return torch.from_numpy(self.by_mood[np.ix_(moods, contents)].astype(np.float32))


def task_of(log: EventLog, split: Split = "validation", seed: int = 0) -> tuple[InteractionIndex, RankingTask]:
    index = InteractionIndex(log)
    return index, RankingTask.build(log, index, split, seed)


def random_scorer(log: EventLog, seed: int = 0, gives_logits: bool = True) -> FixedScorer:
    rng = np.random.default_rng(seed)
    return FixedScorer(rng.normal(size=(len(log.users), len(log.contents))), gives_logits)


def perfect_scorer(log: EventLog, task: RankingTask) -> FixedScorer:
    """Knows the positives of the task."""
    matrix = np.full((len(log.users), len(log.contents)), -9.0)
    matrix[task.user[task.positive[0]], task.positive[1]] = 9.0
    return FixedScorer(matrix)
