"""The two phases of a sweep as work to be done: the search, then the best configuration over several seeds."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from hydra.core.config_loader import ConfigLoader
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from recsys.errors import UserError
from recsys.tuning.best import best_trial, pareto_front
from recsys.tuning.config_files import ConfigFiles
from recsys.tuning.exhaustive import Exhaustive
from recsys.tuning.settings import SweepSettings
from recsys.tuning.space import SEED, VARIANT, Params, Space, parse_space
from recsys.tuning.start import given_point
from recsys.tuning.study import PLAN, SharedStudy, join_study


@dataclass(frozen=True, kw_only=True)
class Phase:
    """Trials of one kind.

    Attributes:
        study: the name of their study.
        folder: what their folders are in, named by their numbers.
        plan: what they have in common, as plain values: `overrides`, `space`, `when`, `variants`, `objectives` ...
        space: what they vary.
        chooser: gives the sampler for a trial's number, or its very params.
        n_trials: their total number.
        objectives, directions: what they are judged by.
        pruner: gives them up; None lets all end.
        test: whether they go on to the test set.
    """

    study: str
    folder: Path
    plan: Mapping[str, Any]
    space: Space
    chooser: Callable[[int], BaseSampler | Params]
    n_trials: int
    objectives: Sequence[str]
    directions: Sequence[str]
    pruner: BasePruner | None
    test: bool

    def begin(self, storage: BaseStorage) -> SharedStudy:
        """Make the phase's study, or join it.

        Raises:
            UserError: if a study of that name searches something else.
        """
        return join_study(
            self.study,
            storage,
            directions=self.directions,
            plan=self.plan,
            n_trials=self.n_trials,
            pruner=self.pruner,
        )


def search_phase(settings: SweepSettings, overrides: Sequence[str], config_loader: ConfigLoader) -> Phase:
    """The search itself, which never sees the test set.

    Args:
        settings: of the sweep.
        overrides: of the command line, those that sweep and those that do not.
        config_loader: of the program's configuration.

    Raises:
        UserError: if the space cannot be searched in the way that is asked.
        HydraException, OmegaConfBaseException, YAMLError, OSError, ValueError: if there is no such configuration.
    """
    space = Space((), {})
    if settings.n_trials != 0:  # else nothing is searched: the configuration is tested as it is given
        space = parse_space(settings.space, settings.when, settings.variants, overrides, config_loader)
    varied = space.texts()
    fixed = [override for override in overrides if override.lstrip("+").partition("=")[0] not in varied]
    of_all = [*settings.overrides, *fixed]
    plan = {
        "overrides": of_all,
        "space": varied,
        "when": {parameter.key: {k: list(v) for k, v in parameter.when.items()} for parameter in space.parameters},
        "variants": {name: list(given) for name, given in space.variants.items()},
        "objectives": settings.objectives,
        "sampler": sampler_name(settings),
        "files": files_behind(of_all, varied, space, config_loader),
        "seed": settings.seed,
    }
    n_trials = settings.n_trials
    if isinstance(settings.sampler, Exhaustive):
        points = settings.sampler.points(space, settings.seed)
        n_trials = len(points) if n_trials is None else min(n_trials, len(points))
        chooser: Callable[[int], BaseSampler | Params] = points.__getitem__
    else:
        chooser = seeded(settings.sampler, settings.seed, given_point(space, of_all))
    if n_trials is None:
        raise UserError("sweeps.n_trials is missing.")
    return Phase(
        study=settings.name,
        folder=settings.path,
        plan=plan,
        space=space,
        chooser=chooser,
        n_trials=n_trials,
        objectives=settings.objectives,
        directions=settings.directions,
        pruner=settings.pruner,
        test=False,
    )


def final_phase(settings: SweepSettings, search: Phase, best: FrozenTrial | None) -> Phase:
    """The best configuration with several seeds, without a search the given one: the only trials that are tested."""
    params = {key: value for key, value in best.params.items() if key != SEED} if best is not None else {}
    name = "default" if best is None else str(best.number)
    seeds = range(settings.final_seeds)
    plan = {
        "overrides": [*search.plan["overrides"], *search.space.overrides(params)],
        "seeds": list(seeds),
    }
    return Phase(
        study=f"{settings.name}-final-{name}",
        folder=settings.path / "final" / name,
        plan=plan,
        space=parse_space({SEED: f"range({settings.final_seeds})"}, {}, {}),
        chooser=lambda number: {SEED: seeds[number]},
        n_trials=len(seeds),
        objectives=settings.objectives,
        directions=settings.directions,
        pruner=None,
        test=True,
    )


def chosen_trial(shared: SharedStudy) -> FrozenTrial | None:
    """The trial whose configuration is the best; of several objectives one on the Pareto front, by the first of them.

    None for a study that is to have no trial.

    Raises:
        UserError: if no trial was completed.
    """
    if not shared.n_trials:
        return None
    completed = shared.trials(TrialState.COMPLETE)
    if not completed:
        raise UserError(f"no trial of {shared.study.study_name!r} was completed, so there is no best one.")
    if len(shared.study.directions) > 1:
        completed = pareto_front(completed, shared.study.directions)
    return best_trial(completed, maximize=shared.study.directions[0] == StudyDirection.MAXIMIZE)


def resume_search(settings: SweepSettings, storage: BaseStorage, config_loader: ConfigLoader) -> Phase:
    """The search as its study describes it, for a process that works on it.

    Args:
        settings: of the sweep.
        storage: where the study is kept.
        config_loader: looks up what `glob` matches.
    """
    plan = optuna.load_study(study_name=settings.name, storage=storage).user_attrs[PLAN]
    sweeps = [f"{key}={text}" for key, text in plan["space"].items() if key != "variant"]
    phase = search_phase(settings, [*plan["overrides"][len(settings.overrides) :], *sweeps], config_loader)
    if phase.plan != plan:
        raise UserError(f"this process was started with other options than the study {settings.name!r}.")
    return phase


def seeded(
    sampler: Callable[..., BaseSampler], seed: int, first: Params | None
) -> Callable[[int], BaseSampler | Params]:
    """A sampler for each trial that depends on nothing but the seed, the number and the trials before.

    Args:
        sampler: builds it from a seed.
        seed: of all of them.
        first: the params of the first trial; None lets its sampler choose.
    """

    def of(number: int) -> BaseSampler | Params:
        if number == 0 and first is not None:
            return first
        return sampler(seed=int(np.random.SeedSequence([seed, number]).generate_state(1)[0]))

    return of


def files_behind(overrides: Sequence[str], varied: Mapping[str, str], space: Space, config_loader: ConfigLoader) -> str:
    """A digest of the files that the trials are composed of: a study is of one configuration, whoever edits it.

    Args:
        overrides: of all trials.
        varied: param -> what is tried, as it stands on a command line.
        space: the same, with variants.
        config_loader: of the program's configuration.
    """
    files = ConfigFiles(config_loader)
    choices = [f"{key}={text}" for key, text in varied.items() if key != VARIANT]
    behind = files.behind([*overrides, *choices])
    for given in space.variants.values():
        behind += files.behind([*overrides, *given])
    return hashlib.sha256(json.dumps(behind).encode()).hexdigest()


def sampler_name(settings: SweepSettings) -> str:
    """What the sampler is called in the plan."""
    sampler = settings.sampler
    return repr(sampler) if isinstance(sampler, Exhaustive) else f"{sampler.func.__name__}({sampler.keywords})"  # type: ignore[attr-defined]
