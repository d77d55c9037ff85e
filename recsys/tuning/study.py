"""A study that survives its processes: a fixed number of trials that are taken, lost, put back and ended."""

import json
import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.exceptions import DuplicatedStudyError, UpdateFinishedTrialError
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from recsys.errors import UserError
from recsys.tuning.lease import LEASE, is_lost, runs_in
from recsys.tuning.space import Params

logger = logging.getLogger(__name__)

PLAN, ATTEMPTS, ERROR = "plan", "attempts", "error"
SETTLED = 2.0  # seconds in which another process that makes trials makes at least one
FIXED = "fixed_params"  # where Optuna looks for the params of an enqueued trial


@dataclass(frozen=True)
class SharedStudy:
    """An Optuna study with a fixed number of trials.

    All trials are made at once, as waiting; a process takes one by turning it into a running one, which every storage
    allows only once. So `n_trials` is the total, whoever works on it, however often it is killed. A lost trial goes
    back to waiting and keeps its number, params and folder.

    Attributes:
        study: Optuna's study.
        n_trials: trials with a lower number belong to the study; others wait for a larger total.
    """

    study: optuna.Study
    n_trials: int

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """The study's trials, all or those in one of `states`."""
        trials = self.study.get_trials(deepcopy=False, states=states or None)
        return [trial for trial in trials if trial.number < self.n_trials]

    def take(self, chooser: Callable[[int], BaseSampler | Params]) -> optuna.Trial | None:
        """A waiting trial, running from now on; None when there is none.

        Args:
            chooser: gives the sampler for the trial of a number, or its very params.
        """
        for waiting in self.trials(TrialState.WAITING):
            if self._move(waiting, TrialState.RUNNING):
                chosen = chooser(waiting.number)
                if isinstance(chosen, BaseSampler):
                    self.study.sampler = chosen
                else:
                    self.storage.set_trial_system_attr(waiting._trial_id, FIXED, chosen)
                trial = optuna.Trial(self.study, waiting._trial_id)
                trial.set_user_attr(ATTEMPTS, waiting.user_attrs.get(ATTEMPTS, 0) + 1)
                return trial
        return None

    def put_back_lost(self, lease: float, attempts: int, spared: Collection[int] = ()) -> None:
        """Let trials that nobody runs any more wait again, or fail after so many `attempts`.

        Args:
            lease: seconds, see `is_lost`.
            attempts: how often a trial may be begun.
            spared: processes of this machine whose end somebody else looks into.
        """
        for trial in self.trials(TrialState.RUNNING):
            if not is_lost(trial, lease) or any(runs_in(trial, pid) for pid in spared):
                continue
            if trial.user_attrs.get(ATTEMPTS, 0) >= attempts:
                self.fail(trial, f"its process was killed {attempts} times, perhaps for want of memory")
            else:
                logger.info("trial %d lost its process and waits for another", trial.number)
                # Else who takes it would seem lost until it has signed for it.
                self.storage.set_trial_user_attr(trial._trial_id, LEASE, None)
                self._move(trial, TrialState.WAITING)

    def _move(self, trial: FrozenTrial, state: TrialState) -> bool:
        """Change a trial's state; False if another process was faster."""
        try:
            return bool(self.storage.set_trial_state_values(trial._trial_id, state))
        except UpdateFinishedTrialError:
            return False

    def fail(self, trial: FrozenTrial, error: str) -> None:
        """End a trial as failed, unless another process has ended it."""
        try:
            self.storage.set_trial_user_attr(trial._trial_id, ERROR, error)
            self.storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
        except UpdateFinishedTrialError:
            logger.info("trial %d was ended by another process", trial.number)

    @property
    def storage(self) -> BaseStorage:
        """Where the study is kept."""
        return self.study._storage


def join_study(
    name: str,
    storage: BaseStorage,
    *,
    directions: Sequence[str],
    plan: Mapping[str, Any],
    n_trials: int,
    pruner: BasePruner | None = None,
) -> SharedStudy:
    """Make a study, or join the one that is there, and make its trials.

    Args:
        name: of the study.
        storage: where it is kept.
        directions: one for each objective.
        plan: what the study searches, as plain values; it must be the same each time.
        n_trials: total number of trials; a larger one than before adds some.
        pruner: gives trials up; None lets all end.

    Raises:
        UserError: if the study searches something else.
    """
    pruner = pruner or optuna.pruners.NopPruner()  # Optuna's own default prunes
    try:
        study = optuna.create_study(study_name=name, storage=storage, directions=list(directions), pruner=pruner)
        is_own = True
    except DuplicatedStudyError:
        study = optuna.load_study(study_name=name, storage=storage, pruner=pruner)
        is_own = False
    plan = json.loads(json.dumps(plan))
    known = study.user_attrs.get(PLAN)
    if known is None:
        study.set_user_attr(PLAN, plan)
    elif known != plan:
        changed = sorted(key for key in plan.keys() | known.keys() if plan.get(key) != known.get(key))
        raise UserError(
            f"the study {name!r} was begun with other options ({', '.join(changed)}): repeat those to continue it, or "
            "give this one another name with sweeps.name=NAME."
        )
    if [direction.name.lower() for direction in study.directions] != list(directions):
        raise UserError(f"the study {name!r} has other directions than {', '.join(directions)}.")
    missing = n_trials - len(study.get_trials(deepcopy=False)) if is_own else still_missing(study, n_trials)
    for _ in range(missing):
        study.add_trial(create_trial(state=TrialState.WAITING))
    return SharedStudy(study, n_trials)


def still_missing(study: optuna.Study, n_trials: int) -> int:
    """How many trials are missing and are not about to be made by another process that has begun the study just now."""
    known = -1
    while known < (now := len(study.get_trials(deepcopy=False))) < n_trials:
        known = now
        time.sleep(SETTLED)
    return max(0, n_trials - now)
