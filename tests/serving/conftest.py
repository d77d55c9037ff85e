"""Bundles that many tests read."""

import shutil
from pathlib import Path

import pytest

from tests.serving.bundles import KINDS, Made, make_bundle


@pytest.fixture(scope="session", params=KINDS)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A bundle of every kind; do not change its folder."""
    return make_bundle(request.param, tmp_path_factory.mktemp("run") / "bundle")


@pytest.fixture(scope="session")
def gat(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A bundle of gat_sage; do not change its folder."""
    return make_bundle("gat_sage", tmp_path_factory.mktemp("run") / "bundle")


@pytest.fixture(scope="session")
def popular(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A bundle of popularity; do not change its folder."""
    return make_bundle("popularity", tmp_path_factory.mktemp("run") / "bundle")


@pytest.fixture
def copied(gat: Made, tmp_path: Path) -> Path:
    """A copy of the bundle of gat_sage to spoil."""
    return Path(shutil.copytree(gat.folder, tmp_path / "copy"))
