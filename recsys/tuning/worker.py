"""The process that runs trials one after another, so that only the first pays for the imports.

`sweeper.py` starts such processes, `study.py` hands out the trials.
"""

import faulthandler
import gc
import json
import logging
import math
import os
import traceback
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import optuna
import torch
from hydra import compose
from hydra._internal.callbacks import Callbacks
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.utils import run_job
from hydra.types import HydraContext
from lightning.pytorch.callbacks import ProgressBar
from omegaconf import DictConfig, OmegaConf, open_dict
from optuna.trial import TrialState

from recsys.data.preparation import Prepared
from recsys.errors import UserError
from recsys.experiment import Experiment
from recsys.files import replacing
from recsys.outcome import Outcome
from recsys.training import last_checkpoint
from recsys.tuning.lease import Lease
from recsys.tuning.phase import Phase, chosen_trial, final_phase, resume_search
from recsys.tuning.reporting import LeaseLostError, ReportEpochs
from recsys.tuning.settings import SweepSettings
from recsys.tuning.space import Params, summary
from recsys.tuning.storage import one_line, open_storage
from recsys.tuning.study import ATTEMPTS, ERROR, SharedStudy

logger = logging.getLogger(__name__)


def work(settings: SweepSettings, build: Callable[[DictConfig], Experiment]) -> int:
    """Run trials until none waits or too many have failed; gives their number.

    Args:
        settings: of the sweep, with `worker` set to the phase.
        build: makes an experiment of a composed config.

    Raises:
        UserError: if the study cannot be worked on.
    """
    torch.set_num_threads(settings.threads or max(1, (os.cpu_count() or 1) // settings.n_jobs))
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    config_loader: ConfigLoader = GlobalHydra.instance().config_loader()
    storage = open_storage(settings.storage, settings.path)
    phase = resume_search(settings, storage, config_loader)
    shared = phase.begin(storage)
    if settings.worker == "final":
        phase = final_phase(settings, phase, chosen_trial(shared))
        shared = phase.begin(storage)
    runner = TrialRunner(phase, shared, settings, build)
    gc.freeze()  # what was imported stays; looking through it after each trial would take longer than all else between
    count = 0
    # The sweep looks only now and then how many have failed: here no trial begins once they are too many.
    while len(shared.trials(TrialState.FAIL)) <= settings.max_failures and (trial := shared.take(phase.chooser)):
        runner.run(trial)
        count += 1
    return count


class TrialRunner:
    """Runs trials of one phase in this process.

    Args:
        phase: what the trials have in common.
        shared: their study.
        settings: of the sweep.
        build: makes an experiment of a composed config.
    """

    def __init__(
        self,
        phase: Phase,
        shared: SharedStudy,
        settings: SweepSettings,
        build: Callable[[DictConfig], Experiment],
    ) -> None:
        self._phase = phase
        self._shared = shared
        self._settings = settings
        self._build = build
        self._prepared: tuple[str, list[Prepared]] | None = None

    def run(self, trial: optuna.Trial) -> None:
        """Run a trial to its end and tell the study how it ended; no failure of the trial leaves this function."""
        # A crash then leaves its stack in what the process prints. Anew each time, as Lightning puts back handlers of
        # signals that it has not seen being set.
        faulthandler.disable()
        faulthandler.enable()
        with Lease(trial, self._settings.lease) as lease:
            params = self._phase.space.suggest(trial)
            folder = self._phase.folder / str(trial.number)
            trial.set_user_attr("folder", str(folder))
            report = ReportEpochs(trial, self._reported, lease)
            logger.info("trial %d: %s", trial.number, summary(params))
            values: list[float] | None = None
            error: str | None = None
            try:
                outcome = self._outcome(params, folder, report, trial)
                found = [measured(outcome, objective) for objective in self._phase.objectives]
                self._keep(trial, outcome)
                values, state = found, TrialState.COMPLETE  # a study takes no values of a trial that fails
            except optuna.TrialPruned:
                state = TrialState.PRUNED
            except LeaseLostError as lost:
                logger.warning("%s", lost)
                return
            except Exception as failure:  # whatever goes wrong in a trial, the sweep goes on
                state, error = TrialState.FAIL, explained(failure, folder)
            trial.set_user_attr("epochs", report.epochs)
            if not lease.held():
                logger.warning("trial %d is run by another process now; its result here is dropped", trial.number)
                return
            told = {"number": trial.number, "state": state.name, "params": params, "values": values}
            told |= {"epochs": report.epochs, "error": error}
            with replacing(folder / "trial.json") as temporary:
                temporary.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
            if error is not None:
                trial.set_user_attr(ERROR, error)
            self._shared.study.tell(trial, values, state)
            logger.info("trial %d %s%s", trial.number, state.name.lower(), f": {error}" if error else "")
        gc.collect()

    @property
    def _reported(self) -> str | None:
        """The objective that epochs report: that of the search, if it is a single one known before the end."""
        (objective, *more) = self._phase.objectives
        return objective if not more and objective.startswith("val/") and not self._phase.test else None

    def _outcome(self, params: Params, folder: Path, report: ReportEpochs, trial: optuna.Trial) -> Outcome:
        """Run the experiment of these params in `folder`, from where an earlier attempt was killed."""
        # What a first attempt finds there is of another study.
        last = last_checkpoint(folder) if trial.user_attrs[ATTEMPTS] > 1 else None
        overrides = [
            *self._phase.plan["overrides"],
            *self._phase.space.overrides(params),
            f'run_dir="{folder}"',
            f"evaluation.test={str(self._phase.test).lower()}",
            *([f'ckpt="{last}"'] if last is not None else []),
        ]
        config = compose("train", overrides, return_hydra_config=True)
        if "wandb" in (config.logger or {}):
            with open_dict(config):
                config.logger.wandb.group = self._phase.study
                config.logger.wandb.name = f"{trial.number}: {summary(params)}"
        context = HydraContext(config_loader=GlobalHydra.instance().config_loader(), callbacks=Callbacks(config))
        done = run_job(
            task_function=lambda composed: self._run(composed, report),
            config=config,
            job_dir_key="hydra.run.dir",
            job_subdir_key=None,
            hydra_context=context,
        )
        outcome: Outcome = done.return_value
        return outcome

    def _run(self, config: DictConfig, report: ReportEpochs) -> Outcome:
        experiment = self._build(config)
        # The bars of several trials at once cannot be read.
        shown = {name: one for name, one in experiment.callbacks.items() if not isinstance(one, ProgressBar)}
        trainer = partial(experiment.trainer, enable_progress_bar=False)
        experiment = replace(experiment, callbacks=shown, trainer=trainer)
        return experiment.run(prepared=self._prepare(config, experiment), watchers=[report])

    def _prepare(self, config: DictConfig, experiment: Experiment) -> list[Prepared]:
        """The logs of the experiment, which are prepared anew only when its data differ from the trial's before."""
        data = OmegaConf.to_container(config.data, resolve=True)  # may refer to all of the configuration
        key = json.dumps([data, config.evaluation.origins], default=str)
        if self._prepared is None or self._prepared[0] != key:
            self._prepared = None
            self._prepared = key, experiment.prepare()
        return self._prepared[1]

    def _keep(self, trial: optuna.Trial, outcome: Outcome) -> None:
        """Keep with the trial what the study's report and the final summary need."""
        trial.set_user_attr("metrics", outcome.validation["all"])
        trial.set_user_attr("cost", outcome.cost)
        if self._phase.test:
            written = json.loads((outcome.run_dir / "metrics.json").read_text(encoding="utf-8"))
            trial.set_user_attr("test", written["test"]["all"])


def measured(outcome: Outcome, objective: str) -> float:
    """The value of an objective.

    Raises:
        UserError: if the run has no such metric, or it is not finite.
    """
    values = {f"val/{name}": value for name, value in outcome.validation["all"].items()}
    values |= {f"cost/{name}": value for name, value in outcome.cost.items()}
    if objective not in values:
        raise UserError(
            f"sweeps.objective is {objective}, which this run does not have: choose among {', '.join(values)}."
        )
    if not math.isfinite(values[objective]):
        raise UserError(
            f"{objective} is {values[objective]}, by which no trial can be judged: choose another objective."
        )
    return values[objective]


def explained(failure: Exception, folder: Path) -> str:
    """One line on a failure; its traceback goes to `error.txt` in the trial's folder."""
    cause: BaseException | None = failure
    while cause is not None and not isinstance(cause, UserError):
        cause = cause.__cause__
    is_all = cause is not None and cause.__cause__ is None  # nothing of another library is behind it
    text = str(cause) if is_all else "".join(traceback.format_exception(failure))
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / "error.txt") as temporary:
        temporary.write_text(text.rstrip() + "\n", encoding="utf-8")
    return str(cause) if cause is not None else f"{type(failure).__name__}: {one_line(failure)}"
