"""PyTorch's answers to what the self-test of a C export asks, from the embeddings as they lie on the device."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recsys.export.device_model import DeviceModel, user_vectors
from recsys.export.precision import Stored
from recsys.export.unseen_users import UnseenUsers, embedded
from recsys.models.ranking import top_k

K = 10
USERS, SAMPLES, HISTORY = 16, 16, 5


def golden_answers(model: DeviceModel, unseen: UnseenUsers, tables: Mapping[str, Stored]) -> dict[str, Any]:
    """What `recsys_selftest.c.jinja` is filled with: users, all moods and a history, and the answers to them.

    Args:
        model: what is exported.
        unseen: how users without an embedding get one.
        tables: the embeddings as stored, by name.
    """
    model, unseen = _as_stored(model, unseen, tables)
    contents = len(model.contents)
    samples = _evenly(contents, SAMPLES)
    with_history = np.unique(model.history[0])
    users = with_history[_evenly(len(with_history), USERS)]
    seen = [model.history[1][model.history[0] == user] for user in users]
    scores = model.table_logits(users)
    met = _evenly(contents, HISTORY)
    types = np.arange(len(met)) % len(model.event_types)
    vector = embedded(model, unseen, met, types)
    none = np.empty(0, dtype=np.int64)
    return {
        "samples": samples.astype(np.uint32),
        "user_places": users.astype(np.uint32),
        "users": [_answer(row, of_user, samples) for row, of_user in zip(scores, seen, strict=True)],
        "moods": [_answer(row, none, samples) for row in model.mood_logits()] if model.mood_names else [],
        "history": met.astype(np.uint32),
        "history_types": types.astype(np.uint8),
        "history_vector": user_vectors(vector, model.hidden),
        "history_answer": _answer(model.user_logits(vector[None])[0], none, samples),
    }


def _as_stored(
    model: DeviceModel, unseen: UnseenUsers, tables: Mapping[str, Stored]
) -> tuple[DeviceModel, UnseenUsers]:
    """The model with the embeddings that the device reads."""
    contents = replace(model.contents, vectors=tables["contents"].restored())
    users = model.users
    if "users" in tables:
        users = replace(users, vectors=tables["users"].restored())
    if unseen.states is not None:
        unseen = replace(unseen, states=tables["embed_states"].restored().view_as(unseen.states))
    return replace(model, contents=contents, users=users), unseen


def _answer(scores: Tensor, seen: np.ndarray, samples: np.ndarray) -> dict[str, Any]:
    """One golden answer: the best of `scores` [N] without `seen` [S], and the scores of some contents."""
    left = scores.clone()
    left[torch.from_numpy(seen)] = -torch.inf
    contents, best = (ranked[0] for ranked in top_k(left[None], K))
    count = int((contents >= 0).sum())
    return {
        "count": count,
        "contents": np.where(contents >= 0, contents, 0).astype(np.uint32),
        "scores": np.where(contents >= 0, best, 0).astype(np.float32),
        "samples": scores.numpy()[samples],
    }


def _evenly(count: int, most: int) -> np.ndarray:
    """Up to `most` places among `count`, evenly spread, int64."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64)) if count else np.empty(0, np.int64)
