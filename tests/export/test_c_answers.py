"""The C code gives PyTorch's probabilities and lists, for everybody, and survives what it is given."""

import ctypes
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from torch import Tensor

from recsys.export.device_model import DeviceModel, device_model, user_vectors
from recsys.graph.settings import GraphSettings, SimilaritySettings
from recsys.models.pair_signals import signals_of_block
from recsys.models.ranking import top_k
from recsys.serving.bundle import Bundle, load_bundle
from recsys.serving.recommender import Recommender
from tests.export.c_library import NOT_FOUND, Library, first_contents, project, whole
from tests.factories import tiny_log
from tests.serving.bundles import make_bundle

TOLERANCE = 1e-5  # of a probability


def near_tie(logit: float) -> float:
    """Logits closer than this may come in either order: float32 sums differ by as much between two libraries."""
    return 2e-6 * (1 + abs(logit))


def assert_same_list(found: list[int], due: np.ndarray, scores: np.ndarray) -> bool:
    """The lists are equal but for near ties; whether they are equal."""
    due = due[due >= 0]
    assert len(found) == len(due)
    assert len(set(found)) == len(found)
    for ours, theirs in zip(found, due.tolist(), strict=True):
        assert ours == theirs or abs(scores[ours] - scores[theirs]) <= near_tie(scores[theirs])
    return found == due.tolist()


def test_probabilities_and_top_10_of_a_thousand_users(model: DeviceModel, library: Library) -> None:
    assert len(model.users) >= 1_000
    due = model.table_logits()
    masked = due.clone()
    masked[tuple(torch.from_numpy(model.history))] = -torch.inf
    lists = top_k(masked, 10)[0]
    identical = 0
    for user, best in enumerate(lists):
        vector = library.user_vector(user)
        scores = library.scores(vector, user)
        np.testing.assert_allclose(expit(scores), expit(due[user].numpy()), atol=TOLERANCE, rtol=0)
        seen = library.history(user)
        found, values = library.recommend_user(vector, seen, 10, user)
        assert values == scores[found].tolist()
        identical += assert_same_list(found, best, due[user].numpy())
    assert identical >= 0.998 * len(lists)


def test_probabilities_and_top_10_of_all_moods(model: DeviceModel, library: Library) -> None:
    due = model.mood_logits()
    assert len(due) == len(model.mood_names) == 3
    for mood, best in enumerate(top_k(due, 10)[0]):
        scores = library.mood_scores(mood)
        np.testing.assert_allclose(expit(scores), expit(due[mood].numpy()), atol=TOLERANCE, rtol=0)
        found, values = library.recommend_mood(mood, 10)
        assert values == scores[found].tolist()
        assert_same_list(found, best, due[mood].numpy())


def test_logits_are_those_of_the_scorer(model: DeviceModel) -> None:
    """Popularity, paths and calibration included; a pair has an entry in the table of paths where there is any path."""
    scorer, users, contents = model.scorer, model.users.rows[:200], model.contents.rows
    due = scorer.score(users, contents, model.time)
    np.testing.assert_allclose(model.table_logits(slice(200)), due, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(
        model.mood_logits(), scorer.score_moods(np.arange(len(model.mood_names)), contents, model.time), rtol=1e-6
    )
    pair = scorer.network.pair
    if pair is None:
        assert model.paths is None
        return
    assert model.paths is not None
    with torch.no_grad():
        signals = signals_of_block(scorer.network, scorer.graph, users, contents, model.time)[..., pair.columns].numpy()
    assert ((model.paths[:200].toarray() != 0) <= (signals != 0).any(axis=2)).all()
    assert 0 < model.paths.nnz < np.prod(model.paths.shape)


def test_somebody_else_has_no_paths(model: DeviceModel, library: Library) -> None:
    due = model.user_logits(model.users.vectors[:20]).numpy()
    for user in range(20):
        vector = library.user_vector(user)
        for nobody in (NOT_FOUND, len(model.users)):
            np.testing.assert_allclose(expit(library.scores(vector, nobody)), expit(due[user]), atol=TOLERANCE, rtol=0)


def test_lists_are_those_of_recommend(
    bundles: dict[str, Bundle], network: str, model: DeviceModel, library: Library
) -> None:
    recommender = Recommender(bundles[network])
    for user in range(0, 1_000, 97):
        due = recommender.for_user(int(model.users.ids[user]))
        place = library.user_index(int(model.users.ids[user]))
        found, scores = library.recommend_user(library.user_vector(place), library.history(place), 10, place)
        assert [model.contents.ids[content] for content in found] == [item.content_id for item in due.items]
        assert np.allclose(scores, [item.score for item in due.items], atol=1e-5)
    for mood, name in enumerate(model.mood_names):
        found, _ = library.recommend_mood(mood, 10)
        items = recommender.for_mood(name).items
        assert [model.contents.ids[content] for content in found] == [item.content_id for item in items]


def test_hostile_embeddings(model: DeviceModel, tmp_path: Path) -> None:
    """Denormals, -0.0, nothing but zeros, huge logits, and equal contents, which tie exactly."""
    rng = np.random.default_rng(0)
    few = first_contents(model, 40)
    vectors = few.contents.vectors
    vectors[0], vectors[1], vectors[2] = 0.0, -0.0, 1e-42
    vectors[3] = torch.from_numpy(rng.normal(0, 1e6, vectors.shape[1])).float()
    vectors[4] = -vectors[3]
    vectors[5] = 1e-20
    vectors[20:30] = vectors[10]
    library = Library.of(project(few), tmp_path / "c")
    due = few.user_logits(few.users.vectors[:50])
    assert due.abs().max() > 1e3
    for user in range(50):
        scores = library.scores(library.user_vector(user))
        assert np.isfinite(scores).all()
        np.testing.assert_allclose(expit(scores), expit(due[user].numpy()), atol=TOLERANCE, rtol=0)
        # A logit may be a small difference of sums of the size of the largest.
        largest = max(float(due[user].abs().max()), 10.0)
        np.testing.assert_allclose(scores, due[user].numpy(), rtol=1e-4, atol=1e-5 * largest)
        assert len(set(scores[20:30].tolist()) | {scores[10]}) == 1
        found, _ = library.top_k(scores, [], 40)
        tied = [content for content in found if content == 10 or 20 <= content < 30]
        assert tied == sorted(tied)
        assert_same_list(found[:10], top_k(due[user : user + 1], 10)[0][0], due[user].numpy())
    for mood, scores_due in enumerate(few.mood_logits()):
        np.testing.assert_allclose(expit(library.mood_scores(mood)), expit(scores_due.numpy()), atol=TOLERANCE, rtol=0)


@given(
    picks=st.lists(st.sampled_from([0.0, -0.0, 1.5, -3.0, 1e-45, 3e38, -np.inf, np.inf]), min_size=300, max_size=300),
    seen=st.sets(st.integers(0, 299), max_size=299),
    k=st.sampled_from([0, 1, 2, 10, 299, 300, 305]),
)
@settings(max_examples=40, deadline=None)
def test_top_k_is_that_of_pytorch(picks: list[float], seen: set[int], k: int, top_library: Library) -> None:
    scores = np.resize(np.array(picks, dtype=np.float32), top_library.num_contents)
    masked = torch.from_numpy(scores.copy())
    masked[sorted(seen)] = -torch.inf
    found, values = top_library.top_k(scores, sorted(seen), k)
    due, due_values = top_k(masked[None], k)
    assert found == due[0][due[0] >= 0].tolist()
    assert values == due_values[0][due[0] >= 0].tolist()


@pytest.fixture(scope="module")
def top_library(bundles: dict[str, Bundle], tmp_path_factory: pytest.TempPathFactory) -> Library:
    return Library.of(project(whole(bundles["hetero_sage"])), tmp_path_factory.mktemp("top") / "c")


def test_nan_is_never_recommended(top_library: Library) -> None:
    scores = np.full(top_library.num_contents, np.nan, dtype=np.float32)
    assert top_library.top_k(scores, [], 10) == ([], [])
    scores[7] = 1.0
    assert top_library.top_k(scores, [], 10) == ([7], [1.0])


def test_what_is_not_in_the_tables(model: DeviceModel, library: Library) -> None:
    assert library.content_index("nobody") == NOT_FOUND
    assert library.user_index(-1) == NOT_FOUND
    assert library.user_index(2**62) == NOT_FOUND
    for beyond in (len(model.contents), NOT_FOUND):
        assert not library.set_of([beyond]).any()
        assert library.embed([beyond])[0] == 0
    assert not library.history(len(model.users)).any()
    vector = np.zeros(library.width, dtype=np.float32)
    assert library.library.recsys_user_vector(len(model.users), vector.ctypes.data_as(ctypes.c_void_p)) == 1
    assert library.library.recsys_score_mood(3, None) == 1


def test_ids_of_all_kinds_are_found(model: DeviceModel, library: Library, tmp_path: Path) -> None:
    assert [library.content_index(str(id_)) for id_ in model.contents.ids] == list(range(len(model.contents)))
    assert [library.user_index(int(id_)) for id_ in model.users.ids] == list(range(len(model.users)))
    texts = ['"', "\\", "??/", "a b", "ä", "日本", "\n", "*/", "%s", "", "1", "01", "\x7f", "é", "z" * 999]
    numbers = [0, -1, 2**63 - 1, -(2**63), 2**31, -(2**31), 5, 4]
    contents = replace(
        model.contents,
        rows=model.contents.rows[: len(texts)],
        ids=np.array(texts, dtype=object),
        vectors=model.contents.vectors[: len(texts)],
    )
    users = replace(
        model.users,
        rows=model.users.rows[: len(numbers)],
        ids=np.array(numbers),
        vectors=model.users.vectors[: len(numbers)],
    )
    none = np.empty((2, 0), dtype=np.int64)
    other = replace(model, contents=contents, users=users, history=none, paths=None)
    nasty = Library.of(project(other), tmp_path / "c")
    assert [nasty.content_index(text) for text in texts] == list(range(len(texts)))
    assert [nasty.user_index(number) for number in numbers] == list(range(len(numbers)))
    assert nasty.content_index("zz") == nasty.user_index(1) == NOT_FOUND


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_smaller_tables(bundles: dict[str, Bundle], precision: str, tmp_path: Path) -> None:
    made = project(whole(bundles["gat_sage"]), precision=precision)
    library = Library.of(made, tmp_path / "c")
    users, contents = (made.tables[name].restored() for name in ("users", "contents"))
    due = made.model.user_logits(users, contents, paths=made.model.paths)
    for user in range(0, 1_000, 50):
        vector = library.user_vector(user)
        assert (vector == user_vectors(users[user], made.model.hidden)).all()
        scores = library.scores(vector, user)
        np.testing.assert_allclose(expit(scores), expit(due[user].numpy()), atol=TOLERANCE, rtol=0)


def test_all_of_float16(bundles: dict[str, Bundle], tmp_path: Path) -> None:
    """Subnormal numbers, both zeros and the largest are read as they were stored."""
    model = whole(bundles["gat_sage"])
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16)
    halves = halves[np.isfinite(halves)][:: model.users.vectors.shape[1]]
    vectors = torch.zeros_like(model.users.vectors)
    flat = torch.from_numpy(halves.astype(np.float32))
    vectors.view(-1)[: len(flat)] = flat
    library = Library.of(
        project(replace(model, users=replace(model.users, vectors=vectors)), precision="float16"), tmp_path / "c"
    )
    found = np.stack([library.user_vector(user) for user in range(len(vectors))])
    assert (found.view(np.uint32) == user_vectors(vectors, model.hidden).view(np.uint32)).all()


def exact_bundle(folder: Path) -> Bundle:
    """A network whose users have no features and hear of nothing but contents."""
    log = tiny_log(seed=2, num_users=30, num_contents=25, num_events=300)
    log = replace(log, users=replace(log.users, attributes=log.users.attributes[[]], kinds={}))
    similarity = SimilaritySettings(k=3, threshold=0.4, users=False)
    settings = GraphSettings(time_features=False, similarity=similarity)
    made = make_bundle("hetero_sage", folder, log, settings, {"pair": "none"})
    return load_bundle(made.folder)


def test_users_without_features_are_embedded_exactly(tmp_path: Path) -> None:
    bundle = exact_bundle(tmp_path / "bundle")
    made = project(whole(bundle))
    assert made.unseen.exact
    library = Library.of(made, tmp_path / "c")
    early = bundle.log.time < bundle.time
    for user, vector in enumerate(made.model.users.vectors):
        own = early & (bundle.log.user == user)
        used, found = library.embed(bundle.log.content[own].tolist(), bundle.log.type[own].tolist())
        assert used == own.sum()
        np.testing.assert_allclose(found, user_vectors(vector, made.model.hidden), atol=1e-5)
    newcomer = np.array([len(bundle.log.users) - 1])
    late = device_model(bundle, bundle.log.boundaries.t_val - 1, np.arange(10), newcomer)
    np.testing.assert_allclose(library.embed([])[1], user_vectors(late.users.vectors[0], late.hidden), atol=1e-5)


def test_other_users_are_embedded_by_a_regression(model: DeviceModel, library: Library) -> None:
    made = project(model)
    assert not made.unseen.exact
    assert made.unseen.report["why"].startswith("not exact, since ")
    places = model.history[1][model.history[0] == 3]
    mean = model.contents.vectors[places, : model.hidden].double().mean(dim=0)
    inputs = np.append(mean.numpy(), np.log1p(len(places)))
    usual, usual_inputs, weight = (made.unseen.arrays[f"embed_{name}"] for name in ("usual", "usual_inputs", "weight"))
    width = model.hidden + 1  # 8 is no wider when padded
    due = usual + (inputs - usual_inputs[:width]) @ weight[:width]
    used, found = library.embed([*places.tolist(), NOT_FOUND])
    assert used == len(places)
    np.testing.assert_allclose(found, due, atol=1e-5)
    assert (library.embed([])[1] == usual).all()


def test_probability(top_library: Library) -> None:
    logits = np.array([0.0, -0.0, 1e-40, 5.0, -5.0, 88.0, -88.0, 1e30, -1e30], dtype=np.float32)
    found = [top_library.library.recsys_probability(float(logit)) for logit in logits]
    np.testing.assert_allclose(found, Tensor(logits).sigmoid().numpy(), rtol=1e-6, atol=1e-38)
