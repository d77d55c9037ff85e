"""The sweep itself: it makes the study, keeps enough workers busy, and ends with the best configuration.

It runs no trial, `worker.py` does; Hydra's door to it is `hydra_plugins/recsys_sweeper`.
"""

import json
import logging
import os
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import optuna
from hydra import compose
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.storages import BaseStorage
from optuna.trial import TrialState
from tqdm import tqdm

from recsys.errors import UserError
from recsys.files import replacing
from recsys.tuning.final import as_experiment, write_final
from recsys.tuning.lease import runs_in
from recsys.tuning.phase import Phase, chosen_trial, final_phase, search_phase
from recsys.tuning.settings import PhaseName, SweepSettings
from recsys.tuning.space import SEED, summary
from recsys.tuning.storage import open_storage
from recsys.tuning.study import ERROR, SharedStudy
from recsys.tuning.workers import Ended, Workers, worker_command
from recsys.typed_secrets import check_composed

logger = logging.getLogger(__name__)

PAUSE = 0.2  # seconds between two looks at the study
OWN = ("run_dir", "ckpt", "evaluation.test", "hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir")
LIVE = (TrialState.WAITING, TrialState.RUNNING)

Launch = Callable[[Sequence[Sequence[str]]], None]


class Sweep:
    """A sweep over a space, from its first trial to the test of its best configuration.

    Args:
        settings: of the sweep.
        arguments: of the command line, without flags and Hydra's own.
        command: the whole command line.
        config_loader: composes configs.
        launch: runs jobs with these overrides through one of Hydra's launchers until all have ended; None starts
            processes on this machine.
    """

    def __init__(
        self,
        settings: SweepSettings,
        *,
        arguments: Sequence[str],
        command: Sequence[str],
        config_loader: ConfigLoader,
        launch: Launch | None,
    ) -> None:
        self._settings = settings
        self._arguments = arguments
        self._command = command
        self._config_loader = config_loader
        self._parser = OverridesParser.create(config_loader=config_loader)
        self._launch = launch

    def run(self) -> None:
        """Search, then test the best configuration.

        Raises:
            UserError: if the options cannot be used or too many trials fail. The same command goes on from there.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        own = [argument for argument in self._arguments if key_of(argument) in OWN]
        if own:
            raise UserError(f"{own[0]}: a sweep sets {key_of(own[0])} itself; sweeps.folder says where it goes.")
        trial_arguments = [argument for argument in self._arguments if not is_about_the_sweep(argument)]
        storage = open_storage(self._settings.storage, self._settings.path)
        search = search_phase(self._settings, trial_arguments, self._config_loader)
        self._check(search)
        self._write_description(search)
        searched = self._complete("trials", search, storage)
        best = chosen_trial(searched)
        if best is not None:
            params = {key: value for key, value in best.params.items() if key != SEED}
            print(f"Best of {search.n_trials} trials: {summary(params) or 'the default'} (trial {best.number})")
        if self._settings.final_seeds:
            final = final_phase(self._settings, search, best)
            tested = self._complete("final", final, storage)
            written = write_final(self._settings, final, tested, self._config_loader)
            print(f"Tested with {final.n_trials} seeds; repeat it with: python train.py experiment={written.stem}")
        print(f"Report: recsys study {shlex.join(report_arguments(self._settings))}")
        print(f"Sweep folder: {self._settings.path}", flush=True)

    def _check(self, phase: Phase) -> None:
        """Compose a config with every choice before any trial pays for a mistake, or a secret is written down."""
        for params in phase.space.representatives():
            overrides = [*phase.plan["overrides"], *phase.space.overrides(params)]
            check_composed(compose("train", overrides))
            if self._settings.final_seeds:
                as_experiment(overrides, self._config_loader)  # as which the best are kept

    def _write_description(self, phase: Phase) -> None:
        """Write `sweep.json`, from which the sweep's report knows what was asked."""
        content = {
            "name": self._settings.name,
            "storage": self._settings.storage,
            "objectives": phase.objectives,
            "directions": phase.directions,
            "baseline": dict(self._settings.baseline),
            "space": phase.space.texts(),
            "n_trials": phase.n_trials,
            "final_seeds": self._settings.final_seeds,
            "command": shlex.join(["python", Path(self._command[0]).name, *self._command[1:]]),
        }
        with replacing(self._settings.path / "sweep.json") as temporary:
            temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

    def _complete(self, name: PhaseName, phase: Phase, storage: BaseStorage) -> SharedStudy:
        """Have all trials of a phase run, here or by whoever else works on the study."""
        shared = phase.begin(storage)
        with closing(
            Progress(self._settings.name if name == "trials" else f"{self._settings.name} test", shared)
        ) as bar:
            if self._launch is None:
                self._run_here(name, shared, bar)
            else:
                self._run_launched(name, shared, bar)
        return shared

    def _run_here(self, name: PhaseName, shared: SharedStudy, bar: "Progress") -> None:
        """Keep `n_jobs` processes of this machine busy."""
        arguments = [argument for argument in self._command[1:] if self._is_for_workers(argument)]
        threads = self._settings.threads or max(1, (os.cpu_count() or 1) // self._settings.n_jobs)
        workers = Workers(
            worker_command([*arguments, f"sweeps.worker={name}"]), self._settings.path / "workers", threads
        )
        try:
            while self._open(shared, bar, workers.pids):
                for ended in workers.ended():
                    blame(ended, shared)
                waiting = len(shared.trials(TrialState.WAITING))
                for _ in range(min(self._settings.n_jobs - len(workers), waiting)):
                    workers.start()
                time.sleep(PAUSE)
        finally:
            workers.stop()

    def _run_launched(self, name: PhaseName, shared: SharedStudy, bar: "Progress") -> None:
        """Have a launcher run `n_jobs` jobs that share the trials; again where some were lost."""
        assert self._launch is not None
        overrides = [argument for argument in self._arguments if self._is_for_workers(argument)]
        job = [*overrides, f"sweeps.worker={name}", f'hydra.sweep.dir="{self._settings.path / "workers"}"']
        while waiting := self._open(shared, bar):
            before = len(shared.trials(*LIVE))
            self._launch([job] * min(self._settings.n_jobs, waiting))
            self._open(shared, bar)
            if len(shared.trials(*LIVE)) == before:
                raise UserError(
                    f"no job of the launcher has ended a trial of {shared.study.study_name!r}: see its logs."
                )

    def _open(self, shared: SharedStudy, bar: "Progress", spared: Sequence[int] = ()) -> int:
        """Number of trials that have not ended yet.

        Raises:
            UserError: if more have failed than the sweep puts up with.
        """
        shared.put_back_lost(self._settings.lease, self._settings.attempts, spared)
        bar.update()
        failed = shared.trials(TrialState.FAIL)
        if len(failed) > self._settings.max_failures:
            last = failed[-1]
            raise UserError(
                f"{len(failed)} trials failed, more than sweeps.max_failures={self._settings.max_failures}; the last, "
                f"{last.number}: {last.user_attrs.get(ERROR)} ({last.user_attrs.get('folder')})"
            )
        return len(shared.trials(*LIVE))

    def _is_for_workers(self, argument: str) -> bool:
        """Whether processes that run trials are given this argument: what sweeps they have from the study."""
        return argument not in ("-m", "--multirun") and not (
            "=" in argument
            and not argument.startswith("--")
            and self._parser.parse_override(argument).is_sweep_override()
        )


class Progress:
    """A bar over the trials of a study.

    Args:
        title: before the bar.
        shared: the study.
    """

    def __init__(self, title: str, shared: SharedStudy) -> None:
        self._shared = shared
        self._bar = tqdm(total=shared.n_trials, desc=title, unit="trial", file=sys.stderr)

    def update(self) -> None:
        """Show how the study stands."""
        trials = self._shared.trials()
        counts = {state: sum(trial.state == state for trial in trials) for state in TrialState}
        shown = [
            f"{counts[state]} {word}"
            for state, word in (
                (TrialState.RUNNING, "running"),
                (TrialState.PRUNED, "pruned"),
                (TrialState.FAIL, "failed"),
            )
            if counts[state]
        ]
        if counts[TrialState.COMPLETE]:
            best = chosen_trial(self._shared)
            shown += [f"best {best.values[0]:.4f} (trial {best.number})"] if best is not None else []
        finished = sum(trial.state.is_finished() for trial in trials)
        text = ", ".join(shown)
        if (finished, text) != (self._bar.n, self._bar.postfix or ""):  # not a line each time where it goes to a file
            self._bar.n = finished
            self._bar.set_postfix_str(text)

    def close(self) -> None:
        """Leave the bar as it stands."""
        self.update()
        self._bar.close()


def blame(ended: Ended, shared: SharedStudy) -> None:
    """Fail the trial that took its process with it; one that was killed from outside is only put back.

    Raises:
        UserError: if the process ended by an error before it took a trial.
    """
    own = [trial for trial in shared.trials(TrialState.RUNNING) if runs_in(trial, ended.pid)]
    if ended.code in (0, -9, -15):
        return  # nothing left to do, or the trial is found by its lease
    for trial in own:
        folder = Path(str(trial.user_attrs.get("folder", ended.log.parent)))
        with replacing(folder / "error.txt") as temporary:
            temporary.write_text(f"The process {ended.reason}.\n{ended.last_words()}\n", encoding="utf-8")
        shared.fail(trial, f"its process {ended.reason}")
    if not own and ended.code > 0:
        raise UserError(
            f"a worker {ended.reason}; its last words in {ended.log}: {ended.last_words().splitlines()[-1:]}"
        )


def report_arguments(settings: SweepSettings) -> list[str]:
    """What `recsys study` is asked to find the sweep: the name of its folder, and where that is if not as usual."""
    parent = settings.path.parent
    return [settings.path.name, *(["--dir", str(parent)] if parent != Path("runs/sweeps") else [])]


def key_of(argument: str) -> str:
    """What an override is about."""
    return argument.lstrip("+~").partition("=")[0]


def is_about_the_sweep(argument: str) -> bool:
    """Whether an argument says how to search rather than what a trial is like."""
    key = key_of(argument)
    return key == "sweeps" or key.startswith(("sweeps.", "sweeps/", "hydra.", "hydra/"))
