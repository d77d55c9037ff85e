"""What an export holds, says of itself, and refuses."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.linear_model import Ridge

from recsys.errors import UserError
from recsys.export.c_text import c_float, c_text
from recsys.export.catalogue import choose_contents, choose_users
from recsys.export.device_model import device_model
from recsys.export.export import REPORT, ExportOptions, export_bundle, parse_bytes
from recsys.export.precision import stored
from recsys.export.regression import PENALTY, _ridge, overlap
from recsys.export.summary import summary_lines
from recsys.serving.bundle import Bundle
from recsys.serving.recommender import Recommender
from tests.export.c_library import project, whole

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(FLOATS)
def test_floats_read_back_as_the_same_bits(value: float) -> None:
    text = c_float(value)
    assert text.endswith("f")
    assert "." in text or "e" in text
    assert np.float32(text[:-1]).tobytes() == np.float32(value).tobytes()


def test_texts() -> None:
    assert c_text('a"b') == '"a\\042b"'
    assert c_text("??=") == '"\\077\\077="'
    for text in ("a\0b", "x" * 1_001):
        with pytest.raises(UserError, match="id"):
            c_text(text)


@given(arrays(np.float32, (4, 6), elements=st.floats(-100, 100, width=32)))
def test_int8_is_off_by_half_a_step_at_most(values: np.ndarray) -> None:
    table = stored(torch.from_numpy(values), "int8", 6)
    step = np.abs(values).max(axis=1, keepdims=True) / 127
    assert (np.abs(table.restored().numpy() - values) <= 0.5001 * step + 1e-38).all()
    assert (table.values[:, 6:] == 0).all()


def test_float16_refuses_what_it_cannot_hold() -> None:
    with pytest.raises(UserError, match="float16"):
        stored(torch.full((1, 4), 1e5), "float16", 4)


def test_overlap() -> None:
    due = np.array([[1, 2, 3], [4, 5, -1], [-1, -1, -1]])
    found = np.array([[3, 9, 1], [5, 4, -1], [7, -1, -1]])
    assert overlap(due, found) == pytest.approx((2 / 3 + 1 + 1) / 3)


def test_ridge_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    inputs, targets = rng.normal(2, 3, (50, 5)), rng.normal(size=(50, 3))
    usual_inputs, usual, weight = _ridge(inputs, targets)
    peer = Ridge(alpha=PENALTY * np.square(inputs - inputs.mean(axis=0)).sum() / 5).fit(inputs, targets)
    np.testing.assert_allclose(usual + (inputs - usual_inputs) @ weight, peer.predict(inputs), rtol=1e-9)


def test_report_says_what_the_bundle_says(folders: dict[str, Path], bundles: dict[str, Bundle], tmp_path: Path) -> None:
    report = export_bundle(folders["gat_sage"], tmp_path / "out", ExportOptions(precision="int8"))
    written = json.loads((tmp_path / "out" / REPORT).read_text())
    assert written == json.loads(json.dumps(report))
    bundle = bundles["gat_sage"]
    assert report["contents"] == bundle.log.contents.count_before(bundle.time)
    assert report["users"] == bundle.log.users.count_before(bundle.time)
    config = (tmp_path / "out" / "recsys_config.h").read_text()
    assert f"#define RECSYS_TIME_NS INT64_C({bundle.time})" in config
    assert f"#define RECSYS_DATA_TIME_NS INT64_C({bundle.manifest.data_time})" in config
    assert f'#define RECSYS_CONFIG_HASH "{report["config_hash"]}"' in config
    assert f'#define RECSYS_GIT_COMMIT "{report["git_commit"]}"' in config
    assert "#define RECSYS_FORMAT_VERSION 3\n" in config
    assert "contents: int8_t [" in (tmp_path / "out" / "recsys_weights.h").read_text()
    lines = "\n".join(summary_lines(report, tmp_path / "out"))
    assert "int8 embeddings" in lines
    assert "top 10 overlap" in lines


def test_agreement_is_that_of_the_lists(bundles: dict[str, Bundle], folders: dict[str, Path], tmp_path: Path) -> None:
    """Recomputed from recommendations, list by list."""
    bundle = bundles["gat_sage"]
    report = export_bundle(folders["gat_sage"], tmp_path / "out", ExportOptions(precision="int8"))["precision"]
    made = project(whole(bundle), precision="int8")
    recommender, due, found = Recommender(bundle), [], []
    for mood, scores in enumerate(made.model.mood_logits(made.tables["contents"].restored())):
        due.append([item.content_id for item in recommender.for_mood(made.model.mood_names[mood]).items])
        best = np.argsort(-scores.numpy(), kind="stable")[:10]
        found.append(made.model.contents.ids[best].tolist())
    assert report["moods"]["rows"] == 3
    assert report["moods"]["identical_top_10"] == np.mean([a == b for a, b in zip(due, found, strict=True)])
    shared = [len(set(a) & set(b)) / 10 for a, b in zip(due, found, strict=True)]
    assert report["moods"]["top_10_overlap"] == pytest.approx(np.mean(shared))
    plain = export_bundle(folders["gat_sage"], tmp_path / "out", ExportOptions())["precision"]
    assert plain["users"]["identical_top_10"] == plain["moods"]["top_10_overlap"] == 1


def test_exporting_twice_gives_the_same_bytes(folders: dict[str, Path], tmp_path: Path) -> None:
    for name in ("one", "two"):
        export_bundle(folders["hetero_sage"], tmp_path / name, ExportOptions(blob=True))
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


def test_a_model_without_embeddings_says_why(folders: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^popularity has no embeddings .* `recsys recommend`"):
        export_bundle(folders["popularity"], tmp_path / "out", ExportOptions())
    assert not (tmp_path / "out").exists()


def test_more_than_the_flash_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    size = export_bundle(folders["gat_sage"], tmp_path / "out", ExportOptions())["bytes"]["total"]
    export_bundle(folders["gat_sage"], tmp_path / "out", ExportOptions(flash=size))
    with pytest.raises(UserError, match=r"more than --flash .* --subset"):
        export_bundle(folders["gat_sage"], tmp_path / "other", ExportOptions(flash=size - 1))
    assert not list(tmp_path.glob("*other*"))


def test_paths_count_among_the_bytes(bundles: dict[str, Bundle], folders: dict[str, Path], tmp_path: Path) -> None:
    with_paths, without = (export_bundle(folders[name], tmp_path / name, ExportOptions())["bytes"] for name in
                           ("gat_sage", "gat_sage none"))  # fmt: skip
    paths = whole(bundles["gat_sage"]).paths
    assert paths is not None
    assert with_paths["pairs_logit"] == 4 * paths.nnz
    assert with_paths["pairs"] == 2 * (paths.nnz + paths.nnz % 2)
    assert with_paths["pairs_start"] == 4 * (paths.shape[0] + 1)
    assert "pairs" not in without


def test_other_folders_are_left_alone(folders: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("")
    with pytest.raises(UserError, match="is no export"):
        export_bundle(folders["gat_sage"], tmp_path, ExportOptions())
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_sizes() -> None:
    assert [parse_bytes(text, "--flash") for text in ("65536", "512k", "2M", "1GiB", "3kb")] == [
        65536,
        512 * 1024,
        2 * 1024**2,
        1024**3,
        3 * 1024,
    ]
    for text in ("", "0", "-1", "1.5M", "many", "5t"):
        with pytest.raises(UserError, match="--flash"):
            parse_bytes(text, "--flash")


def test_wrong_options() -> None:
    for wrong in ({"format": "pmml"}, {"precision": "int4"}, {"format": "onnx", "blob": True}):
        with pytest.raises(UserError):
            ExportOptions(**wrong)  # type: ignore[arg-type]


def test_popular_contents(bundles: dict[str, Bundle]) -> None:
    log, t = bundles["gat_sage"].log, bundles["gat_sage"].time
    counts = dict.fromkeys(range(log.contents.count_before(t)), 0)
    for content, time, target in zip(log.content.tolist(), log.time.tolist(), log.is_target.tolist(), strict=True):
        if time < t and target:
            counts[content] += 1
    due = sorted(sorted(counts, key=lambda content: (-counts[content], content))[:7])
    assert choose_contents(log, t, ["popular:7"]).tolist() == due
    assert choose_contents(log, t, []).tolist() == list(counts)


def test_categories_and_lists_narrow_one_another(bundles: dict[str, Bundle], tmp_path: Path) -> None:
    log, t = bundles["gat_sage"].log, bundles["gat_sage"].time
    category = log.contents.attributes["category"]
    music = choose_contents(log, t, ["category:music"])
    assert 0 < len(music) < log.contents.count_before(t)
    assert set(category.iloc[music]) == {"music"}
    wanted = [str(id_) for id_ in log.contents.ids[[music[0], music[3]]]]
    other = log.contents.ids[np.flatnonzero((category != "music").to_numpy())[0]]
    (tmp_path / "ids").write_text("\n".join([*wanted, "", str(other)]))
    listed = choose_contents(log, t, ["category:music", f"list:{tmp_path / 'ids'}"])
    assert listed.tolist() == [music[0], music[3]]
    assert len(choose_contents(log, t, ["category:music", "popular:2"])) == 2


def test_wrong_catalogues(bundles: dict[str, Bundle], tmp_path: Path) -> None:
    log, t = bundles["gat_sage"].log, bundles["gat_sage"].time
    (tmp_path / "ids").write_text("c00\nnobody\n")
    late = log.contents.ids[-1]
    (tmp_path / "late").write_text(str(late))
    for condition, said in {
        "popular:0": "popular:1000",
        "popular:": "popular:N",
        "newest:5": "popular:N",
        "category:opera": "music",
        f"list:{tmp_path / 'none'}": "cannot be read",
        f"list:{tmp_path / 'ids'}": "nobody",
        f"list:{tmp_path / 'late'}": str(late),
    }.items():
        with pytest.raises(UserError, match=said):
            choose_contents(log, int(log.contents.exists_from[-1]), [condition])
    with pytest.raises(UserError, match="later --at"):
        choose_contents(log, 0, [])
    for users, said in {"some": "all, none", f"list:{tmp_path / 'ids'}": "c00"}.items():
        with pytest.raises(UserError, match=said):
            choose_users(log, t, users)


def test_chosen_users_may_be_newcomers(bundles: dict[str, Bundle], folders: dict[str, Path], tmp_path: Path) -> None:
    log = bundles["gat_sage"].log
    t = int(log.users.exists_from[-1])
    assert log.users.count_before(t) < len(log.users)
    (tmp_path / "ids").write_text(f"{log.users.ids[-1]}\n{log.users.ids[0]}\n")
    rows = choose_users(log, t, f"list:{tmp_path / 'ids'}")
    assert rows.tolist() == [0, len(log.users) - 1]
    assert len(choose_users(log, t, "none")) == 0
    options = ExportOptions(users=f"list:{tmp_path / 'ids'}", time=t)
    assert export_bundle(folders["gat_sage"], tmp_path / "out", options)["users"] == 2


def test_a_subset_keeps_the_histories(bundles: dict[str, Bundle]) -> None:
    bundle = bundles["gat_sage"]
    rows = choose_contents(bundle.log, bundle.time, ["popular:20"])
    model = device_model(bundle, bundle.time, rows, np.arange(50))
    log = pd.DataFrame({"user": bundle.log.user, "content": bundle.log.content, "time": bundle.log.time})
    met = log[(log.time < bundle.time) & (log.user < 50) & log.content.isin(rows)].drop_duplicates(["user", "content"])
    due = set(zip(met.user, met.content, strict=True))
    assert {(user, rows[content]) for user, content in model.history.T} == due
