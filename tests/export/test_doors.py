"""`recsys export`, and `export=c` at the end of a run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

import train
from recsys import cli
from recsys.export.export import REPORT
from tests.conftest import Command
from tests.export.c_library import compiler
from tests.wandb_runs import CONF, SMALL, offline_runs


def command(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["recsys", *map(str, arguments)])
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    return int(exit_.value.code or 0)


def test_command(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    options = ("--subset", "category:music", "--subset", "popular:30", "--precision", "int8", "--flash", "64k")
    assert command(monkeypatch, "export", "--run", folders["gat_sage"], "--out", out, "--users", "none", *options) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "30 contents, 0 users, 3 moods" in printed.out
    assert f"make -C {out} test" in printed.out
    assert json.loads((out / REPORT).read_text())["options"]["subset"] == ["category:music", "popular:30"]
    compiler("cc")
    subprocess.run(["make", "-s", "-C", out, "test"], check=True, capture_output=True)


def test_mistakes_are_one_sentence(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, options, said in (
        ("gat_sage", ("--format", "pmml"), "pmml"),
        ("gat_sage", ("--flash", "lots"), "--flash lots"),
        ("gat_sage", ("--flash", "9k"), "more than --flash 9.0 KiB"),
        ("gat_sage", ("--subset", "x"), "popular:N"),
        ("gat_sage", ("--at", "soon"), "--at"),
        ("popularity", (), "popularity has no embeddings"),
    ):
        assert command(monkeypatch, "export", "--run", folders[name], "--out", tmp_path / "out", *options) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.startswith("error: ")
        assert printed.err.count("\n") == 1
        assert said in printed.err
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that exports and logs to W&B."""
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "offline")
        patch.setenv("WANDB_SILENT", "true")
        patch.setenv("WANDB_DATA_DIR", str(tmp_path_factory.mktemp("wandb_data")))
        train.register_resolvers()
        options = [*SMALL, "trainer.max_epochs=1", "model.hidden=8", "export=c", "name=x", f"run_dir={folder}"]
        with initialize_config_dir(str(CONF), version_base="1.3"):
            train.experiment(compose("train", options)).run()
    return folder


def test_a_run_exports_itself(run_dir: Path) -> None:
    compiler("cc")
    done = subprocess.run(["make", "-s", "-C", run_dir / "export", "test"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads((run_dir / "export" / REPORT).read_text())
    assert report["model"] == "gat_sage"


def test_headers_become_an_artifact_beside_the_checkpoint(run_dir: Path) -> None:
    (run,) = offline_runs(run_dir)
    assert run.exit_code == 0
    artifact = run.artifacts["export-c"]
    assert {*artifact.aliases} - {"latest"} == {*run.artifacts["model"].aliases} - {"latest"} == {"refit"}
    logged = {entry.path for entry in artifact.manifest.contents}
    written = json.loads((run_dir / "export" / REPORT).read_text())["files"]
    assert logged == {*written, REPORT}
    assert {"recsys_weights.h", "recsys.h", "recsys.c"} <= logged
    metadata = json.loads(artifact.metadata)
    assert metadata["model"] == "gat_sage"
    assert metadata["contents"] > 0


def test_what_cannot_be_exported_fails_before_training(train: Command, tmp_path: Path) -> None:
    for options, said in ((("model=popularity", "export=c"), "popularity has no"), (("export=pdf",), "'pdf'")):
        small = [option for option in SMALL if not option.startswith("logger")]
        done = train(*small, f"run_dir={tmp_path / 'run'}", *options)
        assert done.returncode == 2
        assert said in done.stderr
        assert done.stderr.count("error:") == 1
        assert not (tmp_path / "run" / "metrics.json").exists()
