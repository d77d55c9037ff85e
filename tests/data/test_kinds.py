"""Kinds by example, and the one form of each."""

import datetime as dt
import math

import numpy as np
import pandas as pd
import pytest

from recsys.data.event_log import NEVER
from recsys.data.kinds import exploded_words, infer_kind, read_attribute, word_lists
from recsys.sources.base import Kind

DAY = 86_400_000_000_000


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [
        ("age", [20, 30, 30], "number"),
        ("age", [20.5, None, 30.0], "number"),
        ("age", ["20", "30.5", "1e3"], "number"),
        ("stars", [1, 2, 1, 2, 1, 2], "number"),
        ("active", [True, False, None], "category"),
        ("country", ["DE", "DE", "FR", "FR", "DE"], "category"),
        ("genre", ["Science Fiction", "Science Fiction", "Drama", "Drama"], "category"),
        ("about", ["A quiet film", "A loud film", "Other people"], "text"),
        ("url", ["x1", "x2", "x3"], None),
        ("code", ["001", "002", "002", "001"], "category"),
        ("music_id", [7, 7, 9, 9], "category"),
        ("music_id", [7, 8, 9], None),
        ("released", ["2024-01-31", "2024-02-01 10:00:00"], "time"),
        ("released", pd.to_datetime(["2024-01-31", None]), "time"),
        ("released", [dt.date(2024, 1, 31)], "time"),
        ("registered_at", [1_700_000_000, 1_700_000_001], "time"),
        ("followers", [1_700_000_000, 1_700_000_001], "number"),
        ("upload_dt", [5, 6, 7], "number"),
        ("genres", ["Drama|War", "Drama", "Comedy", None], "list"),
        ("genres", [["Drama", "War"], [], ["Comedy"]], "list"),
        ("genres", [np.array(["Drama"]), np.array([])], "list"),
        ("empty", [None, None], None),
    ],
)
def test_kinds_by_example(name: str, values: list[object], kind: Kind | None) -> None:
    assert infer_kind(pd.Series(values, name=name)) == kind


@pytest.mark.parametrize(
    ("kind", "values", "read", "unfit"),
    [
        ("number", [1, 2.5, None], [1, 2.5, None], 0),
        ("number", ["1", "x", math.inf], [1, None, None], 2),
        ("number", [1.7976931348623157e308, -1e39, 3e38, 5.0], [None, None, 3e38, 5], 2),
        ("category", [3.0, " a ", None, True, ""], ["3", "a", None, "True", None], 0),
        ("text", ["A film", None], ["A film", None], 0),
        ("text", ["cut \ud83d", None], ["cut �", None], 0),  # half a character
        ("list", ["a| b ||", None, "a"], [["a", "b"], [], ["a"]], 0),
        ("list", [["b", "a"], (), np.array(["c", 7], dtype=object), {"d"}], [["b", "a"], [], ["c", "7"], ["d"]], 0),
        ("time", ["1970-01-02", None, "1970-01-03", "soon"], [DAY, NEVER, 2 * DAY, NEVER], 1),
    ],
)
def test_one_form_a_kind(kind: Kind, values: list[object], read: list[object], unfit: int) -> None:
    found, count = read_attribute(pd.Series(values, dtype=object), kind, "column of contents")
    assert [None if isinstance(v, float) and math.isnan(v) else v for v in found.tolist()] == read
    assert count == unfit
    assert found.dtype == {"number": np.float64, "time": np.int64}.get(kind, object)


def test_words_know_their_rows() -> None:
    rows, words = exploded_words(pd.Series([["b", "a"], None, "c|d", []], index=[9, 8, 7, 6]), "tags of contents")
    assert rows.tolist() == [0, 0, 2, 2]
    assert words.tolist() == ["b", "a", "c", "d"]


def test_no_rows_have_no_words() -> None:
    assert word_lists(pd.Series([], dtype=object), "tags of contents") == []
