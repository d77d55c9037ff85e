"""`recsys_recommend_*` gives up contents early, and still gives exactly the list that all scores give."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from recsys.export.device_model import BLOCK, DeviceModel, by_blocks, raising_first
from recsys.models.graph_scorer import GraphScorer
from recsys.serving.bundle import Bundle
from tests.export.c_library import NOT_FOUND, Library, first_contents, project, whole


def with_outer(model: DeviceModel, change: Callable[[Tensor], Tensor]) -> DeviceModel:
    """The model with other outer weights in both heads."""
    network = deepcopy(model.scorer.network)
    with torch.no_grad():
        for head in (network.head, network.mood_head):
            head.outer.weight.copy_(change(head.outer.weight))
    return replace(model, scorer=GraphScorer(network, model.scorer.graph))


def with_contents(model: DeviceModel, change: Callable[[Tensor], Tensor]) -> DeviceModel:
    return replace(model, contents=replace(model.contents, vectors=change(model.contents.vectors)))


MODELS: dict[str, Callable[[DeviceModel], DeviceModel]] = {
    "as made": lambda model: model,
    "only lowering": lambda model: with_outer(model, lambda outer: -outer.abs()),
    "only raising": lambda model: with_outer(model, torch.abs),
    "all weights zero": lambda model: with_outer(model, torch.zeros_like),
    "one raising": lambda model: with_outer(
        model, lambda outer: torch.where(outer == outer.max(), outer, -outer.abs())
    ),
    "few contents many times": lambda model: with_contents(model, lambda v: v[torch.arange(len(v)) % 7].clone()),
    "all contents equal": lambda model: with_contents(model, lambda v: v[:1].repeat(len(v), 1)),
    "huge contents": lambda model: with_contents(model, lambda v: v * 1e12),
    "ever better contents": lambda model: with_contents(
        model, lambda v: v[model.user_logits(model.users.vectors[:1])[0].argsort()]
    ),
}


@pytest.fixture(scope="module", params=list(MODELS))
def hostile(
    request: pytest.FixtureRequest, bundles: dict[str, Bundle], tmp_path_factory: pytest.TempPathFactory
) -> Library:
    made = MODELS[request.param](whole(bundles["gat_sage"]))
    return Library.of(project(made), tmp_path_factory.mktemp("hostile") / "c")


numbers = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, -1.0, 1e-42, 1e8, -1e8, 3e38]), st.floats(-10, 10, width=32, allow_subnormal=True)
)


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_the_list_is_that_of_all_scores(hostile: Library, data: st.DataObject) -> None:
    user = data.draw(st.integers(0, 999), label="user")
    given_vector = data.draw(
        st.none() | st.lists(numbers, min_size=hostile.width, max_size=hostile.width), label="vector"
    )
    vector = hostile.user_vector(user) if given_vector is None else np.array(given_vector, dtype=np.float32)
    seen = sorted(data.draw(st.sets(st.integers(0, hostile.num_contents - 1), max_size=60), label="seen"))
    k = data.draw(st.sampled_from([0, 1, 2, 10, 31, 299, 300, 305]), label="k")
    paths_of = data.draw(st.sampled_from([user, NOT_FOUND]), label="paths of")
    scores = hostile.scores(vector, paths_of)
    assert hostile.recommend_user(vector, hostile.set_of(seen), k, paths_of) == hostile.top_k(scores, seen, k)
    mood = user % 3
    assert hostile.recommend_mood(mood, k) == hostile.top_k(hostile.mood_scores(mood), [], k)


def test_without_the_best_of_a_user(hostile: Library) -> None:
    """Whoever has seen what they like best gets the next, though the bounds of what they have seen stay high."""
    for user in range(0, 1_000, 50):
        vector = hostile.user_vector(user)
        scores = hostile.scores(vector, user)
        seen = hostile.top_k(scores, [], 200)[0]
        assert hostile.recommend_user(vector, hostile.set_of(seen), 10, user) == hostile.top_k(scores, seen, 10)


@pytest.mark.parametrize("flags", ["-DRECSYS_PLAIN", "-std=gnu99"])
def test_wider_vectors_change_no_bit(
    model: DeviceModel, library: Library, flags: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """C99 alone, and GNU C, which has AVX2 at most, give what `library` gives."""
    plain = Library.of(project(model), tmp_path_factory.mktemp("plain") / "c", flags)
    for user in range(0, 1_000, 10):
        vector = library.user_vector(user)
        assert (plain.scores(vector).view(np.uint32) == library.scores(vector).view(np.uint32)).all()
        assert plain.recommend_user(vector, plain.set_of([]), 10) == library.recommend_user(
            vector, library.set_of([]), 10
        )
    for mood in range(3):
        assert (plain.mood_scores(mood).view(np.uint32) == library.mood_scores(mood).view(np.uint32)).all()


@pytest.mark.parametrize("count", [1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK])
def test_any_number_of_contents(model: DeviceModel, count: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    few = first_contents(model, count)
    library = Library.of(project(few), tmp_path_factory.mktemp("few") / "c")
    due = few.table_logits(slice(20)).numpy()
    for user in range(20):
        vector = library.user_vector(user)
        scores = library.scores(vector, user)
        np.testing.assert_allclose(scores, due[user], rtol=1e-4, atol=1e-5)
        assert library.recommend_user(vector, library.set_of([]), 10, user) == library.top_k(scores, [], 10)


def test_by_blocks() -> None:
    rows = np.arange(2 * 40, dtype=np.float32).reshape(40, 2)
    blocks = by_blocks(rows)
    assert blocks.shape == (2, 2, BLOCK)
    for content in range(2 * BLOCK):
        due = rows[content] if content < 40 else [0, 0]
        assert (blocks[content // BLOCK, :, content % BLOCK] == due).all()
    assert by_blocks(rows[:, 0]).shape == (2, BLOCK)
    assert by_blocks(rows[:32]).shape == (1, 2, BLOCK)


def test_raising_first() -> None:
    assert raising_first(torch.tensor([-1.0, 0.5, 0.0, -3.0, 2.0])).tolist() == [4, 1, 2, 3, 0]
