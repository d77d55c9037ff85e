"""ONNX graphs of a model, each run by onnxruntime and compared with PyTorch before it counts.

- users.onnx: user, int64 [B], places in the table -> logit [B, N] of every exported content.
- moods.onnx: mood, int64 [B] -> logit [B, N].
- head.onnx: user [B, width], content [C, width] -> logit [B, C], for vectors from elsewhere; what paths between a user
  and a content add is not in it.
- encoder.onnx: X_x and X_x_cat, features of every node of type X -> user, content, the vectors of all nodes: embeddings
  beside popularity gates or what they weigh; the edges are those of the snapshot at the export's time.
- ids.json: original ids of users and contents and the moods' names, by place.
"""

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from recsys.errors import UserError
from recsys.export.device_model import DeviceModel
from recsys.export.traceable import traceable_edges
from recsys.graph.schema import CONTENT, USER, EdgeType
from recsys.models.neighbours import TypedEdges
from recsys.models.network import Network

NEEDED = "recsys export --format onnx needs onnx, onnxscript and onnxruntime: pip install 'recsys[export]'."
OPSET = 20
TOLERANCE = 1e-4  # of logits and embeddings, relative to their size where that is above 1


class UserScores(nn.Module):
    """Logits of users of the table for all contents, what paths say included."""

    paths: Tensor | None

    def __init__(self, model: DeviceModel) -> None:
        super().__init__()
        self.network = model.scorer.network
        self.register_buffer("users", model.users.vectors)
        self.register_buffer("contents", model.contents.vectors)
        self.register_buffer("paths", None if model.paths is None else torch.from_numpy(model.paths.toarray()))

    def forward(self, user: Tensor) -> Tensor:
        """int64 [B] -> [B, N]."""
        vectors = self.get_buffer("users").index_select(0, user)
        logits = self.network.pair_logits(vectors[:, None], self.get_buffer("contents")[None])
        if self.paths is not None:
            logits = logits + self.paths.index_select(0, user)
        return _calibrated(self.network, logits)


class MoodScores(nn.Module):
    """Logits of moods for all contents."""

    def __init__(self, model: DeviceModel) -> None:
        super().__init__()
        self.network = model.scorer.network
        self.register_buffer("contents", model.contents.vectors)

    def forward(self, mood: Tensor) -> Tensor:
        """int64 [B] -> [B, N]."""
        return _calibrated(self.network, self.network.mood_logits(mood[:, None], self.get_buffer("contents")[None]))


class Head(nn.Module):
    """Logits of all pairs of given vectors."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, user: Tensor, content: Tensor) -> Tensor:
        """[B, width] and [C, width] -> [B, C]."""
        return _calibrated(self.network, self.network.pair_logits(user[:, None], content[None]))


class Encoder(nn.Module):
    """Embeddings of all users and contents of one snapshot, from features of its nodes.

    Args:
        network: the network.
        edges: of the snapshot, in operations that ONNX has.
        shapes: width of `x` and of `x_cat` by node type; what has no columns is no input.
        counts: number of nodes by node type.
        met: numbers of the users and contents that were met (see `MetNodes`).
    """

    def __init__(
        self,
        network: Network,
        edges: Mapping[EdgeType, TypedEdges],
        shapes: Mapping[str, tuple[int, int]],
        counts: Mapping[str, int],
        met: Mapping[str, Tensor],
    ) -> None:
        super().__init__()
        self.network = network
        self._edges, self._shapes, self._counts = edges, shapes, counts
        self._met = {node_type: {"met": numbers} for node_type, numbers in met.items()}

    def forward(self, *given: Tensor) -> tuple[Tensor, Tensor]:
        """Features with at least one column, in the order of `shapes`, -> users [U, width], contents [C, width]."""
        left = iter(given)
        h, features = {}, {}
        for node_type, (numbers, categories) in self._shapes.items():
            count = self._counts[node_type]
            x = next(left) if numbers else torch.empty(count, 0)
            x_cat = next(left) if categories else torch.empty(count, 0, dtype=torch.int64)
            features[node_type] = {"x": x, "x_cat": x_cat, **self._met.get(node_type, {})}
            h[node_type] = self.network.first(node_type, features[node_type])
        for layer in self.network.layers:
            h = layer(h, self._edges)
        wide = self.network.widened(h, features)
        return wide[USER][:, : wide[CONTENT].shape[1]], wide[CONTENT]  # without gates of paths


def _calibrated(network: Network, logits: Tensor) -> Tensor:
    scale, shift = network.calibration.unbind()
    return logits * scale + shift


def write_onnx(model: DeviceModel, folder: Path) -> dict[str, dict[str, Any]]:
    """Write the graphs of a model into `folder` and compare each with PyTorch.

    Returns:
        File -> `max_abs_error` of onnxruntime's outputs, `bytes`.

    Raises:
        UserError: a library is missing, or onnxruntime gives something else than PyTorch.
    """
    network = model.scorer.network.eval()
    batch, pair = {0: torch.export.Dim.DYNAMIC}, torch.arange(2)
    found = {}
    if len(model.users):
        last = torch.tensor([len(model.users) - 1, 0])
        found["users.onnx"] = _written(folder / "users.onnx", UserScores(model), {"user": last}, ["logit"], [batch])
    if model.mood_names:
        last = torch.tensor([len(model.mood_names) - 1, 0])
        found["moods.onnx"] = _written(folder / "moods.onnx", MoodScores(model), {"mood": last}, ["logit"], [batch])
    vectors = {"user": model.contents.vectors[: len(pair)].repeat(2, 1), "content": model.contents.vectors}
    found["head.onnx"] = _written(folder / "head.onnx", Head(network), vectors, ["logit"], [batch, batch])
    encoder, features = _encoder(model)
    found["encoder.onnx"] = _written(folder / "encoder.onnx", encoder, features, [USER, CONTENT], None)
    ids = {"users": model.users.ids.tolist(), "contents": model.contents.ids.tolist(), "moods": list(model.mood_names)}
    (folder / "ids.json").write_text(json.dumps(ids, ensure_ascii=False) + "\n", encoding="utf-8")
    return found


def _encoder(model: DeviceModel) -> tuple[Encoder, dict[str, Tensor]]:
    network, graph = model.scorer.network, model.scorer.graph.snapshot(model.time)
    types = list(network.embeddings)
    shapes = {name: (graph[name].x.shape[1], graph[name].x_cat.shape[1]) for name in types}
    counts = {name: int(graph[name].num_nodes) for name in types}
    features = {f"{name}_{key}": graph[name][key] for name in types for key in ("x", "x_cat")}
    features = {name: values for name, values in features.items() if values.shape[1]}
    met = {name: graph[name].met for name in (USER, CONTENT)}
    return Encoder(network, traceable_edges(network, graph), shapes, counts, met), features


def _written(
    path: Path,
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    outputs: Sequence[str],
    dynamic: Sequence[Mapping[int, Any]] | None,
) -> dict[str, Any]:
    """Write one graph; its error against PyTorch and its size."""
    try:
        import onnx  # noqa: F401, PLC0415
        import onnxruntime  # noqa: PLC0415
        import onnxscript  # noqa: F401, PLC0415
    except ImportError as error:
        raise UserError(NEEDED) from error
    arguments = tuple(inputs.values())
    with torch.no_grad(), _quiet():
        torch.onnx.export(
            module.eval(),
            arguments,
            path,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=None if dynamic is None else tuple(dict(shape) for shape in dynamic),
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
        expected = module(*arguments)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found = session.run(list(outputs), {name: values.numpy() for name, values in inputs.items()})
    largest = 0.0
    for ours, theirs in zip((expected,) if isinstance(expected, Tensor) else expected, found, strict=True):
        difference = np.abs(ours.numpy() - theirs)
        if (difference > TOLERANCE * np.maximum(1.0, np.abs(ours.numpy()))).any():
            raise UserError(
                f"onnxruntime's answer to {path.name} is off by {difference.max():.2g}: export C headers instead, and "
                "report this model."
            )
        largest = max(largest, float(difference.max(initial=0.0)))
    return {"max_abs_error": largest, "bytes": path.stat().st_size}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's notes on libraries and on itself from what the command prints."""
    noisy = [logging.getLogger(name) for name in ("torch.onnx", "torch.onnx._internal.exporter", "onnxscript")]
    before = [one.level for one in noisy]
    try:
        for one in noisy:
            one.setLevel(logging.ERROR)
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for one, level in zip(noisy, before, strict=True):
            one.setLevel(level)
