"""A few users with what they did and what they are recommended, for people to read; the report and W&B show them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from recsys.data.event_log import EventLog
from recsys.evaluation.protocol import SHOWN, Evaluation

NUM_USERS, NUM_HISTORY = 10, 6  # how many users are shown, and how much of their history


@dataclass(frozen=True)
class PastEvent:
    """An event before the query time; `time` is a date with minutes, UTC."""

    title: str
    type: str
    time: str


@dataclass(frozen=True)
class Recommended:
    """A recommended content, and whether the user went on to meet it in the evaluated period."""

    title: str
    hit: bool


@dataclass(frozen=True)
class ExampleUser:
    """One evaluated user.

    Attributes:
        id: original id.
        cold: whether the user has no event before the query time.
        positives, ndcg: how many contents the user went on to meet, and NDCG@10 of the list.
        history: the last events before the query time, latest first.
        recommended: the first places of the list, best first; none for a user who has met every content there was.
    """

    id: Any
    cold: bool
    positives: int
    ndcg: float
    history: list[PastEvent]
    recommended: list[Recommended]


def example_users(log: EventLog, evaluation: Evaluation, seed: int) -> list[ExampleUser]:
    """Some users chosen at random, half of them cold where there are as many.

    Args:
        log: whose rows `evaluation` speaks of.
        evaluation: whose users and lists are shown; histories end where its period begins.
        seed: of the choice.
    """
    rng = np.random.default_rng(seed)
    cold = evaluation.per_user["cold"].to_numpy()
    cold_rows, warm_rows = (rng.permutation(np.flatnonzero(kind)) for kind in (cold, ~cold))
    num_cold = min(len(cold_rows), max(NUM_USERS // 2, NUM_USERS - len(warm_rows)))
    chosen = np.concatenate([warm_rows[: NUM_USERS - num_cold], cold_rows[:num_cold]])
    ranked, pairs = evaluation.recommendations, evaluation.pairs
    recommended = ranked.loc[ranked["rank"] <= SHOWN, ["user", "content"]].to_numpy()
    positives = pairs.loc[pairs["positive"], ["user", "content"]].to_numpy()
    past = log.count_before(log.boundaries.period(evaluation.split)[0])
    examples = []
    for row in chosen:
        user = int(evaluation.per_user["user"].iloc[row])
        met = set(positives[positives[:, 0] == user, 1])
        examples.append(
            ExampleUser(
                id=log.users.ids[user],
                cold=bool(cold[row]),
                positives=int(evaluation.per_user["positives"].iloc[row]),
                ndcg=float(evaluation.per_user["ndcg@10"].iloc[row]),
                history=_history(log, user, past),
                recommended=[
                    Recommended(log.title(content), content in met)
                    for content in recommended[recommended[:, 0] == user, 1]
                ],
            )
        )
    return examples


def minute(time: int) -> str:
    """Time (ns) as a date with minutes, UTC."""
    return pd.Timestamp(int(time), unit="ns").strftime("%Y-%m-%d %H:%M")


def _history(log: EventLog, user: int, past: int) -> list[PastEvent]:
    """The user's last ones of the first `past` events of the log, latest first."""
    events = np.flatnonzero(log.user[:past] == user)[: -NUM_HISTORY - 1 : -1]
    return [PastEvent(log.title(log.content[e]), log.types[log.type[e]], minute(log.time[e])) for e in events]
