"""The end of a sweep: what the best configuration reaches on test, and the file that repeats it."""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.trial import TrialState

from recsys.errors import UserError
from recsys.files import replacing
from recsys.tuning.phase import Phase
from recsys.tuning.settings import SweepSettings
from recsys.tuning.spread import over_seeds
from recsys.tuning.study import ERROR, SharedStudy


def write_final(settings: SweepSettings, phase: Phase, shared: SharedStudy, config_loader: ConfigLoader) -> Path:
    """Write `final.json` into the sweep's folder and `best_<name>.yaml` beside the other experiments; gives the latter.

    Raises:
        UserError: if the best configuration failed with a seed; what is written is then of the others, if any.
    """
    done, failed = shared.trials(TrialState.COMPLETE), shared.trials(TrialState.FAIL)
    best_dir = Path(settings.best_dir) if settings.best_dir else own_experiments(config_loader)
    path = best_dir / f"best_{settings.name}.yaml"
    if done:
        validation = over_seeds([trial.user_attrs["metrics"] for trial in done])
        test = over_seeds([trial.user_attrs["test"] for trial in done])
        content: dict[str, Any] = {
            "overrides": phase.plan["overrides"],
            "asked": settings.final_seeds,
            "seeds": [trial.params["seed"] for trial in done],
            "runs": [(phase.folder / str(trial.number)).relative_to(settings.path).as_posix() for trial in done],
            "validation": {name: asdict(found) for name, found in validation.items()},
            "test": {name: asdict(found) for name, found in test.items()},
        }
        with replacing(settings.path / "final.json") as temporary:
            temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        with replacing(path) as temporary:
            temporary.write_text(experiment_file(settings, content, config_loader), encoding="utf-8")
    if failed:
        last = failed[-1]
        raise UserError(
            f"the best configuration failed with {len(failed)} of {settings.final_seeds} seeds: "
            f"{last.user_attrs.get(ERROR)} ({phase.folder / str(last.number)}); mend that and delete {settings.path} "
            "to search and test anew."
        )
    return path


def own_experiments(config_loader: ConfigLoader) -> Path:
    """The folder of the program's experiments."""
    (main,) = [item for item in config_loader.get_search_path().get_path() if item.provider == "main"]
    return Path(main.path.removeprefix("file://")) / "experiment"


def experiment_file(settings: SweepSettings, content: Mapping[str, Any], config_loader: ConfigLoader) -> str:
    """The text of `best_<name>.yaml`: the best configuration as an experiment, its figures as a comment."""
    body = as_experiment(content["overrides"], config_loader)
    lines = [
        "# @package _global_",
        f"# The best configuration that the sweep {settings.name} has found, by {', '.join(settings.objectives)}.",
        f"# Over seeds {', '.join(map(str, content['seeds']))}, mean +- standard deviation:",
    ]
    for split in ("validation", "test"):
        shown = (name for name in ("ndcg@10", "recall@20", "mrr@10", "auroc") if name in content[split])
        figures = (f"{name} {content[split][name]['mean']:.4f} +- {content[split][name]['std']:.4f}" for name in shown)
        lines.append(f"#   {split}: {', '.join(figures)}")
    lines.append(f"# python train.py {shlex.join([f'experiment=best_{settings.name}'])}")
    return "\n".join(lines) + "\n" + yaml.safe_dump(body, sort_keys=False)


def as_experiment(overrides: Sequence[str], config_loader: ConfigLoader) -> dict[str, Any]:
    """Overrides as the content of an experiment's file.

    Raises:
        UserError: if an override takes something away, which no experiment file can say.
    """
    groups: list[Any] = []
    values: dict[str, Any] = {}
    experiments: list[Any] = []
    for override in OverridesParser.create(config_loader=config_loader).parse_overrides(list(overrides)):
        key, value = override.key_or_group, override.value()
        if override.is_delete():
            raise UserError(
                f"{override.input_line} cannot be kept in the experiment file that a sweep ends with: leave it out, or "
                "add sweeps.final_seeds=0."
            )
        if key == "experiment":
            experiments = value if isinstance(value, list) else [value] if value else []
        elif config_loader.get_group_options(key):
            at = f"@{override.package}" if override.package else ""
            groups = [entry for entry in groups if f"override /{key}{at}" not in entry]
            groups.append({f"override /{key}{at}": value})
        else:
            place = values
            *parents, last = key.split(".")
            for parent in parents:
                if not isinstance(place.get(parent), dict):
                    place[parent] = {}
                place = place[parent]
            place[last] = value
    return {"defaults": [*experiments, *groups, "_self_"], **values}
