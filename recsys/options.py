"""Checks the options at the top of the configuration and under `evaluation`; the groups' own classes check theirs."""

from collections.abc import Mapping
from typing import Any

from recsys.checks import check_count, check_switch
from recsys.errors import UserError

# Groups of options that a run cannot do without.
GROUPS = ("data", "graph", "loader", "negatives", "model", "objective", "optimizer", "trainer", "evaluation")
MOST_SEED = 2**32 - 1  # what NumPy and Lightning take


def check_options(config: Mapping[str, Any]) -> None:
    """Refuse values that mean nothing, before anything is built of them.

    Args:
        config: the whole configuration as plain values.

    Raises:
        UserError: for the first option that means nothing.
    """
    for name in ("name", "run_dir", "mood_weight"):
        if config.get(name) is None:
            raise UserError(f"the option {name} is null or taken away: a run cannot do without it.")
    for name in GROUPS:
        if not isinstance(config.get(name), Mapping):
            raise UserError(f"{name} is {config.get(name)}: it must be a group of options.")
    _check_groups_of_groups(config)
    for name in ("source", "settings"):
        if config["data"].get(name) is None:
            raise UserError(f"data has no {name}: choose one of the files in conf/data/ with data=NAME.")
    options = {**config, **{f"evaluation.{name}": value for name, value in config["evaluation"].items()}}
    check_count("seed", options.get("seed"), 0, MOST_SEED)
    if not isinstance(options.get("monitor"), str):
        raise UserError(f"monitor is {options.get('monitor')}: it must be the name of a metric, such as val/ndcg@10.")
    if options.get("monitor_mode") not in ("max", "min"):
        raise UserError(f"monitor_mode is {options.get('monitor_mode')}: it must be max or min.")
    for name in ("smoothing", "evaluation.origins", "evaluation.block", "evaluation.validation_users"):
        check_count(name, options.get(name), 1)
    for name in ("equal_users", "refit", "evaluation.test"):
        check_switch(name, options.get(name))


def _check_groups_of_groups(config: Mapping[str, Any]) -> None:
    """Refuse what is no group where each option of a group is one."""
    for kind in ("callbacks", "logger"):
        for name, options in (config.get(kind) or {}).items():
            if not isinstance(options, Mapping):
                raise UserError(
                    f"{kind}.{name} is {options}: it must be a group of options; to do without it, take it away, as in "
                    f"~{kind}.{name}."
                )
