"""A bundle scores as the model it was saved from, anywhere, and a spoilt one is one clear sentence."""

import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsys.data.event_log_files import read_log, write_log
from recsys.data.features import fit_encoders
from recsys.errors import UserError
from recsys.graph.settings import GraphSettings, SimilaritySettings
from recsys.graph.temporal_graph import TemporalGraph
from recsys.models.graph_scorer import GraphScorer
from recsys.models.registry import NETWORKS
from recsys.models.scorer import MoodScorer
from recsys.serving import bundle as bundle_module
from recsys.serving.bundle import load_bundle
from recsys.serving.manifest import FORMAT_VERSION, MANIFEST, OLDEST_VERSION, describe_files, find_bundle
from tests.conftest import ROOT
from tests.serving.bundles import KINDS, Made, all_scores, change_manifest, make_bundle

Change = Callable[[dict[str, Any]], object]


def assert_one_sentence(error: pytest.ExceptionInfo[UserError], *said: str) -> None:
    message = str(error.value)
    assert "\n" not in message
    assert len(message) < 700
    for words in said:
        assert words in message


def test_loaded_scores_are_the_same_bits(made: Made) -> None:
    loaded = load_bundle(made.folder)
    boundaries = made.log.boundaries
    for t in (boundaries.t_val, boundaries.t_test, boundaries.end + 1):
        assert torch.equal(all_scores(loaded.scorer, loaded.log, t), all_scores(made.scorer, made.log, t))
    if isinstance(made.scorer, MoodScorer):
        assert isinstance(loaded.scorer, MoodScorer)
        asked = np.arange(len(made.log.moods)), np.arange(6), boundaries.t_test
        assert len(asked[0]) > 0
        assert torch.equal(loaded.scorer.score_moods(*asked), made.scorer.score_moods(*asked))


def test_loaded_facts_are_the_same(made: Made) -> None:
    loaded = load_bundle(made.folder)
    assert loaded.threshold == 0.1 + 0.2
    assert loaded.time == made.log.boundaries.t_test
    assert loaded.manifest.data_time == made.log.time[-1]
    assert loaded.graph.schema == made.graph.schema
    assert loaded.scorer.gives_logits == made.scorer.gives_logits
    assert loaded.manifest.versions["torch"] == torch.__version__
    assert loaded.log.mood_names == made.log.mood_names


SCORE_EVERYTHING = """
import sys
from pathlib import Path
import numpy as np
import torch
torch.set_num_threads(1)
from recsys.serving.bundle import load_bundle
for folder in sys.argv[1:]:
    loaded = load_bundle(Path(folder))
    users, contents = np.arange(len(loaded.log.users)), np.arange(loaded.log.contents.count_before(loaded.time))
    print(loaded.scorer.score(users, contents, loaded.time).numpy().tobytes().hex())
"""


def test_scores_in_a_fresh_process_elsewhere(tmp_path: Path) -> None:
    far = tmp_path / "far" / "away"
    far.mkdir(parents=True)
    expected = []
    for kind in KINDS:
        made = make_bundle(kind, tmp_path / "run" / kind / "bundle")
        expected.append(all_scores(made.scorer, made.log, made.log.boundaries.t_test).numpy())
        made.folder.rename(far / kind)
    shutil.rmtree(tmp_path / "run")
    done = subprocess.run(
        [sys.executable, "-c", SCORE_EVERYTHING, *KINDS],
        cwd=far,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for line, scores in zip(done.stdout.splitlines(), expected, strict=True):
        assert np.array_equal(np.frombuffer(bytes.fromhex(line), dtype=np.float32), scores.ravel())


def test_loading_unpickles_nothing_and_draws_no_random_number(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("something was unpickled")

    for module, name in ((pickle, "load"), (pickle, "loads"), (pickle, "Unpickler"), (torch, "load")):
        monkeypatch.setattr(module, name, refuse)
    before = torch.get_rng_state()
    load_bundle(made.folder)
    assert torch.equal(torch.get_rng_state(), before)
    suffixes = {path.suffix for path in made.folder.rglob("*") if path.is_file()}
    assert suffixes <= {".json", ".parquet", ".safetensors"}


def test_network_in_training_is_saved_and_left_as_it_is(gat: Made, tmp_path: Path) -> None:
    assert isinstance(gat.scorer, GraphScorer)
    gat.scorer.network.train()
    try:
        folder = gat.save(tmp_path / "bundle")
        assert gat.scorer.network.training
    finally:
        gat.scorer.network.eval()
    loaded = load_bundle(folder)
    assert isinstance(loaded.scorer, GraphScorer)
    assert not loaded.scorer.network.training


def test_saving_replaces_an_older_bundle_and_leaves_nothing_beside_it(gat: Made, tmp_path: Path) -> None:
    folder = gat.save(tmp_path / "bundle", threshold=0.25)
    (folder / "old.json").write_text("{}")
    gat.save(folder, threshold=0.75)
    assert load_bundle(folder).threshold == 0.75
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    assert not (folder / "old.json").exists()


def test_failed_saving_keeps_the_older_bundle(gat: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = gat.save(tmp_path / "bundle", threshold=0.25)

    def full(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(bundle_module, "describe_files", full)
    with pytest.raises(UserError, match=r"bundle cannot be written \(No space"):
        gat.save(folder, threshold=0.75)
    assert load_bundle(folder).threshold == 0.25
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_saving_replaces_nothing_but_a_bundle(gat: Made, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError) as error:
        gat.save(tmp_path)
    assert_one_sentence(error, str(tmp_path), "is no bundle")
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"threshold": float("nan")}, "threshold is nan"),
        ({"config": {"rate": float("inf")}}, "Out of range"),
    ],
)
def test_what_no_bundle_could_hold_is_not_saved(gat: Made, tmp_path: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as error:
        gat.save(tmp_path / "bundle", **change)
    assert_one_sentence(error, said)
    assert list(tmp_path.iterdir()) == []


def test_more_windows_than_a_bundle_may_have_are_not_saved(popular: Made, tmp_path: Path) -> None:
    settings = GraphSettings(windows=[(i + 1) / 200 for i in range(200)])
    with pytest.raises(UserError) as error:
        popular.save(tmp_path / "bundle", graph=TemporalGraph(popular.log, fit_encoders(popular.log), settings))
    assert_one_sentence(error, "graph.windows", "up to 100 shares")
    assert list(tmp_path.iterdir()) == []


SWITCHED_OFF: dict[str, GraphSettings] = {
    "creators": GraphSettings(creators=False),
    "tags": GraphSettings(tags=False),
    "time_features": GraphSettings(time_features=False),
    "similarity": GraphSettings(similarity=SimilaritySettings(users=False, contents=False)),
}


@pytest.mark.parametrize("switch", SWITCHED_OFF)
@pytest.mark.parametrize("kind", NETWORKS)
def test_graphs_with_a_part_switched_off_come_back_as_they_were(kind: str, switch: str, tmp_path: Path) -> None:
    made = make_bundle(kind, tmp_path / "bundle", settings=SWITCHED_OFF[switch])
    loaded = load_bundle(made.folder)
    assert loaded.graph.settings == SWITCHED_OFF[switch]
    t = made.log.boundaries.t_test
    assert torch.equal(all_scores(loaded.scorer, loaded.log, t), all_scores(made.scorer, made.log, t))
    assert isinstance(made.scorer, GraphScorer)
    assert isinstance(loaded.scorer, GraphScorer)
    asked = np.arange(len(made.log.moods)), np.arange(6), t
    assert len(asked[0]) > 0, "moods can be stated whatever the graph holds"
    assert torch.equal(loaded.scorer.score_moods(*asked), made.scorer.score_moods(*asked))


@pytest.mark.parametrize("version", range(1, OLDEST_VERSION))
def test_a_bundle_of_an_older_format_is_refused_with_what_to_do(copied: Path, version: int) -> None:
    """As a recsys of that version wrote it: none knew levels, the first three no identities, the first two no gates."""

    def as_written_then(manifest: dict[str, Any]) -> None:
        manifest["format_version"] = version
        if version >= 4:
            return
        del manifest["schema"]["num_met"]
        for name in ("id_embedding", "id_dropout"):
            del manifest["settings"][name]
        if version == 3:
            return
        for name in ("popularity", "pair_signals"):
            del manifest["schema"][name]
        for name in ("popularity_gates", "pair"):
            del manifest["settings"][name]
        if version == 1:
            graph = manifest.pop("graph")
            manifest.update(windows=graph["windows"], similarity=graph["similarity"])

    change_manifest(copied, as_written_then)
    with pytest.raises(UserError) as error:
        load_bundle(copied)
    assert_one_sentence(error, MANIFEST, f"format version {version}", "train the model again")


PARTS = {
    "neither": {"popularity_gates": False, "pair": "none"},
    "gates": {"popularity_gates": True, "pair": "none"},
    "paths": {"popularity_gates": False, "pair": "propagate"},
    "identities": {"popularity_gates": False, "pair": "none", "id_embedding": 4, "id_dropout": 0.25},
    "learned hops": {"popularity_gates": False, "pair": "local_gnn"},
}


@pytest.mark.parametrize("parts", PARTS)
@pytest.mark.parametrize("kind", NETWORKS)
def test_networks_with_fewer_parts_come_back_as_they_were(kind: str, parts: str, tmp_path: Path) -> None:
    made = make_bundle(kind, tmp_path / "bundle", model=PARTS[parts])
    loaded = load_bundle(made.folder)
    assert loaded.manifest.settings.items() >= PARTS[parts].items()
    t = made.log.boundaries.t_test
    assert torch.equal(all_scores(loaded.scorer, loaded.log, t), all_scores(made.scorer, made.log, t))


def test_paths_and_gates_come_back(gat: Made) -> None:
    """Guards the tests above: without its paths or its gates the network scores otherwise."""
    loaded, t = load_bundle(gat.folder), gat.log.boundaries.t_test
    assert isinstance(loaded.scorer, GraphScorer)
    network = loaded.scorer.network
    assert network.gates is not None
    assert network.pair is not None
    whole = all_scores(loaded.scorer, loaded.log, t)
    kept, network.pair = network.pair, None
    assert not torch.allclose(all_scores(loaded.scorer, loaded.log, t), whole, atol=0.01)
    network.pair = kept
    network.gates.moods.data += 1
    asked = np.arange(len(gat.log.moods)), np.arange(6), t
    loaded.scorer.reset()
    assert isinstance(gat.scorer, MoodScorer)
    assert not torch.allclose(loaded.scorer.score_moods(*asked), gat.scorer.score_moods(*asked), atol=0.01)


def test_a_bundle_of_an_unknown_peer_is_one_sentence(popular: Made, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(popular.folder, tmp_path / "copy"))
    change_manifest(folder, lambda manifest: manifest.update(model="os.system"))
    with pytest.raises(UserError) as error:
        load_bundle(folder)
    assert_one_sentence(error, "os.system", "popularity")


def test_only_known_scorers_can_be_saved(gat: Made, tmp_path: Path) -> None:
    class Guess:
        gives_logits = False

        def score(self, users: np.ndarray, contents: np.ndarray, t: int) -> torch.Tensor:
            return torch.rand(len(users), len(contents))

    with pytest.raises(UserError) as error:
        gat.save(tmp_path / "bundle", scorer=Guess())
    assert_one_sentence(error, "Guess")


def test_secrets_stay_out(gat: Made, tmp_path: Path) -> None:
    config = {
        "logger": {"wandb": {"WANDB_API_KEY": "hunter2", "project": "recsys"}},
        "source": [{"token": "hunter2", "url": "https://bob:hunter2@example.org/x", "access-token": "hunter2"}],
        "password": None,
        "tokens_per_batch": 5,
    }
    folder = gat.save(tmp_path / "bundle", config=config)
    assert all(b"hunter2" not in path.read_bytes() for path in folder.rglob("*") if path.is_file())
    saved = load_bundle(folder).manifest.config
    assert saved["logger"]["wandb"]["project"] == "recsys"
    assert saved["source"][0]["url"] == "https://example.org/x"
    assert saved["password"] is None
    assert saved["tokens_per_batch"] == 5


def test_bundle_is_found_in_a_run_or_by_itself(gat: Made, tmp_path: Path) -> None:
    assert find_bundle(gat.folder.parent) == gat.folder
    assert find_bundle(gat.folder) == gat.folder
    with pytest.raises(UserError) as error:
        find_bundle(tmp_path)
    assert_one_sentence(error, str(tmp_path), "neither")
    with pytest.raises(UserError) as error:
        find_bundle(tmp_path / "nowhere")
    assert_one_sentence(error, "nowhere", "no folder")


FILES = (
    "encoders.json",
    "model.safetensors",
    *(f"log/{name}.parquet" for name in ("events", "users", "contents", "creators", "tags", "content_tags")),
    *(f"log/{name}_readings.parquet" for name in ("users", "contents")),
    "log/log.json",
)


def test_the_files_of_a_bundle_are_known_here(gat: Made) -> None:
    assert {*FILES, MANIFEST} == set(describe_files(gat.folder))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("harm", ["missing", "cut off", "changed", "empty"])
def test_spoilt_file(copied: Path, name: str, harm: str) -> None:
    path = copied / name
    content = bytearray(path.read_bytes())
    if harm == "missing":
        path.unlink()
    elif harm == "cut off":
        path.write_bytes(content[:-1])
    elif harm == "changed":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    else:
        path.write_bytes(b"")
    with pytest.raises(UserError) as error:
        load_bundle(copied)
    assert_one_sentence(error, name, "copy the whole bundle again")


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_no_flipped_bit_of_the_manifest_goes_unnoticed(gat: Made, tmp_path: Path, place: float, bit: int) -> None:
    folder = tmp_path / "flipped"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(gat.folder, folder)
    content = bytearray((folder / MANIFEST).read_bytes())
    content[int(place * len(content))] ^= 1 << bit
    (folder / MANIFEST).write_bytes(content)
    with pytest.raises(UserError) as error:
        load_bundle(folder)
    assert_one_sentence(error, MANIFEST)


MANIFESTS = {
    "missing": (None, "missing"),
    "empty": (b"", "damaged"),
    "cut off": (b'{"format": "recsys-bundle", "for', "damaged"),
    "no text": (b"\xff\xfe\x00", "damaged"),
    "another program's": (b'{"name": "a package", "version": 3}', "not written by recsys"),
    "no object": (b"[1, 2]", "not written by recsys"),
    "deeply nested": (b"[" * 200_000, "damaged"),
    "number of many digits": (b'{"format": ' + b"9" * 10_000 + b"}", "damaged"),
    "nothing but a format": (b'{"format": "recsys-bundle", "format_version": %d}' % FORMAT_VERSION, "damaged"),
}


@pytest.mark.parametrize("case", MANIFESTS)
def test_spoilt_or_foreign_manifest(copied: Path, case: str) -> None:
    content, said = MANIFESTS[case]
    (copied / MANIFEST).unlink()
    if content is not None:
        (copied / MANIFEST).write_bytes(content)
    with pytest.raises(UserError) as error:
        load_bundle(copied)
    assert_one_sentence(error, MANIFEST, said)


def test_newer_version_is_told_before_anything_else(copied: Path) -> None:
    plain = {"format": "recsys-bundle", "format_version": FORMAT_VERSION + 1, "what": "a later recsys writes"}
    (copied / MANIFEST).write_text(json.dumps(plain))
    with pytest.raises(UserError) as error:
        load_bundle(copied)
    assert_one_sentence(error, f"format version {FORMAT_VERSION + 1}", "upgrade recsys")


def update(part: str, **changes: Any) -> Change:
    return lambda manifest: manifest[part].update(changes)


def rename_file(old: str, new: str) -> Change:
    return lambda manifest: manifest["files"].update({new: manifest["files"].pop(old)})


HOSTILE: dict[str, tuple[Change, str]] = {
    "version is text": (lambda m: m.update(format_version="1"), "format_version"),
    "version is true": (lambda m: m.update(format_version=True), "format_version"),
    "version is 0": (lambda m: m.update(format_version=0), "format_version"),
    "field missing": (lambda m: m.pop("time"), "damaged"),
    "field unknown": (lambda m: m.update(_target_="os.system"), "damaged"),
    "time is huge": (lambda m: m.update(time=10**400), "time is"),
    "time is text": (lambda m: m.update(time="now"), "time is"),
    "threshold is infinite": (lambda m: m.update(threshold=float("inf")), "threshold is"),
    "threshold is true": (lambda m: m.update(threshold=True), "threshold is"),
    "kind unknown": (lambda m: m.update(kind="pickle"), "pickle"),
    "network unknown": (lambda m: m.update(model="transformer"), "transformer"),
    "network is a path": (lambda m: m.update(model="os.system"), "os.system"),
    "target in settings": (update("settings", _target_="os.system", _args_=["touch owned"]), "does not fit"),
    "target in a setting": (update("settings", hidden={"_target_": "os.system"}), "does not fit"),
    "setting unknown": (update("settings", depth=3), "does not fit"),
    "other width": (update("settings", hidden=16), "does not fit"),
    "fewer layers": (update("settings", layers=1), "does not fit"),
    "vast width": (update("settings", hidden=10**12, heads=1), "does not fit"),
    "impossible width": (update("settings", hidden=10**300), "does not fit"),
    "endless layers": (update("settings", layers=10**18), "does not fit"),
    "layers are text": (update("settings", layers="2"), "does not fit"),
    "vast category": (update("settings", category_dim=2**40), "does not fit"),
    "vast schema": (lambda m: m["schema"]["numbers"].update(user=10**15), "does not fit"),
    "other moods": (lambda m: m["schema"].update(num_moods=10**9), "does not fit"),
    "schema without edges": (lambda m: m["schema"].pop("edge_types"), "damaged"),
    "schema of nonsense": (lambda m: m.update(schema={"numbers": "x"}), "damaged"),
    "graph is a list": (lambda m: m.update(graph=[]), "graph is"),
    "graph of nonsense": (update("graph", path="/etc/passwd"), "damaged"),
    "endless windows": (update("graph", windows=[0.5] * 10**5), "graph.windows"),
    "windows of text": (update("graph", windows=["half", "all"]), "damaged"),
    "other windows": (update("graph", windows=[0.1, 0.5, 1.0]), "schema"),
    "no windows": (lambda m: m["graph"].pop("windows"), "graph.windows"),
    "vast neighbours": (lambda m: m["graph"]["similarity"].update(k=10**12), "similarity.k"),
    "no neighbours": (lambda m: m["graph"]["similarity"].update(k=0), "damaged"),
    "no similarity": (lambda m: m["graph"].pop("similarity"), "similarity.k"),
    "similarity of nonsense": (lambda m: m["graph"]["similarity"].update(path="/etc/passwd"), "damaged"),
    "other switch": (update("graph", creators=False), "schema"),
    "switch of text": (update("graph", tags="no"), "graph.tags"),
    "older version": (lambda m: m.update(format_version=OLDEST_VERSION - 1), "format version"),
    "schema without paths": (lambda m: m["schema"].pop("pair_signals"), "damaged"),
    "other paths": (lambda m: m["schema"].update(pair_signals=["next"]), "does not fit"),
    "paths by another name": (lambda m: m["schema"]["pair_signals"].reverse(), "schema"),
    "popularity in another order": (lambda m: m["schema"]["popularity"].reverse(), "schema"),
    "vast popularity": (lambda m: m["schema"].update(popularity=[10**9]), "does not fit"),
    "no paths": (update("settings", pair="none"), "does not fit"),
    "unknown paths": (update("settings", pair="os.system"), "does not fit"),
    "file above": (rename_file("encoders.json", "../encoders.json"), "a file is called"),
    "file deep above": (rename_file("encoders.json", "log/../../encoders.json"), "a file is called"),
    "file anywhere": (rename_file("encoders.json", "/etc/passwd"), "a file is called"),
    "file of Windows": (rename_file("encoders.json", "C:\\secret.json"), "a file is called"),
    "file hidden": (rename_file("encoders.json", ".ssh/id.pub"), "a file is called"),
    "weights not listed": (lambda m: m["files"].pop("model.safetensors"), "model.safetensors"),
    "encoders not listed": (lambda m: m["files"].pop("encoders.json"), "encoders.json"),
    "facts of nonsense": (lambda m: m["files"].update({"encoders.json": "ok"}), "encoders.json"),
    "size is huge": (lambda m: m["files"]["encoders.json"].update(size=10**300), "encoders.json"),
    "checksum is no text": (lambda m: m["files"]["encoders.json"].update(sha256=[0]), "encoders.json"),
    "id maps of another log": (lambda m: m.update(id_maps="0" * 64), "ids"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_manifest_does_nothing_but_an_error(copied: Path, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(copied.parent)

    def refuse(*_: object) -> None:
        raise AssertionError("code from a bundle ran")

    monkeypatch.setattr(os, "system", refuse)
    change, said = HOSTILE[case]
    change_manifest(copied, change)
    with pytest.raises(UserError) as error:
        load_bundle(copied)
    assert_one_sentence(error, said)
    assert [path.name for path in copied.parent.iterdir()] == [copied.name]


def test_unchanged_manifest_passes_the_hostile_tests_machinery(copied: Path) -> None:
    change_manifest(copied, lambda manifest: None)
    assert load_bundle(copied).threshold == 0.1 + 0.2


def relisted(folder: Path) -> None:
    """Make all checksums right again."""

    def relist(manifest: dict[str, Any]) -> None:
        files = describe_files(folder)
        del files[MANIFEST]
        manifest["files"] = files

    change_manifest(folder, relist)


def rewrite_log(folder: Path, **changes: Any) -> None:
    log = read_log(folder / "log")
    write_log(replace(log, **changes), folder / "log")


def test_parts_that_do_not_fit_together(copied: Path, popular: Made) -> None:
    other = read_log(copied / "log").users
    ids = other.ids.copy()
    ids[[0, 1]] = ids[[1, 0]]
    rewrite_log(copied, users=replace(other, ids=ids))
    relisted(copied)
    with pytest.raises(UserError) as error:
        load_bundle(copied)
    assert_one_sentence(error, "ids of its users and contents")


def edit_json(path: Path, change: Callable[[Any], object]) -> None:
    plain = json.loads(path.read_text())
    change(plain)
    path.write_text(json.dumps(plain))


BELIEVABLE: dict[str, tuple[Callable[[Path], object], str]] = {
    "weights are no safetensors": (lambda b: (b / "model.safetensors").write_bytes(b"\x80\x04."), "model.safetensors"),
    "weights of a vast header": (
        lambda b: (b / "model.safetensors").write_bytes(b"\xff" * 8 + b"{}"),
        "model.safetensors",
    ),
    "encoders are a list": (lambda b: (b / "encoders.json").write_text("[]"), "encoders.json"),
    "encoder of an unknown kind": (
        lambda b: edit_json(b / "encoders.json", lambda e: e["content"]["numbers"][0].update(kind="os.system")),
        "encoders.json",
    ),
    "encoder of other columns": (
        lambda b: edit_json(b / "encoders.json", lambda e: e["user"].update(numbers=[], categories=[])),
        "schema",
    ),
    "log without events": (lambda b: (b / "log" / "events.parquet").write_bytes(b"PAR1PAR1"), "log"),
    "moods out of range": (lambda b: edit_json(b / "log" / "log.json", lambda s: s.update(moods=[10**6])), "log"),
    "moods beyond 64 bits": (lambda b: edit_json(b / "log" / "log.json", lambda s: s.update(moods=[10**30])), "log"),
    "log of a list": (lambda b: (b / "log" / "log.json").write_text("[]"), "log"),
}


@pytest.mark.parametrize("case", BELIEVABLE)
def test_spoilt_file_with_right_checksums(copied: Path, case: str) -> None:
    change, said = BELIEVABLE[case]
    change(copied)
    relisted(copied)
    with pytest.raises(UserError) as error:
        load_bundle(copied)
    assert_one_sentence(error, said)


def test_popularity_bundle_with_a_hostile_setting(popular: Made, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(popular.folder, tmp_path / "copy"))
    change_manifest(folder, update("settings", window=7))
    with pytest.raises(UserError) as error:
        load_bundle(folder)
    assert_one_sentence(error, "window")
