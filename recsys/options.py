"""Checks the options at the top of the configuration and under `evaluation`; the groups' own classes check theirs."""

from collections.abc import Mapping
from typing import Any

from recsys.checks import check_count, check_switch
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
    check_count("seed", options["seed"], 0, MOST_SEED)
    if options["monitor_mode"] not in ("max", "min"):
        raise UserError(f"monitor_mode is {options['monitor_mode']}: it must be max or min.")
    for name in ("smoothing", "evaluation.origins", "evaluation.block", "evaluation.validation_users"):
        check_count(name, options[name], 1)
    for name in ("equal_users", "refit", "evaluation.test"):
        check_switch(name, options[name])
