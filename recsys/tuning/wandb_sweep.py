"""A search as a sweep of Weights & Biases: its server proposes the values, its agents run `train.py`.

`python -m recsys.tuning.wandb_sweep sweeps=tune` makes the sweep of `sweeps/tune.yaml` and starts an agent; with
`--print` it only shows what W&B is told, which for `sweeps=tune` is kept as `sweeps/wandb.yaml`.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.pruners import HyperbandPruner
from optuna.samplers import RandomSampler

from recsys.errors import UserError
from recsys.tuning.exhaustive import Exhaustive
from recsys.tuning.phase import Phase, search_phase
from recsys.tuning.settings import SweepSettings
from recsys.tuning.space import Parameter, Space, as_text
from recsys.tuning.sweeper import is_about_the_sweep
from recsys.tuning.wandb_key import need_key
from recsys.typed_secrets import check_composed

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def wandb_sweep(
    overrides: Annotated[list[str], typer.Argument(help="Of train.py, such as sweeps=tune data.num_users=500.")],
    *,
    count: Annotated[
        int | None, typer.Option(help="Trials that this agent runs; default: until the sweep ends.")
    ] = None,
    print_only: Annotated[bool, typer.Option("--print", help="Print the sweep's YAML and do nothing.")] = False,
) -> None:
    """Make a W&B sweep of a search in sweeps/ and start an agent for it."""
    if not print_only:
        need_key("a W&B sweep")
    config, settings, search = searched(overrides)
    sweep = described(settings, search, config.sweeps.pruner)
    if print_only:
        print(yaml.safe_dump(sweep, sort_keys=False, width=120), end="")
        return

    import wandb  # noqa: PLC0415 - takes half a second

    # Agents start `python`: the one of this environment.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    names = {"entity": config.logger.wandb.entity, "project": config.logger.wandb.project}
    wandb.agent(wandb.sweep(sweep, **names), count=count, **names)


def searched(overrides: Sequence[str]) -> tuple[DictConfig, SweepSettings, Phase]:
    """The config that a search begins with, with W&B's logger, and its settings; then the search itself.

    Args:
        overrides: of the command line.

    Raises:
        UserError: if they name no search or hold a secret, or this is not the project's folder.
    """
    conf = Path("conf").resolve()
    if not (conf / "train.yaml").is_file():
        raise UserError(f"{conf}/train.yaml is missing: run this in the project's folder, where train.py is.")
    with initialize_config_dir(str(conf), version_base="1.3"):
        # A search begins with a config in which nothing varies yet.
        parsed = OverridesParser.create().parse_overrides(list(overrides))
        fixed = [str(override.input_line) for override in parsed if not override.is_sweep_override()]
        config = compose("train", [*fixed, "logger=wandb"], return_hydra_config=True)
        if "_target_" not in (config.get("sweeps") or {}):
            raise UserError("name the search: add sweeps=NAME, such as sweeps=tune.")
        HydraConfig.instance().set_config(config)
        settings = instantiate(OmegaConf.to_container(config.sweeps, resolve=True), _convert_="object")
        of_trials = [override for override in overrides if not is_about_the_sweep(override)]
        search = search_phase(settings, of_trials, GlobalHydra.instance().config_loader())
        check_composed(compose("train", search.plan["overrides"]))  # W&B is told all of them
        return config, settings, search


def described(settings: SweepSettings, search: Phase, pruner: Mapping[str, Any] | None) -> dict[str, Any]:
    """What W&B is told of a search.

    Args:
        settings: of the search.
        search: its first phase, the only one that W&B knows.
        pruner: the config of the pruner in `settings`, as Optuna's pruners do not tell how they are set.

    Raises:
        UserError: if W&B cannot search in this way.
    """
    return {
        "name": settings.name,
        "program": "train.py",
        "method": method(settings),
        "metric": metric(settings),
        **early_termination(settings, pruner),
        "run_cap": search.n_trials,
        "parameters": parameters(search.space),
        "command": [
            *("${env}", "${interpreter}", "${program}"),
            *search.plan["overrides"],
            *("logger=wandb", f"logger.wandb.group={settings.name}", "logger.wandb.name=null", "evaluation.test=false"),
            f"run_dir={settings.folder}/${{oc.env:WANDB_RUN_ID}}",  # Hydra reads what the agent sets
            "${args_no_hyphens}",
        ],
    }


def method(settings: SweepSettings) -> str:
    """How W&B chooses values: it has one sampler of each kind."""
    if isinstance(settings.sampler, Exhaustive):
        return "grid"
    return "random" if getattr(settings.sampler, "func", None) is RandomSampler else "bayes"


def metric(settings: SweepSettings) -> dict[str, str]:
    """The objective as `recsys.evaluation.wandb_run` logs it.

    Raises:
        UserError: if there are several.
    """
    from recsys.evaluation.wandb_run import BEST  # noqa: PLC0415 - imports torch

    if len(settings.objectives) > 1:
        raise UserError("W&B sweeps have one objective: take the search to Optuna with python train.py -m sweeps=...")
    name = settings.objectives[0]
    if name.startswith("val/") and name not in BEST:  # only known at the end
        name = f"validation/all/{name.removeprefix('val/')}"
    return {"name": name, "goal": settings.directions[0]}


def early_termination(settings: SweepSettings, pruner: Mapping[str, Any] | None) -> dict[str, Any]:
    """The section that ends trials early; none without a pruner.

    Raises:
        UserError: if W&B does not have the pruner.
    """
    if pruner is None:
        return {}
    if not isinstance(settings.pruner, HyperbandPruner):
        raise UserError("W&B sweeps prune by hyperband only: add sweeps/pruner=hyperband or sweeps/pruner=none.")
    rungs = {"min_iter": pruner["min_resource"], "eta": pruner["reduction_factor"]}
    return {"early_terminate": {"type": "hyperband", **rungs}}


def parameters(space: Space) -> dict[str, Any]:
    """The space in W&B's words.

    Raises:
        UserError: if it has conditions or variants, which W&B does not know.
    """
    for parameter in space.parameters:
        if parameter.when or space.variants:
            raise UserError(
                "W&B sweeps know no conditions and no variants: take this search to Optuna with "
                "python train.py -m sweeps=..."
            )
    return {parameter.key: values(parameter) for parameter in space.parameters}


def values(parameter: Parameter) -> dict[str, Any]:
    """A parameter's values in W&B's words."""
    match parameter.distribution:
        case CategoricalDistribution(choices=choices):
            return {"values": [as_text(c) if c is None or isinstance(c, bool) else c for c in choices]}
        case FloatDistribution(low=low, high=high, log=log, step=None):
            return {"distribution": "log_uniform_values" if log else "uniform", "min": low, "max": high}
        case IntDistribution(low=low, high=high, log=True):
            return {"distribution": "q_log_uniform_values", "q": 1, "min": low, "max": high}
        case IntDistribution(low=low, high=high, step=1):
            return {"distribution": "int_uniform", "min": low, "max": high}
    return {"values": parameter.values()}


def run_app(app: typer.Typer) -> None:
    """Run a command; what a user can mend becomes one sentence on stderr and exit code 2."""
    try:
        app()
    except (UserError, HydraException, OmegaConfBaseException) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    run_app(app)
