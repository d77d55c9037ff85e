"""Every file in conf/ composes, and every object in it can be built."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import OmegaConf

import train
from tests.conftest import ROOT

CONF = ROOT / "conf"
OPTIONS = sorted(
    f"{path.parent.name}={path.stem}"
    for path in CONF.glob("*/*.yaml")
    if path.parent.name not in ("hydra",) and path.stem != "common"
)


@pytest.fixture(autouse=True)
def _hydra():
    train.register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield
    GlobalHydra.instance().clear()


@pytest.mark.parametrize("option", OPTIONS)
def test_every_config_instantiates(option: str, tmp_path: Path) -> None:
    needs_path = option in ("data=tables", "experiment=kuairand")
    overrides = [option, f"run_dir={tmp_path}", *(["data.path=somewhere"] if needs_path else [])]
    config = compose("train", overrides, return_hydra_config=True)
    HydraConfig.instance().set_config(config)
    config = OmegaConf.masked_copy(config, [key for key in config if key != "hydra"])
    plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    built = instantiate(train.experiment_options(plain), _convert_="object")
    assert built["settings"].train_share == 0.7
    assert callable(built["trainer"])
    assert callable(built["model"])


def test_groups_are_named_after_what_they_configure() -> None:
    groups = {path.name for path in CONF.iterdir() if path.is_dir()}
    assert {"data", "loader", "model", "objective", "trainer", "callbacks", "logger", "experiment", "debug"} <= groups
