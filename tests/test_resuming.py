"""`ckpt=`: a run goes on with its own options, and a folder from elsewhere cannot bring code with them."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException

import train as train_py
from recsys.errors import UserError
from recsys.resuming import resumed
from tests.conftest import ROOT, Command
from tests.test_train import SMALL, assert_one_sentence


def checkpoint(run: Path, *overrides: object, text: str | None = None) -> Path:
    """A run's folder with these options."""
    for name in (".hydra", "checkpoints"):
        (run / name).mkdir(parents=True)
    (run / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(list(overrides)) if text is None else text)
    path = run / "checkpoints" / "last.ckpt"
    path.touch()
    return path


class Touch:
    """A pickle that makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_a_folder_that_names_code_is_refused_before_any_runs(train: Command, tmp_path: Path) -> None:
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(Touch(tmp_path / "owned")))
    target = f"+logger.x={{_target_: pandas.read_pickle, filepath_or_buffer: {tmp_path}/x.pkl}}"
    done = train(f"ckpt={checkpoint(tmp_path / 'run', target)}")
    assert_one_sentence(done, "repeat it on the command line beside ckpt=")
    assert "overrides.yaml" in done.stderr
    assert not (tmp_path / "owned").exists()


REFUSED = [
    "model._target_=os.system",
    "++model._target_=os.system",
    "+logger.x={a: [{_target_: os.system}]}",
    "+logger.x=str({_target_: os.system})",
    "+logger.x='{_target_: os.system}'",
    "+logger.x=${oc.decode:name}",
    "+logger.x='${oc.decode:${name}}'",
    "+logger.x=$\\{oc.decode\\:name\\}",
    "+logger.x=['${oc.${name}:a}']",
    "experiment=../../elsewhere/evil",
    "experiment=[report, ../../elsewhere/evil]",
    "hydra.searchpath=[file:///elsewhere]",
    "hydra/launcher=joblib",
    "+logger@hydra.callbacks=csv",
    "sweeps=grid",
    "+sweeps.worker=trials",
    "+={hydra: {verbose: true}}",
    "+data.cache='${oc.env:HOME}'",
    "+data.api.params.q=a",
    "data.api.base_url=http://elsewhere",
    "data.api={base_url: http://elsewhere}",
    "++logger.wandb={settings: {base_url: http://elsewhere}}",
    "+logger.wandb.settings.base_url=http://elsewhere",
]


@pytest.mark.parametrize("override", REFUSED)
def test_what_could_run_code_or_send_secrets_away_is_refused(tmp_path: Path, override: str) -> None:
    path = checkpoint(tmp_path, "seed=3", override)
    with pytest.raises(UserError, match="could run code") as error:
        resumed([f"ckpt={path}"])
    assert "\n" not in str(error.value)


def test_what_is_repeated_on_the_command_line_is_taken_from_there(tmp_path: Path) -> None:
    own = "+logger.x={_target_: lightning.pytorch.loggers.CSVLogger, save_dir: here}"
    path = checkpoint(tmp_path, "seed=3", own)
    assert resumed([f"ckpt={path}", own]) == ["seed=3", f"ckpt={path}", f'run_dir="{tmp_path}"', own]


def test_options_of_a_run_are_taken_as_they_are(tmp_path: Path) -> None:
    own = [
        "data=tables",
        "data.path=../logs/a b",
        "data.weights={view: 0.5}",
        "data.target=[like]",
        "name=shop_${seed}_${now:%Y}",
        "+data.apiary=a",
        "~callbacks.progress",
        "monitor=val/ndcg@10",
        "model=lightgcn",
    ]
    path = checkpoint(tmp_path, *own, "run_dir=elsewhere", "seed=4")
    assert resumed([f"ckpt={path}", "seed=5"]) == [*own, f"ckpt={path}", f'run_dir="{tmp_path}"', "seed=5"]
    assert resumed(["seed=5"]) == ["seed=5"]


def test_flags_may_stand_beside_a_checkpoint(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, "model=ease", "seed=4")
    for arguments in (["--cfg", "job", f"ckpt={path}"], [f"ckpt={path}", "--cfg", "job"]):
        done = subprocess.run(
            [sys.executable, str(ROOT / "train.py"), *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        config = yaml.safe_load(done.stdout)
        assert (config["seed"], config["run_dir"]) == (4, str(tmp_path))


def test_a_checkpoint_that_is_none_is_one_sentence(train: Command, tmp_path: Path) -> None:
    path = checkpoint(tmp_path, *SMALL)
    assert_one_sentence(train(f"ckpt={path}"), f"{path} is missing, damaged or no checkpoint of a run")


DAMAGED = {
    "no YAML": "- seed=3\n- 'model",
    "empty": "",
    "a word": "seed=3",
    "a mapping": "seed: 3",
    "other values": "- 3\n",
    "bytes": "\x00\x01",
    "no override": "- --config-dir=elsewhere\n",
    "half an override": "- data.weights={view\n",
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_options_are_one_sentence(tmp_path: Path, case: str) -> None:
    path = checkpoint(tmp_path, text=DAMAGED[case])
    with pytest.raises(UserError, match=r"overrides\.yaml is damaged") as error:
        resumed([f"ckpt={path}"])
    assert "\n" not in str(error.value)


def test_only_the_folders_of_options_hold_options() -> None:
    """Of the project's folder, where runs may lie, nothing but `sweeps/` is a group."""
    train_py.register_resolvers()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        assert compose("train", ["sweeps=grid", "sweeps/sampler=random"]).sweeps.sampler._target_
        # A group would be one of Hydra's errors: there is no such choice.
        assert compose("train", ["+tests=x"]).tests == "x"
        with pytest.raises(HydraException):
            compose("train", ["sweeps=no"])
