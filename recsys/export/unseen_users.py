"""Embeddings for users without one, from the contents they met: what the network would give, or a regression.

The network's own answer needs nothing but the contents if users have no features of their own, only contents send them
messages, and every message weighs the same: `hetero_sage` without edge weights and paths, on a graph without time
features, user attributes and similar users. All users then have the same gates and level. Contents stay as they were
at the time of the export: they do not learn of a new user.
For all other models the device gets the regression of `regression`, with its error on users it was not fitted on.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from recsys.export.device_model import LANES, DeviceModel, padded, user_vectors
from recsys.export.regression import fit_regression
from recsys.graph.schema import CONTENT, SIMILAR, USER
from recsys.models.hetero_sage import HeteroSage
from recsys.models.layers import HeteroLayer, SageMean
from recsys.models.network import EVENTS, Network


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
    if why is None:
        return _exact(model)
    arrays, report = fit_regression(model)
    report = {"exact": False, "why": f"not exact, since {why}", **report}
    return UnseenUsers(exact=False, arrays=arrays, numbers={}, states=None, report=report)


def why_not_exact(model: DeviceModel) -> str | None:
    """Why a history does not determine a user's embedding; None if it does."""
    network, schema = model.scorer.network, model.scorer.graph.schema
    if not isinstance(network, HeteroSage):
        return "the C code averages messages and knows no attention"
    settings = network.settings
    reasons = {
        "users have features of their own": schema.numbers[USER] or schema.categories[USER],
        "users who were met in training have vectors of their own": settings["id_embedding"] is not None,
        "without message passing nobody's history counts": not settings["layers"],
        "users also get messages from other users": settings["similarity"]
        and (USER, SIMILAR, USER) in schema.edge_types,
        "messages weigh by the time or the strength of their event": settings["edge_weights"] != "none",
        "the C code walks no paths between users and contents": network.pair is not None,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def embedded(model: DeviceModel, unseen: UnseenUsers, contents: np.ndarray, types: np.ndarray | None = None) -> Tensor:
    """The vector of somebody who met these places in the table of contents, [width]; what the C code computes.

    Args:
        model: the export.
        unseen: of the model.
        contents: places in `model.contents`, int64, [n].
        types: event type of each, int64, [n]; None for all of the first type. They only count where it is exact.
    """
    hidden = model.hidden
    if unseen.states is None:
        usual, usual_inputs, weight = (
            torch.from_numpy(unseen.arrays[f"embed_{name}"]) for name in ("usual", "usual_inputs", "weight")
        )
        if not len(contents):
            return unpadded_user(model, usual)
        inputs = torch.zeros_like(usual_inputs)
        inputs[:hidden] = model.contents.vectors[contents, :hidden].mean(dim=0)
        inputs[hidden + -hidden % LANES] = float(np.log1p(len(contents)))
        return unpadded_user(model, usual + (inputs - usual_inputs) @ weight)
    kinds = torch.zeros(len(contents), dtype=torch.int64) if types is None else torch.from_numpy(types)
    network = model.scorer.network
    h = _first(network)
    with torch.no_grad():
        for layer, states in zip(_layers(network), unseen.states, strict=True):
            total = layer.root(h)
            for kind, weight in enumerate(layer.conv.weight):
                chosen = states[contents][kinds == kind]
                if len(chosen):
                    total = total + chosen.mean(dim=0) @ weight[:, 0]
            update = layer.norm(total)
            h = h + (update.relu() if layer.activate else update)
    return torch.cat([h, _gates(network)])


def unpadded_user(model: DeviceModel, vector: Tensor) -> Tensor:
    """A user's vector of the C code without padding, [width]."""
    start = model.hidden + -model.hidden % LANES
    extra = model.contents.vectors.shape[1] - model.hidden
    return torch.cat([vector[: model.hidden], vector[start : start + extra]])


@dataclass(frozen=True)
class UserLayer:
    """What one layer of the network does to users who only have contents as neighbours."""

    root: nn.Linear
    conv: SageMean
    norm: nn.LayerNorm
    activate: bool


def _layers(network: Network) -> list[UserLayer]:
    layers = []
    for layer in network.layers:
        assert isinstance(layer, HeteroLayer)
        root, norm, conv = layer.root[USER], layer.norm[USER], layer.convs[(CONTENT, EVENTS, USER)]
        assert isinstance(root, nn.Linear)
        assert isinstance(norm, nn.LayerNorm)
        assert isinstance(conv, SageMean)
        layers.append(UserLayer(root, conv, norm, layer.activate))
    return layers


def _first(network: Network) -> Tensor:
    """The vector that users without features begin with, [hidden]."""
    first = network.embeddings[USER].constant
    assert isinstance(first, Tensor)
    return first.detach()


def _gates(network: Network) -> Tensor:
    """Gates and level of users without features, who all have the same, see `Network.user_gates`."""
    with torch.no_grad():
        return network.user_gates(torch.empty(1, 0), torch.empty(1, 0, dtype=torch.int64))[0]


def _exact(model: DeviceModel) -> UnseenUsers:
    network = model.scorer.network
    layers = _layers(network)
    arrays: dict[str, list[np.ndarray]] = {
        "root_weight": [padded(layer.root.weight.t()) for layer in layers],
        "root_bias": [padded(layer.root.bias) for layer in layers],
        "norm_weight": [padded(layer.norm.weight) for layer in layers],
        "norm_bias": [padded(layer.norm.bias) for layer in layers],
        "event_weight": [np.stack([padded(weight[:, 0]) for weight in layer.conv.weight]) for layer in layers],
        "activate": [np.array(layer.activate, dtype=np.uint8) for layer in layers],
    }
    return UnseenUsers(
        exact=True,
        arrays={
            "embed_first": user_vectors(torch.cat([_first(network), _gates(network)]), network.hidden),
            **{f"embed_{name}": np.stack(of_layers) for name, of_layers in arrays.items()},
        },
        numbers={"EMBED_EPSILON": layers[0].norm.eps},
        states=_states(model),
        report={"exact": True, "layers": len(layers)},
    )


def _states(model: DeviceModel) -> Tensor:
    """Vectors of the exported contents before each layer, [layers, N, hidden]."""
    kept = []

    def keep(_: nn.Module, arguments: tuple[dict[str, Tensor], Any]) -> None:
        kept.append(arguments[0][CONTENT][torch.from_numpy(model.contents.rows)].cpu())

    network = model.scorer.network
    hooks = [layer.register_forward_pre_hook(keep) for layer in network.layers]
    with torch.no_grad():
        network.encode(model.scorer.graph.snapshot(model.time))
    for hook in hooks:
        hook.remove()
    return torch.stack(kept)
