"""How a trial ends in its worker when its run has ended well, but what it has come to cannot be used."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from optuna.trial import FrozenTrial, TrialState

from recsys.errors import UserError
from recsys.outcome import Outcome
from recsys.tuning.phase import final_phase, search_phase
from recsys.tuning.storage import open_storage
from recsys.tuning.worker import TrialRunner, measured
from tests.conftest import ROOT
from tests.tuning.test_settings import settings


@pytest.fixture(autouse=True)
def _hydra() -> Iterator[None]:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        yield


def outcome(folder: Path, value: float) -> Outcome:
    """Of a run that has left no file."""
    return Outcome(run_dir=folder, monitored=value, validation={"all": {"ndcg@10": value}}, cost={"parameters": 7})


def ended(folder: Path, value: float, monkeypatch: pytest.MonkeyPatch) -> FrozenTrial:
    """The trial of the only seed, whose run has reached `value`."""
    asked = settings(folder=str(folder), n_trials=0, final_seeds=1)
    phase = final_phase(asked, search_phase(asked, ["model=popularity"], GlobalHydra.instance().config_loader()), None)
    shared = phase.begin(open_storage(None, folder))
    trial = shared.take(phase.chooser)
    assert trial is not None

    def build(_: Any) -> Any:
        raise AssertionError("the run is made up")

    runner = TrialRunner(phase, shared, asked, build)
    monkeypatch.setattr(runner, "_outcome", lambda *_: outcome(folder, value))
    runner.run(trial)
    (left,) = shared.trials()
    return left


def test_a_value_that_is_not_finite_fails_the_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trial = ended(tmp_path, math.nan, monkeypatch)
    assert trial.state == TrialState.FAIL
    assert "val/ndcg@10 is nan" in trial.user_attrs["error"]


def test_a_run_without_its_files_fails_the_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trial = ended(tmp_path, 0.5, monkeypatch)
    assert trial.state == TrialState.FAIL
    assert "metrics.json" in trial.user_attrs["error"]


def test_what_another_study_left_in_a_folder_is_not_gone_on_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = tmp_path / "final" / "default" / "0" / "checkpoints" / "last.ckpt"
    last.parent.mkdir(parents=True)
    last.touch()
    asked = settings(folder=str(tmp_path), n_trials=0, final_seeds=1)
    phase = final_phase(asked, search_phase(asked, ["model=popularity"], GlobalHydra.instance().config_loader()), None)
    shared = phase.begin(open_storage(None, tmp_path))
    given: list[str | None] = []

    def build(config: Any) -> Any:
        given.append(config.ckpt)
        raise RuntimeError("enough is known")

    for attempt in (1, 2):
        trial = shared.take(phase.chooser)
        assert trial is not None
        if attempt == 1:  # as if its process were killed
            with monkeypatch.context() as patch:
                patch.setattr("recsys.tuning.worker.explained", raised)
                with pytest.raises(RuntimeError):
                    TrialRunner(phase, shared, asked, build).run(trial)
            shared.storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)
        else:
            TrialRunner(phase, shared, asked, build).run(trial)
    assert given == [None, str(last)]


def raised(failure: Exception, _: Path) -> str:
    raise failure


def test_data_may_refer_to_all_of_the_configuration(tmp_path: Path) -> None:
    asked = settings(folder=str(tmp_path), n_trials=0, final_seeds=1)
    loader = GlobalHydra.instance().config_loader()
    phase = final_phase(asked, search_phase(asked, ["data.source.seed=${seed}"], loader), None)
    shared = phase.begin(open_storage(None, tmp_path))
    prepared: list[list[str]] = []

    class Prepares:
        def prepare(self) -> list[Any]:
            prepared.append(["anew"])
            return prepared[-1]

    runner = TrialRunner(phase, shared, asked, lambda _: Prepares())
    for seed in (0, 0, 1):
        config = compose("train", ["data.source.seed=${seed}", f"seed={seed}"])
        runner._prepare(config, Prepares())
    assert len(prepared) == 2


def test_measured(tmp_path: Path) -> None:
    assert measured(outcome(tmp_path, 0.5), "val/ndcg@10") == 0.5
    assert measured(outcome(tmp_path, 0.5), "cost/parameters") == 7
    with pytest.raises(
        UserError, match=r"sweeps.objective is val/map@10, .* choose among val/ndcg@10, cost/parameters"
    ):
        measured(outcome(tmp_path, 0.5), "val/map@10")
    with pytest.raises(UserError, match=r"val/ndcg@10 is inf"):
        measured(outcome(tmp_path, math.inf), "val/ndcg@10")
