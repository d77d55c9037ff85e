"""Ids are whole numbers or text, the same in all tables."""

import pandas as pd
import pytest

from recsys.data.ids import read_ids, unite
from recsys.errors import UserError


@pytest.mark.parametrize(
    ("column", "codes", "distinct"),
    [
        (pd.Series([30, 10, 30]), [1, 0, 1], [10, 30]),
        (pd.Series([2.0, None, 1.0]), [1, -1, 0], [1, 2]),
        (pd.Series([2, None, 1], dtype="Int64"), [1, -1, 0], [1, 2]),
        (pd.Series([1, 2.0, None], dtype=object), [0, 1, -1], [1, 2]),
        (pd.Series(["b", "", None, "a", "007"]), [2, -1, -1, 1, 0], ["007", "a", "b"]),
        (pd.Series(["b", "a", "b"], dtype="category"), [1, 0, 1], ["a", "b"]),
        (  # of texts, plain whole numbers come first, by value
            pd.Series(["guest", "11", "-3", "2", "007", "-12", "-0", "99999999999999999999", "0", "٣", ""]),
            [8, 4, 1, 3, 7, 0, 6, 5, 2, 9, -1],
            ["-12", "-3", "0", "2", "11", "99999999999999999999", "-0", "007", "guest", "٣"],
        ),
        (pd.Series([None, None], dtype=object), [-1, -1], []),
    ],
)
def test_ids_are_numbered_in_their_order(column: pd.Series, codes: list[int], distinct: list[object]) -> None:
    ids = read_ids(column, "user_id of users")
    assert ids.codes.tolist() == codes
    assert ids.distinct.tolist() == distinct
    assert ids.missing.tolist() == [code < 0 for code in codes]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ([1, "a"], "mixes text with other values"),
        ([1, "1"], "mixes text with other values"),
        ([1.5, "a"], "mixes text with other values"),
        ([1.5], "has the fraction 1.5"),
        ([2**63], "do not fit 64 bits"),
        ([2**70, 1], "do not fit 64 bits"),
        ([1e300], "do not fit 64 bits"),
        ([float(2**60)], "lost digits"),
        ([True], "such as"),
        ([pd.Timestamp(0)], "such as"),
        ([["a"]], "nested"),
    ],
)
def test_columns_that_cannot_be_ids(values: list[object], says: str) -> None:
    dtype = object if isinstance(values[-1], str | list) else None
    with pytest.raises(UserError, match=says) as error:
        read_ids(pd.Series(values, dtype=dtype), "user_id of users")
    assert "user_id of users" in str(error.value)


@pytest.mark.parametrize(("dtype", "bits"), [("float32", 24), ("float64", 53), ("Float32", 24)])
def test_floats_hold_only_so_many_whole_numbers(dtype: str, bits: int) -> None:
    assert read_ids(pd.Series([2**bits - 1], dtype=dtype), "user_id of users").distinct.tolist() == [2**bits - 1]
    for number in (2**bits, -(2**bits)):  # also what the next number becomes
        with pytest.raises(UserError, match="lost digits"):
            read_ids(pd.Series([number, 1], dtype=dtype), "user_id of users")


def test_united_ids_share_their_numbers() -> None:
    columns = [
        pd.Series([5, 3, None, 3]),
        pd.Series([], dtype=object),
        pd.Series([4, 5]),
        pd.Series([None], dtype=object),
    ]
    united = unite([read_ids(column, str(i)) for i, column in enumerate(columns)])
    assert [ids.codes.tolist() for ids in united] == [[2, 0, -1, 0], [], [1, 2], [-1]]
    assert all(ids.distinct.tolist() == [3, 4, 5] for ids in united)


def test_united_texts_are_in_the_order_of_their_numbers() -> None:
    united = unite([read_ids(pd.Series(ids), "user_id") for ids in (["11", "guest"], ["2", "11", "007"])])
    assert [ids.codes.tolist() for ids in united] == [[1, 3], [0, 1, 2]]
    assert all(ids.distinct.tolist() == ["2", "11", "007", "guest"] for ids in united)


def test_numbers_and_texts_never_match() -> None:
    with pytest.raises(UserError, match=r"a of interactions is made of whole numbers but the a of users of text"):
        unite([read_ids(pd.Series([5]), "a of interactions"), read_ids(pd.Series(["5"]), "a of users")])
