"""Exports that several modules look at."""

from pathlib import Path
from typing import Any

import pytest

from recsys.export.device_model import DeviceModel
from recsys.serving.bundle import Bundle, load_bundle
from tests.export.c_library import Library, project, whole
from tests.factories import tiny_log
from tests.serving.bundles import make_bundle

EXPORTED = ("hetero_sage", "gat_sage", "gat_sage none", "hetero_sage local_gnn", "gat_sage identities")


def _settings(name: str) -> dict[str, Any]:
    """Settings of a network by the word behind its name."""
    _, _, choice = name.partition(" ")
    if choice == "identities":
        return {"id_embedding": 4}
    return {"pair": choice} if choice else {}


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Bundles of networks with paths and without over 1,000 users and 300 contents, and a small one of popularity."""
    folder = tmp_path_factory.mktemp("bundles")
    log = tiny_log(seed=5, num_users=1_020, num_contents=300, num_events=6_000)
    for name in EXPORTED:
        make_bundle(name.split()[0], folder / name, log, model=_settings(name))
    make_bundle("popularity", folder / "popularity")
    return {name: folder / name for name in (*EXPORTED, "popularity")}


@pytest.fixture(scope="session")
def bundles(folders: dict[str, Path]) -> dict[str, Bundle]:
    return {name: load_bundle(folder) for name, folder in folders.items()}


@pytest.fixture(scope="session", params=EXPORTED)
def network(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def model(bundles: dict[str, Bundle], network: str) -> DeviceModel:
    return whole(bundles[network])


@pytest.fixture(scope="session")
def library(model: DeviceModel, network: str, tmp_path_factory: pytest.TempPathFactory) -> Library:
    """The model as a float32 export in a shared library."""
    return Library.of(project(model), tmp_path_factory.mktemp("libraries") / network)
