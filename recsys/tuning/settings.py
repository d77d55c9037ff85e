"""The settings of a sweep, which `sweeps/base.yaml` documents; `space.py` says what it varies."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler

from recsys.checks import check_count, check_number
from recsys.errors import UserError
from recsys.tuning.exhaustive import Exhaustive

PhaseName = Literal["trials", "final"]

# What a trial can be judged by: validation, or what it costs. There is no way to the test set.
COSTS = ("cost/training_seconds", "cost/inference_seconds", "cost/parameters")
LESS_IS_BETTER = (*COSTS, "val/loss", "val/mae", "val/rmse", "val/gini")
DIRECTIONS = {"max": "maximize", "min": "minimize"}  # of `monitor_mode`


@dataclass(frozen=True, kw_only=True)
class SweepSettings:
    """How a sweep searches.

    Attributes:
        name: of the study.
        folder: where trials, the study's journal and its report go.
        storage: URL of a database that several machines share; None for a journal file in `folder`.
        objective: one or several of `val/METRIC` and COSTS.
        direction: "maximize" or "minimize", one for each objective; None: the monitor by its mode, LESS_IS_BETTER
            minimized, all others maximized.
        monitor, monitor_mode: what the trials' own trainings go by, and whether it is to be large ("max") or small.
        space, when, variants: what varies, see `space.parse_space`.
        overrides: of every trial, before those of the command line.
        baseline: the params that the others are compared with; none where there is nothing to compare.
        n_trials: the total over all restarts; None for every point of an exhaustive sweep; 0 searches nothing and only
            tests the configuration as it is given.
        n_jobs: trials that run at the same time.
        threads: CPU threads of each; None shares out the processors.
        sampler: builds an Optuna sampler from a seed, or tries all points.
        pruner: gives up trials without prospects; None lets all end.
        seed: of the sampler.
        lease: seconds without a sign of life after which a trial counts as lost.
        attempts: how often a trial is started that gets lost each time.
        max_failures: failed trials after which the sweep stops.
        final_seeds: seeds with which the best configuration is trained and tested in the end; 0 never tests.
        best_dir: where `best_<name>.yaml` goes; None for the program's own experiments.
        worker: set by the sweep for the processes it starts.

    Raises:
        UserError: for settings that contradict one another or look at the test set.
    """

    name: str
    folder: str
    storage: str | None
    objective: str | Sequence[str]
    direction: str | Sequence[str] | None
    monitor: str
    monitor_mode: str
    space: Mapping[str, object]
    when: Mapping[str, Mapping[str, object]]
    variants: Mapping[str, Sequence[str]]
    overrides: Sequence[str]
    baseline: Mapping[str, Any]
    n_trials: int | None
    n_jobs: int
    threads: int | None
    sampler: Callable[..., BaseSampler] | Exhaustive
    pruner: BasePruner | None
    seed: int
    lease: float
    attempts: int
    max_failures: int
    final_seeds: int
    best_dir: str | None
    worker: PhaseName | None

    def __post_init__(self) -> None:
        for objective in self.objectives:
            if objective.startswith("test/"):
                raise UserError(
                    f"sweeps.objective is {objective}: a sweep must not see the test set; "
                    f"take val/{objective.removeprefix('test/')}."
                )
            if not objective.startswith("val/") and objective not in COSTS:
                raise UserError(f"sweeps.objective is {objective}: choose val/METRIC or one of {', '.join(COSTS)}.")
        self._check_directions()
        if len(self.objectives) > 1 and self.pruner is not None:
            raise UserError(
                "a sweep with several objectives cannot prune, as a trial that is behind in one may lead in another: "
                "add sweeps/pruner=none."
            )
        if self.pruner is not None and self.objectives[0] in COSTS:
            raise UserError(f"{self.objectives[0]} is only known at a trial's end: add sweeps/pruner=none.")
        if self.n_trials is None and not isinstance(self.sampler, Exhaustive):
            raise UserError("sweeps.n_trials is missing: only sweeps/sampler=grid and brute_force know their own end.")
        for name, least in (("n_jobs", 1), ("attempts", 1), ("max_failures", 0), ("final_seeds", 0)):
            check_count(f"sweeps.{name}", getattr(self, name), least)
        check_count("sweeps.threads", self.threads, 1, optional=True)
        check_count("sweeps.n_trials", self.n_trials, 0, optional=True)
        check_number("sweeps.lease", self.lease, 1)
        if self.n_trials == 0 and self.final_seeds == 0:
            raise UserError("sweeps.n_trials=0 searches nothing and sweeps.final_seeds=0 tests nothing: raise either.")

    def _check_directions(self) -> None:
        """Refuse to search for the worst."""
        if self.monitor_mode not in DIRECTIONS:
            raise UserError(f"monitor_mode is {self.monitor_mode}: it must be max or min.")
        if len(self.directions) != len(self.objectives) or set(self.directions) - {*DIRECTIONS.values()}:
            raise UserError(
                f"sweeps.direction is {self.direction}: give maximize or minimize for each of {len(self.objectives)} "
                "objectives."
            )
        for objective, direction in zip(self.objectives, self.directions, strict=True):
            is_monitor = objective == self.monitor
            if is_monitor and self.monitor_mode == "max" and less_is_better(objective):
                raise UserError(f"monitor is {objective}, of which less is better: add monitor_mode=min.")
            if direction == "maximize" and less_is_better(objective):
                raise UserError(
                    f"sweeps.direction is maximize for {objective}, of which less is better: take minimize."
                )
            if is_monitor and direction != DIRECTIONS[self.monitor_mode]:
                raise UserError(
                    f"sweeps.direction is {direction} for {objective}, but monitor_mode is {self.monitor_mode}: set "
                    "either so that both say the same."
                )

    @property
    def objectives(self) -> list[str]:
        """The objectives as a list."""
        return [self.objective] if isinstance(self.objective, str) else list(self.objective)

    @property
    def directions(self) -> list[str]:
        """Their directions as a list."""
        if self.direction is None:
            return [self._usual_direction(objective) for objective in self.objectives]
        return [self.direction] if isinstance(self.direction, str) else list(self.direction)

    def _usual_direction(self, objective: str) -> str:
        if less_is_better(objective):
            return "minimize"
        return DIRECTIONS[self.monitor_mode] if objective == self.monitor else "maximize"

    @property
    def path(self) -> Path:
        """The sweep's folder."""
        return Path(self.folder)


def less_is_better(objective: str) -> bool:
    """Whether an objective, whatever its `@k`, is one of LESS_IS_BETTER."""
    return objective.partition("@")[0] in LESS_IS_BETTER
