"""Hydra's door to `secret_values`: a run or a sweep ends before Hydra writes down a secret that was typed."""

import sys
from typing import Any, cast

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from recsys.errors import UserError
from recsys.secret_values import check_secrets


class RefuseSecrets(Callback):
    """Checks the composed configuration when Hydra begins, and ends the process where it holds a secret."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Check the configuration of a single run."""
        _end_with_secrets(config)

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Check the configuration that a sweep begins with."""
        _end_with_secrets(config)


def check_composed(config: DictConfig) -> None:
    """Refuse a configuration as Hydra composes it, if it holds a secret as it stands.

    Raises:
        UserError: for the first of them.
    """
    plain = cast(dict[str, Any], OmegaConf.to_container(config, resolve=False))
    if "hydra" in plain:  # all else there only repeats what was typed
        plain["hydra"] = {"job": {"env_set": plain["hydra"]["job"]["env_set"]}}
    check_secrets(plain)


def _end_with_secrets(config: DictConfig) -> None:
    try:
        check_composed(config)
    except UserError as error:
        # Hydra would make a mere warning of an exception.
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
