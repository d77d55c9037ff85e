"""Searches begin at the configuration as it is given."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hydra import initialize_config_dir

from recsys.tuning.space import Params, parse_space
from recsys.tuning.start import given_point

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _hydra() -> Iterator[None]:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        yield


@pytest.mark.parametrize(
    ("texts", "overrides", "expected"),
    [
        ({"model.hidden": "choice(32, 64)", "model.dropout": "interval(0, 0.5)"}, (), {"hidden": 32, "dropout": 0.5}),
        ({"model.hidden": "choice(32, 64)"}, ("model.hidden=32",), {"hidden": 32}),
        ({"objective": "choice(bpr, bce)"}, ("objective=bce",), {"objective": "bce"}),
        ({"averaging": "null, 0.9"}, ("averaging=null",), {"averaging": None}),
        ({"model.edge_attributes": "choice([], [recency])"}, ("model.edge_attributes=[]",), {"edge_attributes": "[]"}),
        ({"model.edge_attributes": "choice([], [recency])"}, (), None),
        ({"model.layers": "range(0, 2)"}, (), None),
        ({"objective": "choice(bpr, bce)"}, (), None),
        ({"model.hidden": "null, 64"}, (), None),
    ],
)
def test_the_point_of_the_configuration(
    texts: dict[str, str], overrides: tuple[str, ...], expected: Params | None
) -> None:
    found = given_point(parse_space(texts, {}, {}), overrides)
    assert (found if found is None else {key.rpartition(".")[2]: value for key, value in found.items()}) == expected


def test_parameters_that_do_not_exist_there_are_left_out() -> None:
    space = parse_space(
        {"model": "choice(gat_sage, hetero_sage)", "model.heads": "choice(1, 2)"},
        {"model.heads": {"model": "gat_sage"}},
        {},
    )
    assert given_point(space, ()) == {"model": "gat_sage", "model.heads": 2}
    assert given_point(space, ("model=hetero_sage",)) == {"model": "hetero_sage"}


def test_the_variant_that_changes_nothing_is_the_given_one() -> None:
    variants = {"small": ["model.hidden=8"], "default": []}
    assert given_point(parse_space({}, {}, variants), ()) == {"variant": "default"}
    assert given_point(parse_space({}, {}, {"small": ["model.hidden=8"]}), ()) is None


@pytest.mark.parametrize("path", sorted((ROOT / "sweeps").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_searches_of_models_hold_their_defaults(path: Path) -> None:
    sweep = yaml.safe_load(path.read_text(encoding="utf-8"))
    model = "gat_sage" if path.stem == "tune" else path.stem
    if not (ROOT / "conf" / "model" / f"{model}.yaml").is_file():
        pytest.skip("no search of a model")
    assert given_point(parse_space(sweep["space"], {}, {}), (f"model={model}",)) is not None
