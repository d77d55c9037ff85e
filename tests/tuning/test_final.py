"""What the end of a sweep writes, and what it says of seeds that failed."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import yaml
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from optuna.trial import TrialState

from recsys.errors import UserError
from recsys.tuning.final import as_experiment, write_final
from recsys.tuning.phase import final_phase, search_phase
from recsys.tuning.storage import open_storage
from recsys.tuning.study import ERROR
from tests.conftest import ROOT
from tests.tuning.sweeps import COMPLETE, FAIL
from tests.tuning.test_settings import settings


@pytest.fixture(autouse=True)
def _hydra() -> Iterator[None]:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        yield


def end(folder: Path, states: Sequence[TrialState]) -> Path:
    """End a sweep whose seeds 0, 1, ... have ended so, each completed one with a tenth of its seed as NDCG@10."""
    asked = settings(folder=str(folder), best_dir=str(folder), n_trials=0, final_seeds=len(states))
    loader = GlobalHydra.instance().config_loader()
    phase = final_phase(asked, search_phase(asked, ["model=popularity"], loader), None)
    shared = phase.begin(open_storage(None, folder))
    for seed, state in enumerate(states):
        trial = shared.take(phase.chooser)
        assert trial is not None
        assert phase.space.suggest(trial) == {"seed": seed}
        for name in ("metrics", "test"):
            trial.set_user_attr(name, {"ndcg@10": seed / 10})
        trial.set_user_attr(ERROR, f"seed {seed} met its end")
        shared.study.tell(trial, seed / 10 if state == COMPLETE else None, state)
    return write_final(asked, phase, shared, loader)


def test_all_seeds(tmp_path: Path) -> None:
    path = end(tmp_path, [COMPLETE, COMPLETE])
    final = json.loads((tmp_path / "final.json").read_text())
    assert (final["asked"], final["seeds"], final["runs"]) == (2, [0, 1], ["final/default/0", "final/default/1"])
    assert final["test"]["ndcg@10"]["mean"] == pytest.approx((0 + 0.1) / 2)
    assert yaml.safe_load(path.read_text())["defaults"] == [{"override /model": "popularity"}, "_self_"]


def test_a_seed_that_failed_is_said_and_counted(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"failed with 1 of 3 seeds: seed 1 met its end \(.*final/default/1\)"):
        end(tmp_path, [COMPLETE, FAIL, COMPLETE])
    final = json.loads((tmp_path / "final.json").read_text())
    assert (final["asked"], final["seeds"]) == (3, [0, 2])
    assert "Over seeds 0, 2" in (tmp_path / "best_s.yaml").read_text()


def test_nothing_is_written_where_every_seed_failed(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="failed with 2 of 2 seeds"):
        end(tmp_path, [FAIL, FAIL])
    assert not (tmp_path / "final.json").exists()


def test_overrides_as_an_experiment() -> None:
    loader = GlobalHydra.instance().config_loader()
    given = ["experiment=[kuairand,report]", "callbacks.progress=null", "callbacks.progress.leave=false", "seed=3"]
    assert as_experiment(given, loader) == {
        "defaults": ["kuairand", "report", "_self_"],
        "callbacks": {"progress": {"leave": False}},
        "seed": 3,
    }
    assert as_experiment(["experiment=kuairand"], loader) == {"defaults": ["kuairand", "_self_"]}
    with pytest.raises(UserError, match=r"~callbacks.progress cannot be kept .* sweeps.final_seeds=0"):
        as_experiment(["~callbacks.progress"], loader)
