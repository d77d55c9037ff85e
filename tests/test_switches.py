"""Every design choice of the default model can be switched off on the command line, up to a bundle that recommends."""

from collections.abc import Callable
from pathlib import Path

import pytest

from recsys.models.graph_scorer import GraphScorer
from recsys.serving.bundle import Bundle, load_bundle
from recsys.serving.recommender import Recommender
from tests.conftest import Command

TINY = (
    "data.num_users=60",
    "data.num_contents=80",
    "data.num_events=1000",
    "model.hidden=8",
    "negatives.count=4",
    "trainer.max_epochs=1",
)


def relations(bundle: Bundle) -> set[str]:
    return {relation.removeprefix("rev_") for _, relation, _ in bundle.graph.schema.edge_types}


def settings(bundle: Bundle) -> dict[str, object]:
    assert isinstance(bundle.scorer, GraphScorer)
    return bundle.scorer.network.settings


SWITCHES: dict[str, tuple[tuple[str, ...], Callable[[Bundle], bool]]] = {
    "static": (("loader=static", "loader.parts=3"), lambda b: b.manifest.config["loader"]["parts"] == 3),
    "creators": (("graph.creators=false",), lambda b: "created_by" not in relations(b)),
    "tags": (("graph.tags=false",), lambda b: "has_tag" not in relations(b)),
    "time_features": (("graph.time_features=false",), lambda b: b.graph.schema.numbers["creator"] == 0),
    "similarity": (
        ("graph.similarity.users=false", "graph.similarity.contents=false"),
        lambda b: "similar" not in relations(b),
    ),
    "edge_attributes": (("model.edge_attributes=[]",), lambda b: settings(b)["edge_attributes"] == []),
    "edge_weights": (("model.edge_weights=strength",), lambda b: settings(b)["edge_weights"] == "strength"),
    "learned hops": (("model.pair=local_gnn",), lambda b: settings(b)["pair"] == "local_gnn"),
    "learned hops, own times": (
        ("model.pair=local_gnn", "loader=neighbor", "loader.fan_out=[4,2]"),
        lambda b: settings(b)["pair"] == "local_gnn",
    ),
    "identities": (("model.id_embedding=4",), lambda b: settings(b)["id_embedding"] == 4),
    "all at once": (
        (
            "model=hetero_sage",
            "model.edge_weights=learned",
            "loader=static",
            "graph.creators=false",
            "graph.tags=false",
            "graph.time_features=false",
        ),
        lambda b: settings(b)["edge_weights"] == "learned" and b.graph.schema.numbers.keys() == {"user", "content"},
    ),
}


@pytest.mark.parametrize("switch", SWITCHES)
def test_a_run_with_one_choice_switched_off(train: Command, tmp_path: Path, switch: str) -> None:
    options, holds = SWITCHES[switch]
    done = train(*TINY, *options, f"run_dir={tmp_path}/run")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "metrics.json").is_file()
    bundle = load_bundle(tmp_path / "run" / "bundle")
    assert holds(bundle)
    recommender = Recommender(bundle)
    assert recommender.for_user(bundle.log.users.ids[0]).items
    assert recommender.for_mood(recommender.moods[0]).items, "moods can be stated whatever is switched off"


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("graph.tags=perhaps", "graph.tags is perhaps: it must be true or false"),
        ("model.popularity_gates=off", "model.popularity_gates is off: it must be true or false"),
        ("model.edge_weights=speed", "choose among none, recency, weight, strength, learned"),
    ],
)
def test_switches_that_do_not_exist_end_with_one_sentence(
    train: Command, tmp_path: Path, option: str, said: str
) -> None:
    done = train(*TINY, option, f"run_dir={tmp_path}/run")
    assert done.returncode == 2, done.stderr
    (error,) = (line for line in done.stderr.splitlines() if line.startswith("error: "))
    assert said in error
    assert "Traceback" not in done.stderr
