"""Tells the versions of rows that were read several times: what changed, when it was seen, and what is newest."""

from collections.abc import Sequence

import numpy as np
import pandas as pd


def runs(rows: pd.DataFrame, key: str, fields: Sequence[str]) -> pd.DataFrame:
    """Rows that differ from the reading of the same row before, that is every version as first seen.

    Rows without a key are versions of nothing: of equal ones the first is kept.

    Args:
        rows: in the order of reading, with `read_at`, [n].
        key: column that tells rows apart; None where a row has none.
        fields: columns that make the content of a row.

    Returns:
        The versions row by row in the order of reading, with the columns `owner` (the same for versions of one row),
        `version` (from 0) and, for each field, `FIELD before`: its value in the version before.
    """
    codes = pd.DataFrame({name: pd.factorize(rows[name])[0] for name in (key, *fields)}, index=rows.index)
    nameless = codes[key] < 0
    repeats = nameless & codes.duplicated()
    # Each row without a key is its own; keys that are there keep their order of first appearance.
    own = codes[key].where(~nameless, len(rows) + np.arange(len(rows)))
    order = np.argsort(own[~repeats].to_numpy(), kind="stable")
    rows, codes = (frame[~repeats].iloc[order] for frame in (rows, codes))
    own = own[~repeats].iloc[order]
    same_row = own.eq(own.shift())
    starts = ~same_row | codes[list(fields)].ne(codes[list(fields)].shift()).any(axis=1)
    found, owner = rows[starts].reset_index(drop=True), own[starts].reset_index(drop=True)
    found["version"] = found.groupby(owner, sort=False).cumcount()
    for name in fields:
        found[f"{name} before"] = found[name].shift().where(found["version"] > 0)
    found["owner"] = owner
    return found


def newest(versions: pd.DataFrame) -> pd.DataFrame:
    """The last version of each row, of what `runs` gives."""
    return versions.drop_duplicates("owner", keep="last", ignore_index=True)
