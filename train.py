"""The door to experiments: Hydra composes `conf/`, `recsys.experiment` runs it.

Example: `python train.py model=gat_sage data=tables data.path=DIR`.
"""

import logging
import os
import re
import sys
import warnings
from pathlib import Path
from traceback import walk_tb
from typing import Any, NoReturn, cast

import hydra
from hydra.errors import HydraException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException
from yaml import YAMLError

from recsys.errors import UserError
from recsys.memory import keep_freed_memory
from recsys.options import check_options
from recsys.resuming import beside_an_option, resumed
from recsys.tuning.workers import end_with_parent


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def main(config: DictConfig) -> float:
    """Run one experiment, or for a sweep (`sweeps.worker=...`) several; gives the best validation metric."""
    try:
        if config.get("sweeps") is not None:
            return trials(config)
        # For processes that distributed training starts.
        sys.argv[1:] = beside_an_option(sys.argv[1:], [f'run_dir="{config.run_dir}"'], [])
        return float(experiment(config).run().monitored)
    except OmegaConfBaseException as error:
        fail(one_sentence(error))
    except Exception as error:
        mendable = user_error(error)
        if mendable is None:
            raise
        fail(str(mendable))


def experiment(config: DictConfig) -> Any:
    """The `Experiment` that `config` describes."""
    from recsys.building import check_kinds  # noqa: PLC0415
    from recsys.experiment import Experiment  # noqa: PLC0415 - keeps `--help` and config errors instant

    # Lightning's notes on hardware and products, and its own use of a deprecated call, are not about the run.
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    plain = cast(dict[str, Any], OmegaConf.to_container(config, resolve=True, throw_on_missing=True))
    check_options(plain)
    made = instantiate(experiment_options(plain), _convert_="object")
    for name, callback in made["callbacks"].items():
        check_kinds(f"callbacks.{name}", type(callback), plain["callbacks"][name])
    return Experiment(**made, config=plain)


def trials(config: DictConfig) -> float:
    """Run the trials of a sweep that wait for a process; gives their number."""
    if config.sweeps.get("worker") is None:
        raise UserError("sweeps=... is searched with -m: python train.py -m sweeps=...")
    from recsys.tuning.worker import work  # noqa: PLC0415

    register_resolvers()  # for processes of a launcher
    settings = instantiate(OmegaConf.to_container(config.sweeps, resolve=True), _convert_="object")
    return work(settings, experiment)


def experiment_options(config: dict[str, Any]) -> dict[str, Any]:
    """The arguments of `Experiment`, each still a config, from the group that configures it."""
    return {
        "name": config["name"],
        "run_dir": config["run_dir"],
        "seed": config["seed"],
        "source": config["data"]["source"],
        "settings": config["data"]["settings"],
        "graph": config["graph"],
        "loader": config["loader"],
        "negatives": config["negatives"],
        "model": config["model"],
        "objective": config["objective"],
        "optimizer": config["optimizer"],
        "scheduler": config.get("scheduler"),
        "mood_weight": config["mood_weight"],
        "averaging": config.get("averaging"),
        "equal_users": config["equal_users"],
        "trainer": config["trainer"],
        "callbacks": config.get("callbacks") or {},
        "loggers": config.get("logger") or {},
        "monitor": config["monitor"],
        "monitor_mode": config["monitor_mode"],
        "smoothing": config["smoothing"],
        "refit": config["refit"],
        "block": config["evaluation"]["block"],
        "validation_users": config["evaluation"]["validation_users"],
        "test": config["evaluation"]["test"],
        "origins": config["evaluation"]["origins"],
        "ckpt": config.get("ckpt"),
        "export": config.get("export"),
    }


def register_resolvers() -> None:
    """Register what `conf/logger/wandb.yaml` asks for."""
    OmegaConf.register_new_resolver("wandb_offline", wandb_offline, replace=True)
    OmegaConf.register_new_resolver("wandb_id", wandb_id, replace=True)


def wandb_offline() -> bool:
    """Whether W&B has no key to log in with."""
    from recsys.tuning.wandb_key import has_key  # noqa: PLC0415 - only for `logger=wandb`

    return not has_key()


def wandb_id(ckpt: str | None, run_dir: str) -> str | None:
    """Id of the W&B run that a resumed run goes on with: the last one in its folder."""
    runs = Path(run_dir).glob("wandb/*run-*-*") if ckpt else ()
    ids = sorted(run.name.partition("run-")[2].split("-") for run in runs)  # [offline-]run-DATE_TIME-ID
    return ids[-1][1] if ids else None


def one_sentence(error: BaseException) -> str:
    """The message of a configuration error without Hydra's advice lines."""
    if not str(error) and error.__cause__ is not None:  # Hydra has only put the error in another
        return one_sentence(error.__cause__)
    if isinstance(error, MissingMandatoryValue):
        return f"the option {error.full_key} is missing: give {error.full_key}=VALUE."
    unknown = re.search(r"Could not override '([^']+)'", str(error))
    if unknown:
        return f"there is no option '{unknown[1]}'; `python train.py --cfg job` shows all options."
    advice = ("full_key:", "object_type=", "Config search")
    lines = (line.strip() for line in str(error).splitlines())
    return " ".join(line for line in lines if line and not line.startswith(advice))


def user_error(error: BaseException | None) -> UserError | None:
    """The `UserError` behind an error, if there is one (Hydra wraps what constructors raise)."""
    while error is not None and not isinstance(error, UserError):
        error = error.__cause__
    return error


def fail(message: str) -> NoReturn:
    """One sentence on standard error, exit code 2."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


def run() -> None:
    """Run `main`; what a user can mend ends as one sentence and exit code 2."""
    end_with_parent()
    keep_freed_memory()
    register_resolvers()
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # so that Hydra raises its errors instead of printing them
    try:
        sys.argv = [sys.argv[0], *resumed(sys.argv[1:])]
        main()
    except (UserError, HydraException, OmegaConfBaseException, YAMLError) as error:
        fail(str(user_error(error) or one_sentence(error)))
    except ValueError as error:
        if "Config group override" not in str(error):
            raise
        fail(f"{error}: name one of the group's files, as in model=gat_sage, or take it away, as in ~scheduler.")
    except OSError as error:
        if error.filename is None or not is_from_before_main(error):
            raise
        fail(f"{error.filename}: {error.strerror}; give a folder that can be written as run_dir=DIR.")


def is_from_before_main(error: BaseException) -> bool:
    """Whether Hydra's part of a run has failed, which makes its folder and then calls `main`."""
    calls = [frame.f_code.co_name for frame, _ in walk_tb(error.__traceback__)]
    return "run_job" in calls and "main" not in calls


if __name__ == "__main__":
    run()
