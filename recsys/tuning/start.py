"""Where a search begins: at the configuration as it is given, so that tuning never ends with less."""

from collections.abc import Sequence
from typing import cast

from hydra import compose
from omegaconf import DictConfig, OmegaConf

from recsys.tuning.space import VARIANT, Params, Space, Value


def given_point(space: Space, overrides: Sequence[str]) -> Params | None:
    """The point of a space that the configuration has without any search.

    Args:
        space: what is searched.
        overrides: of every trial.

    Returns:
        A value of every parameter that exists there; None if one of them lies outside the space.
    """
    config = compose("train", list(overrides), return_hydra_config=True)
    groups = config.hydra.runtime.choices
    point: Params = {}
    for parameter in space.parameters:
        if not parameter.exists(point):
            continue
        if parameter.key == VARIANT:
            value: Value = next((name for name, changes in space.variants.items() if not changes), None)
        else:
            value = groups[parameter.key] if parameter.key in groups else _selected(config, parameter.key)
        try:
            inside = parameter.distribution._contains(parameter.distribution.to_internal_repr(value))
        except ValueError:
            inside = False
        if not inside:
            return None
        point[parameter.key] = value
    return point


def _selected(config: DictConfig, key: str) -> Value:
    """What the configuration has at a key; a list or a tree as text, as which a sweep tries it."""
    found = OmegaConf.select(config, key.lstrip("+"))
    return str(OmegaConf.to_container(found)) if OmegaConf.is_config(found) else cast(Value, found)
