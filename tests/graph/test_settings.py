"""Switches of the graph: what is refused, and that a JSON file keeps them."""

import json
from typing import Any

import pytest

from recsys.errors import UserError
from recsys.graph.settings import GraphSettings, SimilaritySettings


@pytest.mark.parametrize("wrong", [{"k": 0}, {"k": 2.5}, {"threshold": 0.0}, {"threshold": 1.5}, {"threshold": "near"}])
def test_similarity_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=rf"similarity\.{next(iter(wrong))}"):
        SimilaritySettings(**wrong)


@pytest.mark.parametrize("windows", [(), (0.0, 1.0), (0.5, 1.5), (0.5, 0.1), (0.5, 0.5), ("a", 1.0), "all", 0.5, None])
def test_windows_that_are_no_shares_are_refused(windows: Any) -> None:
    with pytest.raises(UserError, match="ascending shares"):
        GraphSettings(windows=windows)


@pytest.mark.parametrize("name", ["creators", "tags", "time_features"])
@pytest.mark.parametrize("value", ["no", 0, None])
def test_switches_are_true_or_false(name: str, value: Any) -> None:
    with pytest.raises(UserError, match=rf"graph\.{name} is {value}: it must be true or false"):
        GraphSettings(**{name: value})


@pytest.mark.parametrize("name", ["users", "contents"])
def test_switches_of_similarity_are_true_or_false(name: str) -> None:
    with pytest.raises(UserError, match=rf"graph\.similarity\.{name} is no: it must be true or false"):
        SimilaritySettings(**{name: "no"})  # type: ignore[arg-type]


def test_a_json_file_keeps_every_setting() -> None:
    changed = GraphSettings(
        windows=[0.25, 1],
        similarity=SimilaritySettings(k=3, threshold=0.75, users=False, contents=False),
        creators=False,
        tags=False,
        time_features=False,
    )
    assert changed.windows == (0.25, 1.0)
    for settings in (GraphSettings(), changed):
        assert GraphSettings.from_json(json.loads(json.dumps(settings.to_json()))) == settings
