"""ONNX graphs give PyTorch's logits and embeddings, also for inputs they were not traced with."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from recsys.errors import UserError
from recsys.export import export
from recsys.export.device_model import DeviceModel
from recsys.export.export import ExportOptions, export_bundle
from recsys.export.traceable import traceable_edges
from recsys.graph.schema import CONTENT, USER
from recsys.models.registry import NETWORKS
from recsys.serving.bundle import load_bundle
from tests.export.c_library import whole
from tests.factories import tiny_log
from tests.serving.bundles import make_bundle

onnxruntime = pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")
pytest.importorskip("onnxscript", reason="the extra `export` is not installed")

Exported = tuple[DeviceModel, Path]


@pytest.fixture(scope="module", params=list(NETWORKS))
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    folder = tmp_path_factory.mktemp("onnx")
    made = make_bundle(request.param, folder / "bundle", tiny_log(seed=3))
    report = export_bundle(made.folder, folder / "out", ExportOptions(format="onnx"))
    assert report["onnx"].keys() == {"users.onnx", "moods.onnx", "head.onnx", "encoder.onnx"}
    return whole(load_bundle(made.folder)), folder / "out"


def run(path: Path, **inputs: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return list(session.run(None, inputs))


def test_logits_for_any_number_of_rows(exported: Exported) -> None:
    model, out = exported
    users, moods = model.table_logits().numpy(), model.mood_logits().numpy()
    for rows in ([1], [0, 0, 2], list(range(len(model.users)))):
        (found,) = run(out / "users.onnx", user=np.array(rows))
        np.testing.assert_allclose(found, users[rows], atol=1e-5)
    for rows in ([2], [0, 1, 2, 0]):
        (found,) = run(out / "moods.onnx", mood=np.array(rows))
        np.testing.assert_allclose(found, moods[rows], atol=1e-5)
    (found,) = run(out / "head.onnx", user=model.users.vectors[:1].numpy(), content=model.contents.vectors[2:9].numpy())
    without_paths = model.user_logits(model.users.vectors).numpy()
    np.testing.assert_allclose(found, without_paths[:1, 2:9], atol=1e-5)


def test_encoder_reads_features(exported: Exported) -> None:
    """Also such as it was not traced with."""
    model, out = exported
    network, graph = model.scorer.network, model.scorer.graph.snapshot(model.time).clone()
    for shift in (0.0, 0.3):
        for node_type in network.embeddings:
            graph[node_type].x = graph[node_type].x + shift
        with torch.no_grad():
            due = network.encode(graph)
        inputs = {f"{name}_{key}": graph[name][key].numpy() for name in network.embeddings for key in ("x", "x_cat")}
        found = run(out / "encoder.onnx", **{name: values for name, values in inputs.items() if values.shape[1]})
        for vectors, node_type in zip(found, (USER, CONTENT), strict=True):
            np.testing.assert_allclose(vectors, due[node_type][:, : vectors.shape[1]].numpy(), atol=1e-4)


@pytest.mark.parametrize("file_format", ["c", "onnx"])
def test_more_paths_than_fit_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file_format: str) -> None:
    made = make_bundle("gat_sage", tmp_path / "bundle", tiny_log(seed=3))
    monkeypatch.setattr(export, "MOST_PAIRS", 95)
    with pytest.raises(UserError, match=r"choose fewer with --users or --subset.*model\.pair=none"):
        export_bundle(made.folder, tmp_path / "out", ExportOptions(format=file_format))
    assert not (tmp_path / "out").exists()


def test_ids_are_the_originals(exported: Exported) -> None:
    model, out = exported
    ids = json.loads((out / "ids.json").read_text())
    assert ids == {
        "users": model.users.ids.tolist(),
        "contents": model.contents.ids.tolist(),
        "moods": list(model.mood_names),
    }


def test_traceable_edges_encode_alike(exported: Exported) -> None:
    model, _ = exported
    network, graph = model.scorer.network, model.scorer.graph.snapshot(model.time)
    with torch.no_grad():
        due = network.encode(graph)
        found = network.embed(graph)
        for layer in network.layers:
            found = layer(found, traceable_edges(network, graph))
        found = network.widened(found, graph)
    for node_type, vectors in due.items():
        torch.testing.assert_close(found[node_type], vectors, atol=1e-5, rtol=1e-5)
