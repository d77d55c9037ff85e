"""The `recsys` command: tables for people, JSON for programs, one sentence for mistakes."""

import gzip
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from recsys import __version__, cli
from recsys.serving.bundle import load_bundle
from recsys.serving.recommender import Recommender
from tests.conftest import ROOT
from tests.factories import tiny_log
from tests.serving.bundles import Made, make_bundle
from tests.sources.platform.server import TOKEN, TOKEN_VARIABLE, generate, serving


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


Run = Callable[..., Done]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command in this process."""

    def command(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["recsys", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        captured = capsys.readouterr()
        return Done(int(exit_.value.code or 0), captured.out, captured.err)

    return command


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A run's folder with a bundle whose contents have nasty titles."""
    log = tiny_log(seed=3)
    attributes = log.contents.attributes.copy()
    attributes["title"] = pd.Series([f"[red]\x1b[31m {title}" for title in attributes["title"]], dtype=object)
    log = replace(log, contents=replace(log.contents, attributes=attributes))
    return make_bundle("gat_sage", tmp_path_factory.mktemp("run") / "bundle", log)


def assert_error(done: Done, *said: str) -> None:
    assert done.code == 2, done
    assert done.out == ""
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1
    for words in said:
        assert words in done.err


def user_of(made: Made) -> int:
    return int(made.log.users.ids[made.log.user[0]])


def test_json_is_one_object_and_equals_the_recommender(made: Made, run: Run) -> None:
    done = run("recommend", "--run", made.folder.parent, "--user", user_of(made), "-k", 2, "--page", 2, "--json")
    assert (done.code, done.err) == (0, "")
    assert done.out.count("\n") == 1
    expected = Recommender(load_bundle(made.folder)).for_user(user_of(made), k=2, page=2)
    assert json.loads(done.out) == json.loads(json.dumps(expected.to_json()))
    assert [item["rank"] for item in json.loads(done.out)["items"]] == [3, 4]


def test_table_has_titles_scores_and_what_was_left_out(made: Made, run: Run) -> None:
    done = run("recommend", "--run", made.folder, "--user", user_of(made), "-k", 3)
    assert (done.code, done.err) == (0, "")
    expected = Recommender(load_bundle(made.folder)).for_user(user_of(made), k=3)
    for item in expected.items:
        line = next(
            line for line in done.out.splitlines() if str(item.content_id) in line and f"{item.score:.4f}" in line
        )
        assert "[red]" in line, "a title is no markup"
        assert f"{item.probability:.4f}" in line
    for reason, count in expected.excluded.items():
        assert f"Left out, {reason}: {count}" in done.out
    assert "\x1b" not in done.out, "a title must not steer the terminal"


def test_mood_and_time(made: Made, run: Run) -> None:
    t = int(made.log.boundaries.t_val)
    iso = pd.Timestamp(t, tz="UTC").isoformat()
    recommender = Recommender(load_bundle(made.folder))
    expected = json.loads(json.dumps(recommender.for_mood("joy", t=t).to_json()))
    for at in (iso, t, t // 10**9):
        done = run("recommend", "--run", made.folder, "--mood", "joy", "--at", at, "--json")
        assert json.loads(done.out) == expected
    assert json.loads(run("recommend", "--run", made.folder, "--mood", "joy", "--json").out)["time"] != iso
    expected = json.loads(json.dumps(recommender.for_mood("joy", t=t, only_carriers=True).to_json()))
    asked = ("recommend", "--run", made.folder, "--mood", "joy", "--at", t, "--only-carriers", "--json")
    assert json.loads(run(*asked).out) == expected
    done = run("recommend", "--run", made.folder, "--user", user_of(made), "--only-carriers")
    assert (done.code, done.err) == (2, "error: --only-carriers goes with --mood NAME.\n")


def test_page_past_the_end_says_so(made: Made, run: Run) -> None:
    done = run("recommend", "--run", made.folder, "--mood", "joy", "--page", 99)
    assert done.code == 0
    assert "The last page is" in done.out


def test_popularity_has_no_probability(run: Run, tmp_path: Path) -> None:
    popular = make_bundle("popularity", tmp_path / "bundle")
    done = run("recommend", "--run", tmp_path, "--user", user_of(popular))
    assert done.code == 0
    assert "score" in done.out
    assert "probability" not in done.out
    done = run("recommend", "--run", tmp_path, "--user", user_of(popular), "--json")
    assert {item["probability"] for item in json.loads(done.out)["items"]} == {None}


def test_mistakes_are_one_sentence(made: Made, run: Run, tmp_path: Path) -> None:
    ask = ("recommend", "--run", made.folder)
    assert_error(run(*ask), "exactly one of --user ID and --mood NAME")
    assert_error(run(*ask, "--user", 101, "--mood", "joy"), "exactly one")
    assert_error(run(*ask, "--user", "nobody"), "nobody", "--mood", "joy")
    assert_error(run(*ask, "--mood", "joi"), "joi", "one of joy, ")
    assert_error(run(*ask, "--mood", "joy", "-k", 0), "k is 0")
    assert_error(run(*ask, "--mood", "joy", "--page", -1), "page is -1")
    assert_error(run(*ask, "--mood", "joy", "--at", "soon"), "--at", "soon")
    assert_error(run(*ask, "--mood", "joy", "--at", ""), "--at")
    assert_error(run("recommend", "--run", tmp_path, "--mood", "joy"), str(tmp_path), "neither")
    assert_error(run("recommend", "--run", tmp_path / "no", "--mood", "joy"), "no folder")
    assert_error(run("recommend", "--run", Path(__file__), "--mood", "joy"), "no folder")


def test_a_place_that_cannot_be_written_is_one_sentence(made: Made, run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for out in (Path("/proc/x"), tmp_path / "file" / "x"):
        assert_error(run("export", "--run", made.folder, "--out", out, "--format", "c"), str(out), "cannot be written")


def test_moods_are_listed_with_counts_and_examples(made: Made, run: Run) -> None:
    log, t = made.log, made.log.boundaries.t_test
    done = run("moods", "--run", made.folder.parent, "--examples", 2)
    assert (done.code, done.err) == (0, "")
    assert "\x1b" not in done.out, "a title must not steer the terminal"
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in done.out.splitlines() if "│" in line]
    counts = {}
    for mood, name in zip(log.moods, log.mood_names, strict=True):
        contents = [c for c, tag in log.content_tags.T if tag == mood and log.contents.exists_from[c] < t]
        events = [int(((log.content == c) & (log.time < t)).sum()) for c in contents]
        counts[name] = ["mood", f"{len(contents)}", f"{sum(events)}"]
        examples = next(line for line in lines if line[0] == name)[4]
        best = contents[int(np.argmax(events))]
        assert examples.startswith(str(log.contents.attributes["title"].iloc[best]).replace("\x1b", " "))
        assert examples.count("About") == min(2, len(contents))
    assert {line[0]: line[1:4] for line in lines if line[0]} == counts
    assert_error(run("moods", "--run", made.folder, "--examples", -1), "--examples is -1")
    assert_error(run("moods", "--run", "nowhere"), "nowhere")


def test_fetch_prints_what_it_has_and_goes_on(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    rows = generate()
    config, out = tmp_path / "platform.yaml", tmp_path / "out"
    ask = ("fetch", "--config", config, "--out", out)
    with serving(rows) as server:
        plain = {"base_url": server.url, "page_size": 20, "requests_per_second": 1000, "backoff": 0.01}
        config.write_text(yaml.safe_dump({"api": plain}))
        done = run(*ask)
        assert (done.code, done.err) == (0, ""), done
        for endpoint, part in rows.items():
            assert re.search(rf"{endpoint}\W+{len(part)}\W", done.out)
        asked = len(server.asked)
        assert run(*ask).out == done.out
        assert len(server.asked) == asked
        monkeypatch.setenv("FORCE_COLOR", "1")  # as on a terminal
        shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", run(*ask[:-1], tmp_path / "watched").err)
        for endpoint, part in rows.items():
            assert re.search(rf"{endpoint} ━+ +{len(part)} rows", shown)
        monkeypatch.delenv("FORCE_COLOR")
        assert run(*ask, "--refresh").out == done.out
        assert len(server.asked) > asked
        server.token = "another-token"
        assert_error(run(*ask, "--refresh"), "token is expired or wrong", TOKEN_VARIABLE)
    assert_error(run("fetch", "--config", tmp_path / "no.yaml", "--out", out), "no.yaml")
    for text, said in (
        ("api: {", "cannot be read"),
        ("a: 1", "no entry 'api'"),
        ("api: {pages: 3}", "api.pages"),
        ("api: {timeout: '${oc.env:UNSET}'}", "UNSET"),
        ("[1]", "cannot be read"),
    ):
        config.write_text(text)
        assert_error(run(*ask), said)
    config.write_text((ROOT / "conf/data/platform.yaml").read_text())
    assert_error(run("fetch", "--config", config, "--out", tmp_path / "other"), "api.base_url")


def test_fetch_takes_secrets_from_the_environment(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    monkeypatch.setenv("PLATFORM_KEY", "hunter2")
    rows = generate()
    rows["users"][0]["note"] = "your key is hunter2"
    with serving(rows) as server:
        api = {"base_url": server.url, "requests_per_second": 1000, "params": {"api_key": "${oc.env:PLATFORM_KEY}"}}
        config = tmp_path / "platform.yaml"
        config.write_text(yaml.safe_dump({"api": api, "source": {"api": "${data.api}"}}))
        done = run("fetch", "--config", config, "--out", tmp_path / "out")
    assert (done.code, done.err) == (0, ""), done
    pages = b"".join(gzip.decompress(path.read_bytes()) for path in (tmp_path / "out").rglob("*.gz"))
    assert b"your key is ***" in pages


def test_wrong_options_exit_with_2(made: Made, run: Run) -> None:
    for arguments in (("recommend", "--mood", "joy"), ("recommend", "--run", made.folder, "-k", "ten"), ("reccomend",)):
        done = run(*arguments)
        assert done.code == 2
        assert done.out == ""
        assert "Traceback" not in done.err


def test_version(run: Run) -> None:
    assert run("--version") == Done(0, f"recsys {__version__}\n", "")


def test_help_names_the_verbs(run: Run) -> None:
    done = run("--help")
    assert done.code == 0
    for verb in ("recommend", "fetch", "moods"):
        assert verb in done.out


def recsys(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "recsys.cli", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        check=False,
    )


def test_as_a_process_nothing_but_json_is_on_stdout(made: Made) -> None:
    done = recsys("recommend", "--run", str(made.folder), "--user", str(user_of(made)), "--json")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    assert json.loads(done.stdout)["user_id"] == user_of(made)


def test_as_a_process_a_mistake_is_one_sentence() -> None:
    done = recsys("recommend", "--run", "nowhere", "--user", "1")
    assert_error(Done(done.returncode, done.stdout, done.stderr), "nowhere")


def test_start_up_does_not_wait_for_torch() -> None:
    script = "import sys, recsys.cli; print([name for name in ('torch', 'pandas', 'numpy') if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, env={**os.environ}, check=True
    )
    assert done.stdout.strip() == "[]"
