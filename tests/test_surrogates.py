"""Halves of characters are replaced, whole ones stay."""

import pytest

from recsys.surrogates import writable


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("", ""),
        ("a é € \U0001f600 \x00", "a é € \U0001f600 \x00"),
        ("cut \ud83d", "cut �"),
        ("\ud83d\ud83d cut", "�� cut"),
        ("\ude00", "�"),
        ("\ude00\ud83d", "��"),
        ("\ud83d\ude00", "\U0001f600"),
    ],
)
def test_writable(text: str, written: str) -> None:
    assert writable(text) == written
