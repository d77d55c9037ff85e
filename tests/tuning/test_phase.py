"""What a search is: its plan goes by the files that its trials are composed of."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from recsys.tuning.phase import search_phase
from tests.conftest import ROOT
from tests.tuning.test_settings import settings

OVERRIDES = ["model=popularity,ease", "data=synthetic"]


def plan(conf: Path, **options: Any) -> dict[str, Any]:
    with initialize_config_dir(str(conf), version_base="1.3"):
        return dict(search_phase(settings(**options), OVERRIDES, GlobalHydra.instance().config_loader()).plan)


@pytest.mark.parametrize(
    ("file", "text", "same"),
    [
        ("model/popularity.yaml", "\n# a remark\n", True),
        ("model/ease.yaml", "\nmore: 3\n", False),
        ("train.yaml", "\nmore: 3\n", False),
        ("data/synthetic.yaml", "\nmore: 3\n", False),
        ("model/hetero_sage.yaml", "\nmore: 3\n", True),
        ("experiment/best.yaml", "# @package _global_\n", True),
    ],
)
def test_a_study_is_of_one_configuration(tmp_path: Path, file: str, text: str, same: bool) -> None:
    conf = tmp_path / "conf"
    shutil.copytree(ROOT / "conf", conf)
    before = plan(conf)
    with (conf / file).open("a") as changed:
        changed.write(text)
    assert (plan(conf) == before) == same


def test_variants_have_files_of_their_own(tmp_path: Path) -> None:
    conf = tmp_path / "conf"
    shutil.copytree(ROOT / "conf", conf)
    options = {"variants": {"plain": [], "bpr": ["objective=bpr"]}}
    before = plan(conf, **options)
    with (conf / "objective" / "bpr.yaml").open("a") as changed:
        changed.write("\nmore: 3\n")
    assert plan(conf, **options) != before
