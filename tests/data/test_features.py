"""Encoders by hand, their round trip, and that a node's outcome is its own."""

import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.data.event_log import NEVER, NodeTable
from recsys.data.features import AttributeEncoder, FeatureEncoders, fit_encoders
from recsys.errors import UserError
from recsys.sources.base import Kind
from tests.factories import tiny_log

NAN = math.nan


def table(kinds: dict[str, Kind], **columns: list[object]) -> NodeTable:
    """Nodes that begin to exist at 0, 1, 2, ..."""
    count = len(next(iter(columns.values())))
    dtypes = {"number": np.float64, "time": np.int64}
    attributes = {name: pd.Series(values, dtype=dtypes.get(kinds[name], object)) for name, values in columns.items()}
    return NodeTable(np.arange(count), np.arange(count), pd.DataFrame(attributes), kinds)


def test_numbers_are_z_scores_of_the_nodes_before_t_val() -> None:
    nodes = table({"a": "number"}, a=[1, 2, 3, 1000, NAN, 4.5])
    encoder = AttributeEncoder.fit(nodes, 3)
    deviation = math.sqrt(2 / 3)
    expected = np.float32([-1 / deviation, 0, 1 / deviation, 5, 0, 2.5 / deviation])
    assert encoder.number_names == ("a",)  # nothing is missing before t_val
    assert encoder.encode(nodes).numbers[:, 0] == pytest.approx(expected, rel=1e-6)


def test_missing_numbers_have_an_indicator() -> None:
    nodes = table({"a": "number", "b": "number"}, a=[1, NAN, 3, NAN], b=[7, NAN, 7, 7])
    encoder = AttributeEncoder.fit(nodes, 4)
    assert encoder.number_names == ("a", "a missing", "b missing")
    assert encoder.encode(nodes).numbers.tolist() == [[-1, 0, 0], [0, 1, 1], [1, 0, 0], [0, 1, 0]]


def test_skewed_counts_are_logged() -> None:
    nodes = table({"a": "number", "b": "number"}, a=[0] * 10 + [99], b=[-1] + [0] * 9 + [99])
    encoder = AttributeEncoder.fit(nodes, 99)
    logged, plain = encoder.numbers
    assert (logged.log, plain.log) == (True, False)
    assert logged.mean == pytest.approx(math.log(100) / 11)
    assert encoder.encode(table({"a": "number", "b": "number"}, a=[-5], b=[0])).numbers[0, 0] == pytest.approx(
        -logged.mean / logged.deviation
    )


def test_categories_seen_twice_before_t_val_have_an_index() -> None:
    kinds: dict[str, Kind] = {"c": "category"}
    nodes = table(kinds, c=["y", "x", "x", "y", "z", "x", None, "z", "w"])
    encoder = AttributeEncoder.fit(nodes, 6)
    assert encoder.categories[0].vocabulary == ("x", "y")  # x three times, y twice, z once
    assert encoder.cardinalities == (3,)
    assert encoder.encode(nodes).categories[:, 0].tolist() == [2, 1, 1, 2, 0, 1, 0, 0, 0]


def test_lists_become_columns_of_their_items() -> None:
    nodes = table(
        {"g": "list"}, g=[["a", "b", "all"], ["b", "b", "all"], ["all", "a"], ["c", "b", "all"], [], ["a", "d"]]
    )
    encoder = AttributeEncoder.fit(nodes, 4)
    # Each of the first four has `all`; c is seen once.
    assert encoder.number_names == ("g=b", "g=a")
    assert encoder.encode(nodes).numbers.tolist() == [[1, 1], [1, 0], [0, 1], [1, 0], [0, 0], [0, 1]]


def test_times_pass_through() -> None:
    nodes = table({"t": "time", "s": "time"}, t=[5, NEVER], s=[7, 8])
    encoder = AttributeEncoder.fit(nodes, 1)
    assert encoder.time_names == ("t", "s")
    assert encoder.encode(nodes).times.tolist() == [[5, 7], [NEVER, 8]]


def test_columns_that_tell_nothing_are_dropped() -> None:
    nodes = table(
        {"a": "number", "b": "number", "c": "category", "d": "category", "g": "list", "t": "text"},
        a=[3, 3, 3, 4],
        b=[NAN, NAN, NAN, 4],
        c=["x", "x", "x", "y"],
        d=["x", "y", "z", "z"],
        g=[["a"], ["a"], ["a"], []],
        t=["too few", "texts", "here", "x"],
    )
    encoder = AttributeEncoder.fit(nodes, 3)
    assert (encoder.numbers, encoder.categories, encoder.time_names) == ((), (), ())
    encoded = encoder.encode(nodes)
    assert (encoded.numbers.shape, encoded.categories.shape, encoded.times.shape) == ((4, 0), (4, 0), (4, 0))


def rich_table(seed: int = 0, count: int = 120) -> NodeTable:
    """Nodes with attributes of every kind, about fish or birds."""
    rng = np.random.default_rng(seed)
    words = [["cod", "sole", "carp", "pike"], ["crow", "swan", "wren", "kite"]]
    theme = rng.integers(0, 2, count)
    return table(
        {"n": "number", "s": "number", "c": "category", "g": "list", "x": "text", "t": "time"},
        n=np.where(rng.random(count) < 0.2, NAN, rng.normal(3, 2, count)).tolist(),
        s=rng.zipf(1.7, count).tolist(),
        c=rng.choice(np.array(["u", "v", None], dtype=object), count).tolist(),
        g=[rng.choice(["p", "q", "r"], rng.integers(0, 3)).tolist() for _ in range(count)],
        x=[" ".join(rng.choice(words[i], 3)) for i in theme],
        t=rng.integers(0, 10, count).tolist(),
    )


def test_texts_of_one_theme_are_near_each_other() -> None:
    nodes = rich_table()
    encoder = AttributeEncoder.fit(nodes, 80)
    columns = [i for i, name in enumerate(encoder.number_names) if name.startswith("x~")]
    numbers = encoder.encode(nodes).numbers[:, columns]
    fish = np.array([text.split()[0] in ("cod", "sole", "carp", "pike") for text in nodes.attributes["x"]])
    cosine = numbers @ numbers.T / np.outer(*[np.linalg.norm(numbers, axis=1)] * 2)
    same = fish[:, None] == fish[None, :]
    assert cosine[same].mean() > cosine[~same].mean() + 0.15
    assert len(columns) == 7  # of eight words
    assert numbers[:80].mean(axis=0) == pytest.approx(np.zeros(7), abs=1e-5)
    assert numbers[:80].std(axis=0) == pytest.approx(np.ones(7), abs=1e-2)
    strange = replace(nodes, attributes=nodes.attributes.assign(x="none of these"))
    assert (encoder.encode(strange).numbers[:, columns] == 0).all()


@given(seed=st.integers(0, 1000))
@settings(deadline=None, max_examples=5)
def test_round_trip_through_json_is_exact(seed: int) -> None:
    nodes = rich_table(seed)
    encoder = AttributeEncoder.fit(nodes, 80)
    again = AttributeEncoder.from_json(json.loads(json.dumps(encoder.to_json())))
    for name in ("number_names", "category_names", "cardinalities", "time_names"):
        assert getattr(encoder, name) == getattr(again, name)
    left, right = encoder.encode(nodes), again.encode(nodes)
    assert left.numbers.tobytes() == right.numbers.tobytes()
    assert left.categories.tobytes() == right.categories.tobytes()
    assert left.times.tobytes() == right.times.tobytes()
    assert (left.numbers.dtype, left.categories.dtype, left.times.dtype) == (np.float32, np.int64, np.int64)
    assert np.isfinite(left.numbers).all()
    assert np.abs(left.numbers).max() <= 5


@given(seed=st.integers(0, 1000), rows=st.lists(st.integers(0, 119), max_size=6))
@settings(deadline=None, max_examples=10)
def test_a_node_is_encoded_by_itself(seed: int, rows: list[int]) -> None:
    nodes = rich_table(seed)
    encoder = AttributeEncoder.fit(nodes, 80)
    some = NodeTable(nodes.ids[rows], nodes.exists_from[rows], nodes.attributes.iloc[rows], nodes.kinds)
    assert encoder.encode(some).numbers.tobytes() == encoder.encode(nodes).numbers[rows].tobytes()
    assert encoder.encode(some).categories.tolist() == encoder.encode(nodes).categories[rows].tolist()


def test_encoders_of_a_log() -> None:
    log = tiny_log()
    encoders = fit_encoders(log)
    assert encoders.user.number_names == ("age", "age missing")
    assert encoders.user.category_names == ("country",)
    assert encoders.content.number_names == ("duration", "duration missing")
    assert FeatureEncoders.from_json(json.loads(json.dumps(encoders.to_json()))) == encoders


@pytest.mark.parametrize("kinds", [{}, {"a": "category"}])
def test_a_table_without_the_fitted_column(kinds: dict[str, Kind]) -> None:
    encoder = AttributeEncoder.fit(table({"a": "number"}, a=[1, 2]), 2)
    other = table(kinds, **({"a": ["x", "y"]} if kinds else {})) if kinds else NodeTable(
        np.arange(2), np.arange(2), pd.DataFrame(index=range(2)), {}
    )  # fmt: skip
    with pytest.raises(UserError, match=r"attribute a is (missing|of kind category).*as number"):
        encoder.encode(other)
