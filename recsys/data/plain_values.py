"""Words and numbers of any column, in one form whatever the other rows hold; `ids` and `timestamps` read the rest."""

import numpy as np
import pandas as pd

from recsys.errors import UserError
from recsys.surrogates import writable


def as_words(column: pd.Series, where: str) -> np.ndarray:
    """Values as text without blanks at the ends, whole numbers without ".0"; None for missing ones; object, [n].

    Halves of characters, which no file can hold, are replaced.

    Raises:
        UserError: `where` (what the column is called) holds nested values.
    """
    codes, words = word_codes(column, where)
    found: np.ndarray = np.array([*words, None], dtype=object)[codes]
    return found


def word_codes(column: pd.Series, where: str) -> tuple[np.ndarray, np.ndarray]:
    """`as_words` as places in the ascending distinct words, -1 for missing: int64 [n] and an object array [m].

    Raises:
        UserError: `where` (what the column is called) holds nested values.
    """
    try:
        codes, distinct = pd.factorize(column)
    except TypeError:
        raise UserError(f"The {where} holds nested values: give plain texts or numbers.") from None
    words = np.array([*map(as_word, distinct), None], dtype=object)  # the last one is of code -1, missing
    places, sorted_words = pd.factorize(words, sort=True)
    return places.astype(np.int64)[codes], sorted_words


def read_numbers(column: pd.Series) -> np.ndarray:
    """Values as float64; NaN where missing or no number at all, so infinite ones stay; [n]."""
    if column.dtype.kind in "iufb":
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    return pd.to_numeric(column.astype(object), errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)


def as_word(value: object) -> str | None:
    """One value that is not missing as `as_words` has it; None if nothing but blanks is left of it."""
    if isinstance(value, float | np.floating) and value.is_integer():
        value = int(value)
    return writable(str(value).strip()) or None
