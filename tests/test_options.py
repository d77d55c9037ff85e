"""Options of a run that mean nothing are one sentence; all others pass."""

from typing import Any

import pytest
import yaml

from recsys.errors import UserError
from recsys.options import GROUPS, check_options
from tests.conftest import ROOT

COUNTS = ("evaluation.origins", "evaluation.block", "evaluation.validation_users")
BAD: list[tuple[str, Any]] = [
    *((name, value) for name in COUNTS for value in ("abc", 0, -1, 1.5, True, None)),
    *((name, value) for name in ("refit", "equal_users", "evaluation.test") for value in ("abc", 1, None)),
    *(("monitor_mode", value) for value in ("abc", 1, None)),
    *(("monitor", value) for value in (1, None)),
    *((group, value) for group in GROUPS for value in (3, None)),
    *((name, value) for name in ("callbacks.best", "logger.csv") for value in (3, None)),
    *(("seed", value) for value in ("abc", -1, 0.5, 2**32, None, False)),
]


def shipped() -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load((ROOT / "conf" / "train.yaml").read_text())
    return {
        **{group: {} for group in (*GROUPS, "callbacks", "logger")},
        "data": {"source": {}, "settings": {}},
        **config,
    }


def test_the_shipped_options_pass() -> None:
    check_options(shipped())


@pytest.mark.parametrize(("name", "value"), BAD)
def test_a_value_that_means_nothing_is_refused(name: str, value: Any) -> None:
    config = shipped()
    group, _, key = name.rpartition(".")
    (config[group] if group else config)[key] = value
    with pytest.raises(UserError) as error:
        check_options(config)
    assert str(error.value).startswith(f"{name} is {value}: it must be ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", [*GROUPS, "name", "run_dir", "mood_weight", "seed", "monitor", "refit", "data.source"])
def test_what_a_run_cannot_do_without_is_missed(name: str) -> None:
    config = shipped()
    group, _, key = name.rpartition(".")
    del (config[group] if group else config)[key]
    with pytest.raises(UserError, match=name.replace(".", " has no ")):
        check_options(config)
