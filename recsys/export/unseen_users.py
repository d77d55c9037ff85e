"""Embeddings for users without one, from the contents they met: what the network would give, or a regression.

The network's own answer needs nothing but the contents if users have no features of their own, only contents send them
messages, and every message weighs the same: `hetero_sage` without edge weights, on a graph without time features, user
attributes and similar users. Contents stay as they were at the time of the export: they do not learn of a new user.
For all other models the device gets a ridge regression on the mean of the contents' embeddings and the logarithm of
their number, fitted on the log's users, with its error on users that it was not fitted on.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from recsys.data.interaction_index import InteractionIndex
from recsys.export.device_model import DeviceModel, padded
from recsys.graph.schema import CONTENT, USER
from recsys.models.hetero_sage import HeteroSage
from recsys.models.layers import SageMean
from recsys.models.network import EVENTS
from recsys.models.ranking import top_k

MOST_USERS = 5_000  # that a regression is fitted on and judged by
HELD_OUT = 5  # every fifth user judges
PENALTY = 1e-3  # share of the inputs' mean variance that is added to each one's
K = 10


@dataclass(frozen=True, kw_only=True)
class UnseenUsers:
    """How a device embeds users who are not in its table.

    Attributes:
        exact: whether it is the network's own answer.
        arrays, numbers: for the C headers, by name.
        states: what is a table of embeddings itself: the contents' vectors before each layer, [layers, N, hidden].
        report: what the export's report says of it.
    """

    exact: bool
    arrays: dict[str, np.ndarray]
    numbers: dict[str, float]
    states: Tensor | None
    report: dict[str, Any]


def unseen_users(model: DeviceModel) -> UnseenUsers:
    """How to embed users who are not in the table."""
    why = why_not_exact(model)
    return _exact(model) if why is None else _regression(model, why)


def why_not_exact(model: DeviceModel) -> str | None:
    """Why a history does not determine a user's embedding; None if it does."""
    network, schema = model.scorer.network, model.scorer.graph.schema
    if not isinstance(network, HeteroSage):
        return "the attention between users and contents sees more of an event than its content and type"
    if schema.numbers[USER] or schema.categories[USER]:
        return "users have features of their own"
    to_users = [edge_type for layer in network.layers for edge_type in layer.convs if edge_type[2] == USER]
    if any(edge_type[:2] != (CONTENT, EVENTS) for edge_type in to_users):
        return "users also get messages from other users"
    if network.settings["edge_weights"] != "none":
        return "messages weigh by the time or the strength of their event"
    return None


def embedded(model: DeviceModel, unseen: UnseenUsers, contents: np.ndarray, types: np.ndarray | None = None) -> Tensor:
    """The embedding of somebody who met these places in the table of contents, [hidden]; what the C code computes.

    Args:
        model: the export.
        unseen: of the model.
        contents: places in `model.contents`, int64, [n].
        types: event type of each, int64, [n]; None for all of the first type. They only count where it is exact.
    """
    hidden = model.hidden
    arrays = {name: torch.from_numpy(array) for name, array in unseen.arrays.items()}
    if not unseen.exact:
        usual = arrays["embed_usual"]
        if not len(contents):
            return usual[:hidden]
        width = -(-hidden // 4) * 4
        inputs = torch.zeros(len(arrays["embed_usual_inputs"]))
        inputs[:hidden] = model.contents.vectors[contents].mean(dim=0)
        inputs[width] = float(np.log1p(len(contents)))
        return (usual + (inputs - arrays["embed_usual_inputs"]) @ arrays["embed_weight"])[:hidden]
    assert unseen.states is not None
    network = model.scorer.network
    kinds = torch.zeros(len(contents), dtype=torch.int64) if types is None else torch.from_numpy(types)
    h = arrays["embed_first"][:hidden]
    with torch.no_grad():
        for layer, states in zip(network.layers, unseen.states, strict=True):
            total = layer.root[USER](h)
            conv = layer.convs[(CONTENT, EVENTS, USER)]
            for kind in range(len(model.event_types)):
                chosen = states[contents][kinds == kind]
                if len(chosen):
                    total = total + chosen.mean(dim=0) @ conv.weight[kind, :, 0]
            update = layer.norm[USER](total)
            h = h + (update.relu() if layer.activate else update)
    return h


def _exact(model: DeviceModel) -> UnseenUsers:
    network = model.scorer.network
    states = _states(model)
    arrays: dict[str, list[np.ndarray]] = {
        name: [] for name in ("root_weight", "root_bias", "norm_weight", "norm_bias", "event_weight", "activate")
    }
    epsilon = 0.0
    for layer in network.layers:
        root, norm, conv = layer.root[USER], layer.norm[USER], layer.convs[(CONTENT, EVENTS, USER)]
        assert isinstance(root, nn.Linear)
        assert isinstance(norm, nn.LayerNorm)
        assert isinstance(conv, SageMean)
        epsilon = norm.eps
        arrays["root_weight"].append(padded(root.weight.t()))
        arrays["root_bias"].append(padded(root.bias))
        arrays["norm_weight"].append(padded(norm.weight))
        arrays["norm_bias"].append(padded(norm.bias))
        arrays["event_weight"].append(np.stack([padded(weight[:, 0]) for weight in conv.weight]))
        arrays["activate"].append(np.asarray(layer.activate, dtype=np.uint8))
    stacked = {f"embed_{name}": np.stack(layers) for name, layers in arrays.items() if layers}
    first = network.embeddings[USER].constant
    assert isinstance(first, Tensor)
    return UnseenUsers(
        exact=True,
        arrays={"embed_first": padded(first), **stacked},
        numbers={"EMBED_EPSILON": epsilon},
        states=states,
        report={"exact": True, "layers": len(network.layers)},
    )


def _states(model: DeviceModel) -> Tensor:
    """Vectors of the exported contents before each layer, [layers, N, hidden]."""
    network, kept = model.scorer.network, []

    def keep(_: nn.Module, arguments: tuple[dict[str, Tensor], Any]) -> None:
        kept.append(arguments[0][CONTENT][torch.from_numpy(model.contents.rows)].cpu())

    hooks = [layer.register_forward_pre_hook(keep) for layer in network.layers]
    model.scorer.reset()  # so that it encodes once more
    model.scorer.vectors(model.users.rows[:0], model.contents.rows[:0], model.time)
    for hook in hooks:
        hook.remove()
    return torch.stack(kept) if kept else torch.empty(0, len(model.contents), model.hidden)


def _regression(model: DeviceModel, why: str) -> UnseenUsers:
    users, history = _fitted_users(model)
    inputs = _inputs(model, len(users), history)
    targets = model.scorer.vectors(users, model.contents.rows[:0], model.time)[0].double().numpy()
    report: dict[str, Any] = {"exact": False, "why": f"not exact, since {why}", "users": len(users)}
    judges = np.arange(len(users)) % HELD_OUT == 0
    if judges.any() and not judges.all():
        usual_inputs, usual, weight = _ridge(inputs[~judges], targets[~judges])
        found = usual + (inputs[judges] - usual_inputs) @ weight
        report["held_out"] = _judged(model, found, targets[judges], usual, history, np.flatnonzero(judges))
    usual_inputs, usual, weight = _ridge(inputs, targets)
    hidden, width = model.hidden, padded(usual).size
    places = [*range(hidden), width]  # the count comes after the embedding's padding
    full_inputs, full_weight = np.zeros(width + 4), np.zeros((width + 4, hidden))
    full_inputs[places], full_weight[places] = usual_inputs, weight
    return UnseenUsers(
        exact=False,
        arrays={
            "embed_usual": padded(usual),
            "embed_usual_inputs": padded(full_inputs),
            "embed_weight": padded(full_weight),
        },
        numbers={},
        states=None,
        report=report,
    )


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
    vectors = model.contents.vectors.double()
    total = vectors.new_zeros(num_users, vectors.shape[1]).index_add_(0, user, vectors[content])
    count = torch.bincount(user, minlength=num_users)[:, None]
    return torch.cat([total / count, torch.log1p(count.double())], dim=1).numpy()


def _ridge(inputs: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean of the inputs [I], mean of the targets [hidden], and weights [I, hidden] between what differs from them."""
    if not len(inputs):
        return np.zeros(inputs.shape[1]), np.zeros(targets.shape[1]), np.zeros((inputs.shape[1], targets.shape[1]))
    usual_inputs, usual = inputs.mean(axis=0), targets.mean(axis=0)
    centred = inputs - usual_inputs
    squares = centred.T @ centred
    penalty = PENALTY * np.trace(squares) / len(squares) + np.finfo(np.float64).tiny
    weight = np.linalg.solve(squares + penalty * np.eye(len(squares)), centred.T @ (targets - usual))
    return usual_inputs, usual, weight


def _judged(
    model: DeviceModel,
    found: np.ndarray,
    targets: np.ndarray,
    usual: np.ndarray,
    history: np.ndarray,
    judges: np.ndarray,
) -> dict[str, float]:
    """How far the regression is off for users it was not fitted on."""
    scores = model.user_logits(torch.from_numpy(found).float()), model.user_logits(torch.from_numpy(targets).float())
    difference = (scores[0].sigmoid() - scores[1].sigmoid()).abs()
    row = np.full(history[0].max() + 1, -1)
    row[judges] = np.arange(len(judges))
    seen = row[history[0]] >= 0
    places = torch.from_numpy(row[history[0][seen]]), torch.from_numpy(history[1][seen])
    shared = []
    for one in scores:
        one[places] = -torch.inf
    lists = [top_k(one, K)[0] for one in scores]
    for ours, theirs in zip(*lists, strict=True):
        due = set(theirs[theirs >= 0].tolist())
        if due:
            shared.append(len(due & set(ours.tolist())) / len(due))
    spread = np.square(targets - usual).sum()
    return {
        "users": float(len(judges)),
        "explained_variance": float(1 - np.square(found - targets).sum() / spread) if spread else 0.0,
        "mean_abs_error_of_probability": float(difference.mean()),
        f"top_{K}_overlap": float(np.mean(shared)) if shared else 1.0,
    }
