"""Logs for the graph room's tests: written out by hand, or random with another future."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from recsys.data.event_log import NEVER, Boundaries, EventLog, NodeTable
from recsys.data.readings import Readings

Event = tuple[int, int, str, float | None, int]  # user, content, type, value, time
WEIGHTS = {"view": 1.0, "like": 3.0, "inspire": 4.0, "rating": 0.5}
FUTURE = 1_000_000_000_000


def log_of(
    events: Sequence[Event],
    *,
    t_val: int,
    t_test: int,
    creator_of: Sequence[int] = (),
    user_of_creator: Sequence[int] = (),
    content_tags: Sequence[tuple[int, int]] = (),
    content_created: dict[int, int] | None = None,
    user_created: dict[int, int] | None = None,
    tag_kinds: Sequence[str] = (),
) -> EventLog:
    """A log of `events` in time order; nodes must already be numbered by the time from which they exist."""
    user, content, kind, value, time = (list(column) for column in zip(*events, strict=True))
    types = tuple(sorted({k for k, at in zip(kind, time, strict=True) if at < t_val}))
    users = _nodes(user, time, user_created or {})
    contents = _nodes(content, time, content_created or {})
    makers = np.array(list(creator_of) or [-1] * len(contents), dtype=np.int64)
    pairs = np.array(content_tags, dtype=np.int64).reshape(-1, 2).T
    creators = _groups(np.flatnonzero(makers >= 0), makers[makers >= 0], contents)
    tags = _groups(pairs[0], pairs[1], contents)
    tags.attributes["kind"] = list(tag_kinds) or ["tag"] * len(tags)
    return EventLog(
        name="by hand",
        types=types,
        user=np.array(user, dtype=np.int64),
        content=np.array(content, dtype=np.int64),
        type=np.array([types.index(k) for k in kind], dtype=np.int64),
        value=np.array([np.nan if v is None else v for v in value], dtype=np.float32),
        weight=np.array([WEIGHTS[k] for k in kind], dtype=np.float32),
        time=np.array(time, dtype=np.int64),
        is_target=np.ones(len(events), dtype=bool),
        users=users,
        contents=contents,
        creators=creators,
        tags=tags,
        creator_of=makers,
        user_of_creator=np.array(list(user_of_creator) or [-1] * len(creators), dtype=np.int64),
        content_tags=pairs,
        moods=np.flatnonzero(tags.attributes["kind"] == "mood"),
        max_weight=4.0,
        boundaries=Boundaries(t_val, t_test, max(time)),
    )


def _nodes(node: list[int], time: list[int], created: dict[int, int]) -> NodeTable:
    count = max([*node, *created]) + 1
    born = [
        min([at for i, at in zip(node, time, strict=True) if i == n] + [created.get(n, NEVER)]) for n in range(count)
    ]
    assert born == sorted(born), "number the nodes by the time from which they exist"
    return _table(np.array(born, dtype=np.int64))


def _groups(content: np.ndarray, group: np.ndarray, contents: NodeTable) -> NodeTable:
    count = int(group.max()) + 1 if len(group) else 0
    return _table(np.array([contents.exists_from[content[group == g]].min() for g in range(count)], dtype=np.int64))


def _table(exists_from: np.ndarray) -> NodeTable:
    return NodeTable(np.arange(len(exists_from)), exists_from, pd.DataFrame(index=range(len(exists_from))), {})


def with_other_future(log: EventLog, t: int, rng: np.random.Generator, same_users: bool = False) -> EventLog:
    """The same log strictly before `t`, with other events, users, contents and attributes from `t` on.

    What is fitted (types, boundaries, encoders) stays, so that any `t` can be asked about. With `same_users` the
    same people come at the same times, but act otherwise from `t` on.
    """
    n, num_contents = log.count_before(t), log.contents.count_before(t)
    users = log.users if same_users else _other_nodes(log.users, log.users.count_before(t), t, rng)
    contents = _other_nodes(log.contents, num_contents, t, rng)
    time = np.sort(t + rng.integers(0, FUTURE, rng.integers(1, 40)))
    time = time[time >= max(users.exists_from[0], contents.exists_from[0])]  # nobody acts before they exist
    added, more = len(time), len(contents) - num_contents
    old_pairs = log.content_tags[:, log.content_tags[0] < num_contents]
    new_content = np.repeat(np.arange(num_contents, len(contents)), 2 if len(log.tags) else 0)
    new_pairs = np.stack([new_content, rng.integers(0, max(len(log.tags), 1), len(new_content))])
    return replace(
        log,
        user=np.append(log.user[:n], rng.integers(0, np.searchsorted(users.exists_from, time, side="right"))),
        content=np.append(log.content[:n], rng.integers(0, np.searchsorted(contents.exists_from, time, side="right"))),
        type=np.append(log.type[:n], rng.integers(0, len(log.types), added)),
        value=np.append(log.value[:n], rng.choice([np.nan, -1e3, 2.0, 1e6], added)).astype(np.float32),
        weight=np.append(log.weight[:n], rng.random(added) * 4).astype(np.float32),
        time=np.append(log.time[:n], time),
        is_target=np.append(log.is_target[:n], rng.random(added) < 0.5),
        users=users,
        contents=contents,
        creators=_later(log.creators, t, rng),
        tags=_later(log.tags, t, rng),
        creator_of=np.append(log.creator_of[:num_contents], rng.integers(-1, max(len(log.creators), 1), more)),
        content_tags=np.concatenate([old_pairs, np.unique(new_pairs, axis=1)], axis=1),
    )


def _other_nodes(nodes: NodeTable, keep: int, t: int, rng: np.random.Generator) -> NodeTable:
    """The first `keep` nodes, then some new ones with the attributes of any."""
    more = int(rng.integers(0 if keep else 1, 4))
    rows = np.append(np.arange(keep), rng.integers(0, len(nodes), more))
    born = np.append(nodes.exists_from[:keep], np.sort(t + rng.integers(0, FUTURE, more)))
    attributes, old = nodes.attributes.iloc[rows].reset_index(drop=True), nodes.readings
    past = np.flatnonzero((old.time < t) & (old.node < keep))
    added = np.sort(t + rng.integers(0, FUTURE, 5))
    readings = Readings(
        old.names,
        np.append(old.node[past], rng.integers(0, len(rows), 5)),
        np.append(old.time[past], added),
        np.concatenate([old.values[past], rng.random((5, len(old.names))) * 1e6]),
    )
    return NodeTable(nodes.ids[rows], born, attributes, nodes.kinds, readings)


def _later(nodes: NodeTable, t: int, rng: np.random.Generator) -> NodeTable:
    born = nodes.exists_from.copy()
    late = born >= t
    born[late] = np.sort(t + rng.integers(0, FUTURE, late.sum()))
    return replace(nodes, exists_from=born)
