"""Embeddings for users without one by ridge regression, and how far they are off; `unseen_users` says when.

From the mean of the embeddings of the contents that a user met and the logarithm of their number to the user's
embedding, popularity gates and level, fitted on the log's users. What paths say of these users is left out, which is
part of the error.
"""

from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array

from recsys.data.interaction_index import InteractionIndex
from recsys.export.device_model import LANES, DeviceModel, padded, path_logits, user_vectors
from recsys.models.ranking import top_k

MOST_USERS = 5_000  # that a regression is fitted on and judged by
HELD_OUT = 5  # every fifth user judges
PENALTY = 1e-3  # share of the inputs' mean variance that is added to each one's
K = 10


def fit_regression(model: DeviceModel) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The regression as arrays for the C headers, by name, and what the report says of it.

    Its error is measured on every fifth user with a regression on the others; what is exported is fitted on all.
    """
    users, history = _fitted_users(model)
    inputs = _inputs(model, len(users), history)
    wide = model.scorer.vectors(users, model.contents.rows[:0], model.time)[0]
    targets = wide[:, : model.contents.vectors.shape[1]].double().numpy()
    report: dict[str, Any] = {"users": len(users)}
    judges = np.arange(len(users)) % HELD_OUT == 0
    if judges.any() and not judges.all():
        usual_inputs, usual, weight = _ridge(inputs[~judges], targets[~judges])
        found = usual + (inputs[judges] - usual_inputs) @ weight
        spread = np.square(targets[judges] - usual).sum()
        explained = 1 - np.square(found - targets[judges]).sum() / spread if spread else 0.0
        place = np.full(len(users), -1)
        place[judges] = np.arange(judges.sum())
        met = place[history[0]] >= 0
        report["held_out"] = {
            "users": int(judges.sum()),
            "explained_variance": float(explained),
            **_judged(
                model,
                found,
                targets[judges],
                np.stack([place[history[0][met]], history[1][met]]),
                path_logits(model.scorer, users[judges], wide[judges], model.contents.rows, model.time),
            ),
        }
    usual_inputs, usual, weight = _ridge(inputs, targets)
    hidden = model.hidden
    width = hidden + -hidden % LANES
    places = [*range(hidden), width]  # the count comes after the embedding's padding
    full_inputs, full_weight = np.zeros(width + 1), np.zeros((width + 1, targets.shape[1]))
    full_inputs[places], full_weight[places] = usual_inputs, weight
    padded_weight = np.pad(
        user_vectors(torch.from_numpy(full_weight), hidden), [(0, -len(full_weight) % LANES), (0, 0)]
    )
    arrays = {
        "embed_usual": user_vectors(torch.from_numpy(usual), hidden),
        "embed_usual_inputs": padded(full_inputs),
        "embed_weight": padded_weight,
    }
    return arrays, report


def _fitted_users(model: DeviceModel) -> tuple[np.ndarray, np.ndarray]:
    """Users with a history among the exported contents: rows [n]; and (place in them, place in contents) [2, S]."""
    log = model.scorer.graph.log
    rows = np.arange(log.users.count_before(model.time))
    if len(rows) > MOST_USERS:
        rows = np.sort(np.random.default_rng(0).choice(rows, MOST_USERS, replace=False))
    place = np.full(len(log.contents), -1)
    place[model.contents.rows] = np.arange(len(model.contents))
    user, content = InteractionIndex(log).history(rows, model.time)
    kept = place[content] >= 0
    with_history, user = np.unique(user[kept], return_inverse=True)
    return rows[with_history], np.stack([user, place[content[kept]]])


def _inputs(model: DeviceModel, num_users: int, history: np.ndarray) -> np.ndarray:
    """Mean of the contents' embeddings and log(1 + their number) of each user, float64, [num_users, hidden + 1]."""
    user, content = torch.from_numpy(history)
    vectors = model.contents.vectors[:, : model.hidden].double()
    total = vectors.new_zeros(num_users, vectors.shape[1]).index_add_(0, user, vectors[content])
    count = torch.bincount(user, minlength=num_users)[:, None]
    return torch.cat([total / count, torch.log1p(count.double())], dim=1).numpy()


def _ridge(inputs: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean of the inputs [I], mean of the targets [width], and weights [I, width] between what differs from them."""
    if not len(inputs):
        return np.zeros(inputs.shape[1]), np.zeros(targets.shape[1]), np.zeros((inputs.shape[1], targets.shape[1]))
    usual_inputs, usual = inputs.mean(axis=0), targets.mean(axis=0)
    centred = inputs - usual_inputs
    squares = centred.T @ centred
    penalty = PENALTY * np.trace(squares) / len(squares) + np.finfo(np.float64).tiny
    weight = np.linalg.solve(squares + penalty * np.eye(len(squares)), centred.T @ (targets - usual))
    return usual_inputs, usual, weight


def _judged(
    model: DeviceModel, found: np.ndarray, targets: np.ndarray, seen: np.ndarray, paths: csr_array | None
) -> dict[str, float]:
    """How far scores and rankings by `found` are off those by `targets`, [U, width] each, without `seen` [2, S].

    Only the latter have `paths`, [U, N].
    """
    ours = model.user_logits(torch.from_numpy(found).float())
    due = model.user_logits(torch.from_numpy(targets).float(), paths=paths)
    error = (ours.sigmoid() - due.sigmoid()).abs().mean()
    for scores in (ours, due):
        scores[tuple(torch.from_numpy(seen))] = -torch.inf
    return {
        "mean_abs_error_of_probability": float(error),
        f"top_{K}_overlap": overlap(top_k(due, K)[0], top_k(ours, K)[0]),
    }


def overlap(due: np.ndarray, found: np.ndarray) -> float:
    """Mean share of what is in a list of `due` [U, K] that the same row of `found` [U, K] has too; -1 is nothing."""
    is_due = due >= 0
    shared = ((due[:, :, None] == found[:, None]) & is_due[:, :, None]).any(axis=2).sum(axis=1)
    count = is_due.sum(axis=1)
    return float(np.mean(np.divide(shared, count, out=np.ones(len(count)), where=count > 0)))
