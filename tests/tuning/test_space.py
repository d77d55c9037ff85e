"""Hydra's sweep syntax as a search space, worked out by hand and enumerated naively."""

import itertools

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from recsys.errors import UserError
from recsys.tuning.exhaustive import Exhaustive
from recsys.tuning.space import Space, configuration, parse_space, summary


def space(**texts: str) -> Space:
    return parse_space({key.replace("__", "."): text for key, text in texts.items()}, {}, {})


@pytest.mark.parametrize(
    ("text", "distribution"),
    [
        ("1,2,4", CategoricalDistribution((1, 2, 4))),
        ("choice(1, 2, 4)", CategoricalDistribution((1, 2, 4))),
        ("choice(adam, sgd)", CategoricalDistribution(("adam", "sgd"))),
        ("choice([], [recency])", CategoricalDistribution(("[]", "[recency]"))),
        ("true,false", CategoricalDistribution((True, False))),
        ("'a b',c", CategoricalDistribution(("'a b'", "c"))),
        ("range(1, 5)", IntDistribution(1, 4)),
        ("range(3)", IntDistribution(0, 2)),
        ("range(10, 0, -3)", IntDistribution(1, 10, step=3)),
        ("range(0, 1, 0.25)", FloatDistribution(0, 0.75, step=0.25)),
        ("interval(0, 0.5)", FloatDistribution(0, 0.5)),
        ("interval(1, 8)", FloatDistribution(1, 8)),
        ("int(interval(1, 8))", IntDistribution(1, 8)),
        ("tag(log, interval(1e-4, 1e-2))", FloatDistribution(1e-4, 1e-2, log=True)),
        ("tag(log, int(interval(8, 64)))", IntDistribution(8, 64, log=True)),
    ],
)
def test_syntax(text: str, distribution: optuna.distributions.BaseDistribution) -> None:
    (parameter,) = space(model__x=text).parameters
    assert parameter.distribution == distribution
    assert type(parameter.distribution) is type(distribution)


@pytest.mark.parametrize("text", ["4", "[1,2]", "interval(2, 1)", "range(3, 3)"])
def test_what_is_no_sweep_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"model\.x"):
        space(model__x=text)


def test_nothing_to_vary_is_refused() -> None:
    with pytest.raises(UserError, match="varies nothing"):
        parse_space({}, {}, {}, ["model.heads=2"])


def test_the_command_line_replaces_adds_and_fixes() -> None:
    found = parse_space(
        {"a": "1,2", "b": "1,2", "c": "1,2"}, {}, {}, ["a=3,4", "b=1", "d=interval(0,1)", "e=5", "+f=1,2"]
    )
    assert found.texts() == {"a": "3,4", "c": "1,2", "d": "interval(0,1)", "f": "1,2"}


CONDITIONAL = parse_space(
    {"model": "gat,sage,mlp", "heads": "1,2", "layers": "range(1,3)"},
    {"heads": {"model": "gat"}, "layers": {"model": ["gat", "sage"]}},
    {},
)


def test_conditional_points_by_hand() -> None:
    assert [tuple(point.values()) for point in CONDITIONAL.points()] == [
        ("gat", 1, 1),
        ("gat", 1, 2),
        ("gat", 2, 1),
        ("gat", 2, 2),
        ("sage", 1),
        ("sage", 2),
        ("mlp",),
    ]
    assert CONDITIONAL.overrides({"model": "sage", "layers": 1}) == ["model=sage", "layers=1"]


def test_a_sampler_only_chooses_what_exists() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    seen = [CONDITIONAL.suggest(study.ask()) for _ in range(60)]
    assert {tuple(params.values()) for params in seen} == {tuple(p.values()) for p in CONDITIONAL.points()}


def test_a_condition_on_what_is_fixed_or_later() -> None:
    found = parse_space({"model": "gat,sage", "heads": "1,2"}, {"heads": {"model": "gat"}}, {}, ["model=gat"])
    assert [point["heads"] for point in found.points()] == [1, 2]
    with pytest.raises(UserError, match="must come before heads"):
        parse_space({"heads": "1,2", "model": "gat,sage"}, {"heads": {"model": "gat"}}, {})


def test_variants_stand_for_overrides() -> None:
    found = parse_space({"seed": "0,1"}, {}, {"default": (), "flat": ("model.layers=0", "mood_weight=0")})
    points = list(found.points())
    assert [point["variant"] for point in points] == ["default", "default", "flat", "flat"]
    assert found.overrides(points[0]) == ["seed=0"]
    assert found.overrides(points[3]) == ["model.layers=0", "mood_weight=0", "seed=1"]
    assert configuration(points[2]) == configuration(points[3]) == (("variant", "flat"),)


def test_representatives_show_every_choice() -> None:
    shown = list(CONDITIONAL.representatives())
    assert {point["model"] for point in shown} == {"gat", "sage", "mlp"}
    assert {point.get("heads") for point in shown} == {1, 2, None}
    every = {tuple(point.values()) for point in CONDITIONAL.points()}
    assert all(tuple(point.values()) in every for point in shown)


values = st.lists(st.integers(-5, 5), min_size=1, max_size=4, unique=True)


@given(st.lists(values, min_size=1, max_size=3))
def test_points_are_the_product(lists: list[list[int]]) -> None:
    texts = {f"p{place}": f"choice({','.join(map(str, of))})" for place, of in enumerate(lists)}
    found = parse_space(texts, {}, {})
    points = [tuple(point.values()) for point in found.points()]
    assert points == list(itertools.product(*lists))
    shuffled = [tuple(point.values()) for point in Exhaustive(shuffle=True).points(found, seed=1)]
    assert sorted(shuffled) == sorted(points)


def test_float_steps_are_exact() -> None:
    (parameter,) = space(p="range(0, 0.5, 0.1)").parameters
    assert parameter.values() == [0, 0.1, 0.2, 0.3, 0.4]


def test_an_interval_has_no_points() -> None:
    with pytest.raises(UserError, match="cannot be tried value by value"):
        list(space(p="interval(0, 1)").points())


def test_summary_is_short() -> None:
    assert summary({"model.heads": 4, "optimizer.lr": 0.000123456}) == "heads=4 lr=0.0001235"
