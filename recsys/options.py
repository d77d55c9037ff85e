"""Checks the options at the top of the configuration and under `evaluation`; the groups' own classes check theirs."""

from collections.abc import Callable, Mapping
from typing import Any

from recsys.errors import UserError

MOST_SEED = 2**32 - 1  # what NumPy and Lightning take


def check_options(config: Mapping[str, Any]) -> None:
    """Refuse values that mean nothing, before anything is built of them.

    Args:
        config: the whole configuration as plain values.

    Raises:
        UserError: for the first option that means nothing.
    """
    options = {**config, **{f"evaluation.{name}": value for name, value in config["evaluation"].items()}}
    for name, (is_meant, what) in _MEANT.items():
        if not is_meant(options[name]):
            raise UserError(f"{name} is {options[name]}: it must be {what}.")


def _whole(least: int, most: float = float("inf")) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_truth(value: Any) -> bool:
    return isinstance(value, bool)


_COUNT = (_whole(1), "a whole number of at least 1")
_TRUTH = (_is_truth, "true or false")
_MEANT: dict[str, tuple[Callable[[Any], bool], str]] = {
    "seed": (_whole(0, MOST_SEED), f"a whole number from 0 to {MOST_SEED}"),
    "monitor_mode": (lambda value: value in ("max", "min"), "max or min"),
    "smoothing": _COUNT,
    "equal_users": _TRUTH,
    "refit": _TRUTH,
    "evaluation.test": _TRUTH,
    "evaluation.origins": _COUNT,
    "evaluation.block": _COUNT,
    "evaluation.validation_users": _COUNT,
}
