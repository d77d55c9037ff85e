"""Logs worked out by hand, and a loader over any log, for the tests of the loading room."""

from collections.abc import Sequence
from dataclasses import fields
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from recsys.data.event_log import NEVER, Boundaries, EventLog, NodeTable
from recsys.data.features import fit_encoders
from recsys.data.interaction_index import InteractionIndex
from recsys.graph.temporal_graph import TemporalGraph
from recsys.loading.batch import LinkBatch
from recsys.loading.negatives import NegativeSampler, Uniform
from recsys.loading.snapshot_loader import SnapshotLoader
from tests.factories import tiny_log


def hand_log(
    events: Sequence[tuple[int, int, int]],
    t_val: int,
    *,
    num_contents: int | None = None,
    weight: Sequence[float] | None = None,
    is_target: Sequence[bool] | None = None,
    moods_of: dict[int, Sequence[str]] | None = None,
) -> EventLog:
    """A log of (user, content, time) rows in time order, with users and contents numbered by existence.

    Contents without an event exist from time 0 on, so they must have the lowest numbers.
    """
    user, content, time = (np.array(column, dtype=np.int64) for column in zip(*events, strict=True))
    num_contents = int(content.max()) + 1 if num_contents is None else num_contents
    moods_of = moods_of or {}
    moods = sorted({mood for names in moods_of.values() for mood in names})
    pairs = sorted((c, moods.index(mood)) for c, names in moods_of.items() for mood in names)
    return EventLog(
        name="by hand",
        types=("like",),
        user=user,
        content=content,
        type=np.zeros(len(user), dtype=np.int64),
        value=np.full(len(user), np.nan, dtype=np.float32),
        weight=np.array(weight if weight is not None else np.ones(len(user)), dtype=np.float32),
        time=time,
        is_target=np.array(is_target if is_target is not None else np.ones(len(user)), dtype=bool),
        users=_nodes(user, time, int(user.max()) + 1),
        contents=_nodes(content, time, num_contents),
        creators=_nodes(user[:0], time[:0], 0),
        tags=_tags(moods),
        creator_of=np.full(num_contents, -1),
        user_of_creator=np.zeros(0, dtype=np.int64),
        content_tags=np.array(pairs, dtype=np.int64).reshape(-1, 2).T,
        moods=np.arange(len(moods)),
        max_weight=4.0,
        boundaries=Boundaries(t_val=t_val, t_test=int(time[-1]), end=int(time[-1])),
    )


def _nodes(row: np.ndarray, time: np.ndarray, count: int) -> NodeTable:
    """Nodes that exist from their first event, those without any from time 0."""
    exists_from = np.full(count, NEVER)
    np.minimum.at(exists_from, row, time)
    exists_from[exists_from == NEVER] = 0
    assert (np.diff(exists_from) >= 0).all(), "number the nodes by the time from which they exist"
    return NodeTable(np.arange(count), exists_from, pd.DataFrame(index=range(count)), {})


def _tags(moods: list[str]) -> NodeTable:
    kinds = pd.DataFrame({"kind": ["mood"] * len(moods)})
    return NodeTable(np.array(moods, dtype=object), np.zeros(len(moods), dtype=np.int64), kinds, {})


@cache
def random_log(seed: int) -> EventLog:
    """`tiny_log`, made once a seed: do not change it."""
    return tiny_log(seed=seed)


def make_loader(
    log: EventLog, negatives: NegativeSampler | None = None, *, seed: int = 0, **settings: Any
) -> SnapshotLoader:
    """A snapshot loader over the real graph of `log`."""
    return SnapshotLoader(
        log=log,
        graph=TemporalGraph(log, fit_encoders(log)),
        index=InteractionIndex(log),
        negatives=negatives or Uniform(count=3),
        seed=seed,
        **settings,
    )


def bits(batch: LinkBatch) -> bytes:
    """Everything in a batch, its graph included, as bytes."""
    values = [getattr(batch, field.name) for field in fields(batch) if field.name != "graph"]
    for store in batch.graph.stores:
        values += [value for _, value in sorted(store.items())]
    return b"|".join(value.numpy().tobytes() if isinstance(value, Tensor) else repr(value).encode() for value in values)
