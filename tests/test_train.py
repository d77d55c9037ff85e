"""`python train.py` end to end: runs, resumes after a kill, and turns bad input into one sentence."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch_geometric.typing
from hydra import compose, initialize_config_dir

import train as train_py
from recsys.models.registry import PEERS
from recsys.serving.bundle import load_bundle
from recsys.serving.recommender import Recommender
from tests.conftest import ROOT, Command
from tests.sources.platform.server import TOKEN, TOKEN_VARIABLE, generate, serving

SMALL = (
    "data.num_users=150",
    "data.num_contents=200",
    "data.num_events=4000",
    "model.hidden=8",
    "loader.snapshots=3",
    "negatives.count=4",
)


def test_default_run_leaves_its_folder(train: Command, tmp_path: Path) -> None:
    done = train("model=gat_sage", *SMALL, "trainer.max_epochs=2", f"run_dir={tmp_path}/run")
    assert done.returncode == 0, done.stderr
    run = tmp_path / "run"
    assert str(run) in done.stdout
    assert "ndcg@10" in done.stdout
    metrics = json.loads((run / "metrics.json").read_text())
    assert {"validation", "test", "threshold", "seed"} <= metrics.keys()
    assert {"all", "warm_users", "cold_users"} <= metrics["test"].keys()
    assert {"ndcg@10", "recall@20", "auroc", "average_precision"} <= metrics["test"]["all"].keys()
    recommendations = pd.read_parquet(run / "recommendations.parquet")
    assert list(recommendations.columns) == ["user_id", "content_id", "rank", "score"]
    assert recommendations.groupby("user_id")["rank"].max().max() <= 100
    for name in ("checkpoints/best.ckpt", "checkpoints/last.ckpt", "report.html", "bundle/manifest.json", ".hydra"):
        assert (run / name).exists(), name


def test_a_run_can_leave_the_test_set_alone(train: Command, tmp_path: Path) -> None:
    done = train(*SMALL, "trainer.max_epochs=1", "evaluation.test=false", f"run_dir={tmp_path}/run")
    assert done.returncode == 0, done.stderr
    assert "test" not in json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert (tmp_path / "run" / "per_user.parquet").is_file()
    assert not any((tmp_path / "run" / name).exists() for name in ("recommendations.parquet", "report.html", "bundle"))


@pytest.mark.parametrize("model", ["hetero_sage", "popularity"])
def test_other_models_run(train: Command, tmp_path: Path, model: str) -> None:
    options = [option for option in SMALL if model != "popularity" or not option.startswith("model.")]
    done = train(f"model={model}", *options, "trainer.max_epochs=1", f"run_dir={tmp_path}/run")
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert "ndcg@10" in metrics["test"]["all"]
    assert [*metrics["cost"]["seconds"]][:5] == ["preparation", "training", "validation", "refit", "test"]


@pytest.mark.parametrize("model", PEERS)
def test_every_peer_runs_up_to_a_bundle_that_recommends(tmp_path: Path, model: str) -> None:
    train_py.register_resolvers()
    data = [option for option in SMALL if option.startswith("data.")]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("train", [f"model={model}", *data, "name=x", "seed=4", f"run_dir={tmp_path}/run"])
    train_py.experiment(config).run()
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["test"]["all"]["ndcg@10"] > 0
    bundle = load_bundle(tmp_path / "run" / "bundle")
    assert (bundle.manifest.kind, bundle.manifest.model) == ("peer", model)
    assert bundle.manifest.settings.get("seed", 4) == 4
    assert Recommender(bundle).for_user(bundle.log.users.ids[0]).items


NEIGHBOR = (
    *(option for option in SMALL if not option.startswith("loader.")),
    "loader=neighbor",
    "loader.fan_out=[4,2]",
    "loader.batch_size=64",
    "loader.seeds_per_epoch=256",
)


def test_two_processes_train_one_run(train: Command, tmp_path: Path) -> None:
    together = ("trainer.devices=2", "trainer.strategy=ddp_find_unused_parameters_true", "trainer.max_epochs=2")
    done = train(*NEIGHBOR, *together, f"run_dir={tmp_path}/run")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Run folder:") == 1
    curves = pd.concat([pd.read_csv(path) for path in (tmp_path / "run" / "logs").glob("*/metrics.csv")])
    for metric in ("val/ndcg@10", "train/loss"):
        assert curves.loc[curves[metric].notna(), "epoch"].tolist() == [0, 1]
    assert "test" in json.loads((tmp_path / "run" / "metrics.json").read_text())


@pytest.mark.parametrize(
    "options",
    [
        ("model=gat_sage", "loader.strategy=strength"),
        ("model=hetero_sage", "objective=sampled_softmax", "negatives=in_batch", "loader.num_workers=2"),
    ],
    ids=lambda options: options[0],
)
def test_training_by_neighbour_sampling(train: Command, tmp_path: Path, options: tuple[str, ...]) -> None:
    done = train(*NEIGHBOR, *options, "trainer.max_epochs=2", f"run_dir={tmp_path}/run")
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert "ndcg@10" in metrics["test"]["all"]
    assert [*metrics["cost"]["seconds"]][:5] == ["preparation", "training", "validation", "refit", "test"]
    assert (tmp_path / "run" / "bundle" / "manifest.json").is_file()


BAD_NEIGHBOR = {
    "pyg-lib is missing": ("loader.sampler=pyg_lib", "not installed here"),
    "unknown relation": ("loader.fan_out_of={views: [3, 3]}", "loader.fan_out_of names views"),
    "unknown strategy": ("loader.strategy=newest", "choose uniform, last"),
    "fewer hops than layers": ("model.layers=3", "loader.fan_out=[10,5,5]"),
    "no half-life": ("loader.strategy=decay", "half_life"),
    "processes by copying": ("trainer.strategy=ddp_spawn", "use ddp_find_unused_parameters_true"),
}


@pytest.mark.parametrize("case", BAD_NEIGHBOR)
def test_bad_options_of_the_neighbour_loader_end_with_one_sentence(train: Command, tmp_path: Path, case: str) -> None:
    option, said = BAD_NEIGHBOR[case]
    if "pyg_lib" in option and torch_geometric.typing.WITH_PYG_LIB:
        pytest.skip("pyg-lib is installed")
    given = [other for other in NEIGHBOR if other.partition("=")[0] != option.partition("=")[0]]
    assert_one_sentence(train(*given, option, f"run_dir={tmp_path}/run"), said)


@pytest.mark.parametrize(
    "options",
    [
        ("objective=bpr", "negatives=popularity"),
        ("objective=sampled_softmax", "negatives=in_batch"),
        ("negatives=hard", "negatives.pool=8", "logger=tensorboard"),
        ("logger=wandb",),
        ("debug=fast",),
        ("debug=overfit", "trainer.max_epochs=2"),
    ],
    ids=lambda options: options[0],
)
def test_choices_run_end_to_end(train: Command, tmp_path: Path, options: tuple[str, ...]) -> None:
    done = train(*SMALL, "trainer.max_epochs=1", *options, f"run_dir={tmp_path}/run")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "metrics.json").is_file()


def test_a_profile_says_where_the_time_of_an_epoch_goes(train: Command, tmp_path: Path) -> None:
    done = train(*SMALL, "debug=profile", "trainer.max_epochs=1", f"run_dir={tmp_path}/run")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "metrics.json").is_file()
    report = (tmp_path / "run" / "fit-profile.txt").read_text()
    assert "train_dataloader_next" in report
    assert "run_training_batch" in report


def test_same_seed_same_bits_other_seed_other_bits(train: Command, tmp_path: Path) -> None:
    scores = []
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        # The platform stays the same; only the run's seed moves.
        options = ("data.source.seed=0", f"seed={seed}", "trainer.max_epochs=1", f"run_dir={tmp_path / folder}")
        done = train(*SMALL, *options)
        assert done.returncode == 0, done.stderr
        scores.append(pd.read_parquet(tmp_path / folder / "recommendations.parquet"))
    assert scores[0].equals(scores[1])
    assert not scores[0].equals(scores[2])


@pytest.mark.parametrize("options", [(), ("evaluation.origins=2",)], ids=["one origin", "two origins"])
def test_killed_and_resumed_equals_uninterrupted(train: Command, tmp_path: Path, options: tuple[str, ...]) -> None:
    options = (*SMALL, "trainer.max_epochs=5", "model.dropout=0.3", *options)
    whole = train(*options, f"run_dir={tmp_path}/whole")
    assert whole.returncode == 0, whole.stderr

    checkpoints = tmp_path / "killed" / "checkpoints"
    first = checkpoints / "origin_1" if "evaluation.origins=2" in options else checkpoints
    kill_once_there(first / "last.ckpt", *options, f"run_dir={tmp_path}/killed")
    kill_once_there(checkpoints / "refit.ckpt", f"ckpt={first}/last.ckpt")
    resumed = train(f"ckpt={first}/last.ckpt")
    assert resumed.returncode == 0, resumed.stderr
    before, after = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("whole", "killed"))
    cost, choice = after.pop("cost"), json.loads((checkpoints / "choice.json").read_text())
    assert before.pop("cost").keys() == cost.keys()
    assert before == after
    assert cost["seconds"]["training"] + 0.001 > choice["seconds"] > 0, "earlier sittings were not counted"
    assert before["refit"]["epochs"] >= 1


def kill_once_there(file: Path, *overrides: str) -> None:
    """Run `python train.py` until it has written `file`, then kill it."""
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *overrides],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 240
    while not file.is_file() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert file.is_file()
    run = next(folder.parent for folder in file.parents if folder.name == "checkpoints")
    assert not (run / "metrics.json").exists(), "the run ended before it could be killed"


def events(path: Path, rows: str, header: str = "user_id,content_id,type,value,timestamp") -> Path:
    folder = path / "log"
    folder.mkdir()
    (folder / "interactions.csv").write_text(f"{header}\n{rows}")
    return folder


DAY = 86_400
START = 1_700_000_000
GOOD = "".join(f"{u},{(u * 7 + k) % 9},view,,{START + (k * 5 + u) * DAY // 4}\n" for k in range(6) for u in range(5))

BAD_TABLES = {
    "empty": ("", {}, "interactions"),
    "no such column": (GOOD, {"header": "user,content_id,type,value,timestamp"}, "user_id"),
    "one user": ("".join(f"1,{k},view,,{START + k}\n" for k in range(9)), {}, "one user"),
    "one time": ("".join(f"{k % 3},{k},view,,{START}\n" for k in range(9)), {}, "time"),
    "unparseable times": ("".join(f"{k % 3},{k},view,,soon\n" for k in range(9)), {}, "soon"),
    "all in the future": ("".join(f"{k % 3},{k},view,,2999-01-0{k + 1}\n" for k in range(9)), {}, "clock"),
    "value is text": (GOOD.replace(",,", ",much,"), {}, "value"),
}


@pytest.mark.parametrize("case", BAD_TABLES)
def test_bad_tables_end_with_one_sentence(train: Command, tmp_path: Path, case: str) -> None:
    rows, options, said = BAD_TABLES[case]
    folder = events(tmp_path, rows, **options)
    done = train("data=tables", f"data.path={folder}", f"run_dir={tmp_path}/run")
    assert_one_sentence(done, said)


BAD_OPTIONS = {
    "no such folder": (("data=tables", "data.path=/no/such/folder"), "/no/such/folder"),
    "no path": (("data=tables",), "data.path"),
    "unknown option": (("data.numusers=3",), "data.numusers"),
    "unknown model": (("model=transformer",), "gat_sage"),
    "unknown type in weights": (("data.weights={lik: 3}",), "lik"),
    "unknown target": (("data.target=[lik]",), "lik"),
    "no positives": (("data.target=[rating]", "data.target_least=1000"), "target"),
    "heads do not divide": (("model.hidden=9", "model.heads=2"), "heads"),
    "no checkpoint": (("ckpt=/no/last.ckpt",), "/no/last.ckpt"),
    "impossible size": (("data.num_users=-1",), "num_users"),
    "no number": (("mood_weight=abc",), "mood_weight is abc: it must be a number"),
    "no whole number": (("evaluation.block=abc",), "evaluation.block is abc: it must be a whole number"),
    "no number of a callback": (("callbacks.early_stopping.patience=abc",), "patience is abc: it must be a number"),
    "a callback that is null": (("callbacks.best=null",), "take it away, as in ~callbacks.best"),
    "a group that is null": (("scheduler=null",), "take it away, as in ~scheduler"),
    "a group that is taken away": (("~optimizer",), "optimizer is None: it must be a group of options"),
    "unknown monitor": (("monitor=val/ndgc@10",), "val/ndgc@10"),
}


@pytest.mark.parametrize("case", BAD_OPTIONS)
def test_bad_options_end_with_one_sentence(train: Command, tmp_path: Path, case: str) -> None:
    options, said = BAD_OPTIONS[case]
    small = () if options[0].startswith(("data=tables", "model=")) else SMALL
    named = {option.partition("=")[0] for option in options}
    small = tuple(option for option in small if option.partition("=")[0] not in named)
    done = train(*small, *options, "trainer.max_epochs=1", f"run_dir={tmp_path}/run")
    assert_one_sentence(done, said)


@pytest.mark.parametrize(
    ("text", "said"),
    [("hidden: [1, 2\nlayers: 3\n", 'own.yaml", line 1'), ("hidden: ${seed\n", "'${seed'")],
    ids=["yaml", "interpolation"],
)
def test_a_broken_file_of_a_group_ends_with_one_sentence(train: Command, tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "own.yaml").write_text(text)
    assert_one_sentence(train("model=own", f"hydra.searchpath=[file://{tmp_path}]", f"run_dir={tmp_path}/run"), said)


def test_options_of_what_is_built_late_end_with_one_sentence(train: Command, tmp_path: Path) -> None:
    done = train(*SMALL, "optimizer.lr=-1", f"run_dir={tmp_path}/run")
    assert_one_sentence(done, "optimizer could not be built with these options: {lr: -1,")


def test_a_folder_that_cannot_be_written_ends_with_one_sentence(train: Command, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in ("/proc/nope", f"{tmp_path}/file", f"{tmp_path}/file/run"):
        assert_one_sentence(train(f"run_dir={folder}"), "give a folder that can be written as run_dir=DIR")


def test_a_typed_secret_is_refused_before_anything_is_written(train: Command, tmp_path: Path) -> None:
    done = train("data=platform", "+data.api.params.api_key=hunter2", f"run_dir={tmp_path}/run")
    assert_one_sentence(done, "data.api.params.api_key is a secret")
    assert "hunter2" not in done.stdout + done.stderr
    assert not (tmp_path / "run").exists()


def assert_one_sentence(done: subprocess.CompletedProcess[str], said: str) -> None:
    assert done.returncode == 2, (done.returncode, done.stdout[-2000:], done.stderr[-2000:])
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, done.stderr
    assert said in errors[0]
    assert "Traceback" not in done.stderr


def test_the_platform_is_fetched_trained_on_and_its_token_left_nowhere(
    train: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    monkeypatch.setenv("PLATFORM_KEY", key := "an-access-key-of-the-tests")
    options = (
        "+data.api.params.access_key=${oc.env:PLATFORM_KEY}",
        "model.hidden=8",
        "loader.snapshots=2",
        "negatives.count=4",
        "trainer.max_epochs=1",
    )
    rows = generate(num_users=60, num_posts=80, num_events=1500)
    rows["users"][0]["next"] = f"https://host/users?access_key={key}&page=2"
    with serving(rows, needs_param="access_key") as server:
        api = (f"data.api.base_url={server.url}", "data.api.requests_per_second=1000", f"data.folder={tmp_path}/pages")
        done = train("data=platform", *api, *options, f"run_dir={tmp_path}/run")
        assert done.returncode == 0, done.stderr
        asked = len(server.asked)
        assert asked > 0
        leaky = train("data=platform", *api, *options, "data.leaky_totals=true", f"run_dir={tmp_path}/leaky")
        assert leaky.returncode == 0, leaky.stderr
        assert len(server.asked) == asked, "what was fetched is read again"
        server.token = "another-token"
        done = train("data=platform", *api, *options, "data.max_age_hours=1e-9", f"run_dir={tmp_path}/refused")
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert "token is expired or wrong" in done.stderr
    cleaning = pd.read_csv(tmp_path / "run" / "cleaning.csv")
    assert cleaning.loc[cleaning["table"] == "platform views", "rows"].iloc[0] == len(rows["views"])
    for folder, leaks in (("run", False), ("leaky", True)):
        page = (tmp_path / folder / "report.html").read_text()
        assert ('role="alert">LEAK' in page) == leaks
        assert ("LEAK" in (tmp_path / folder / "train.log").read_text()) == leaks
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 30
    unpacked = [gzip.decompress(path.read_bytes()) for path in tmp_path.rglob("*.gz")]
    printed = done.stdout + done.stderr + leaky.stdout + leaky.stderr
    for secret in (TOKEN, key):
        assert not any(secret.encode() in content for content in (*written, *unpacked))
        assert secret not in printed
    assert "access_key: (left out)" in (tmp_path / "run" / "report.html").read_text()
    assert "access_key: (left out)" in (tmp_path / "run" / "logs" / "version_0" / "hparams.yaml").read_text()
