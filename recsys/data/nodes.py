"""Numbers users and contents by the time from which they exist, and brings their attributes into one form.

`tags` does the same for tags and creators, `kinds` knows the forms.
"""

import logging
from collections.abc import Mapping

import numpy as np
import pandas as pd

from recsys.data.cleaning import Entities
from recsys.data.cleaning_report import Findings
from recsys.data.event_log import NEVER, NodeTable
from recsys.data.kinds import check_kinds, infer_kind, missing_value, read_attribute
from recsys.data.schema import special_columns
from recsys.errors import UserError
from recsys.sources.base import CATEGORY, CREATED, TITLE, Kind

logger = logging.getLogger(__name__)

_FIXED: dict[str, Kind] = {TITLE: "text", CATEGORY: "category"}  # attributes with a meaning of their own


def existence_order(exists_from: np.ndarray) -> np.ndarray:
    """Order by the time from which nodes exist, ties by position; int64, [n]."""
    return np.argsort(exists_from, kind="stable")


def first_times(codes: np.ndarray, times: np.ndarray, count: int) -> np.ndarray:
    """Least of the `times` [m] of each of `count` nodes, NEVER for one without; `codes` [m] says whose they are."""
    first = np.full(count, NEVER, dtype=np.int64)
    np.minimum.at(first, codes, times)
    return first


def build_nodes(
    entities: Entities,
    event_codes: np.ndarray,
    *,
    event_times: np.ndarray,
    t_val: int,
    kinds: Mapping[str, Kind],
    findings: Findings,
) -> tuple[NodeTable, np.ndarray]:
    """Nodes of a table and of the events, numbered.

    A node exists from its creation time or its first event, whichever is earlier.

    Args:
        entities: ids and clean rows.
        event_codes: place of each event's node in `entities.ids`, int64, [num_events].
        event_times: ns, int64, [num_events].
        t_val: kinds of attributes are inferred from the nodes that exist before (ns).
        kinds: kinds the user fixed.
        findings: collects what was counted.

    Returns:
        The nodes; the node of each of `entities.ids`, -1 for ids of unusable rows only, int64, [m].
    """
    codes = np.concatenate([event_codes, entities.codes])
    times = np.concatenate([event_times, entities.table[CREATED].to_numpy(dtype=np.int64)])
    exists_from = first_times(codes, times, len(entities.ids))
    occurs = np.zeros(len(entities.ids), dtype=bool)
    occurs[codes] = True
    kept = np.flatnonzero(occurs)
    kept = kept[existence_order(exists_from[kept])]
    number = np.full(len(entities.ids), -1, dtype=np.int64)
    number[kept] = np.arange(len(kept))

    if len(entities.table):
        unknown = ~np.isin(event_codes, entities.codes)
        findings.count("interactions", "kept", f"unknown to the {entities.name} table", int(unknown.sum()))
    exists = exists_from[entities.codes] < t_val
    attributes, found = _attributes(
        entities, number[entities.codes], count=len(kept), exists=exists, kinds=kinds, findings=findings
    )
    return NodeTable(entities.ids[kept], exists_from[kept], attributes, found), number


def _attributes(
    entities: Entities,
    row_nodes: np.ndarray,
    *,
    count: int,
    exists: np.ndarray,
    kinds: Mapping[str, Kind],
    findings: Findings,
) -> tuple[pd.DataFrame, dict[str, Kind]]:
    """Attributes of all `count` nodes, of which the rows of the table are `row_nodes`, and the kind of each."""
    name, table = entities.name, entities.table
    special = set(special_columns(name)) - set(_FIXED)
    columns = [column for column in table.columns if column not in special]
    check_kinds(kinds, name, columns)
    found: dict[str, Kind] = {}
    attributes: dict[str, pd.Series] = {}
    for column in columns:
        kind = _kind(name, column, table[column][exists], kinds)
        if kind is None:
            logger.info("%s: %s is no feature: before validation it has no values, or only identifiers", name, column)
            continue
        values, unfit = read_attribute(table[column], kind, f"{column} of {name}")
        findings.count(name, "made missing", f"{column} is no {kind}", unfit)
        found[column] = kind
        attributes[column] = _spread(values, row_nodes, count, kind)
    if found:
        logger.info("%s: %s", name, ", ".join(f"{column} {kind}" for column, kind in found.items()))
    return pd.DataFrame(attributes, index=pd.RangeIndex(count)), found


def _kind(name: str, column: str, values: pd.Series, kinds: Mapping[str, Kind]) -> Kind | None:
    fixed = _FIXED.get(column) if name == "contents" else None
    if fixed is None:
        return kinds.get(column) or infer_kind(values)
    if kinds.get(column, fixed) != fixed:
        raise UserError(
            f"The {column} of contents is always of kind {fixed}: map the column to another name to change it."
        )
    return fixed


def _spread(values: pd.Series, row_nodes: np.ndarray, count: int, kind: Kind) -> pd.Series:
    """Values of rows as values of nodes, missing ones for nodes without a row."""
    row = np.full(count, -1, dtype=np.int64)
    row[row_nodes] = np.arange(len(row_nodes))
    if kind == "list":
        lists = values.tolist()
        return pd.Series([lists[i] if i >= 0 else [] for i in row], dtype=object)
    plain = values.to_numpy()
    spread: np.ndarray = np.append(plain, np.array([missing_value(kind)], dtype=plain.dtype))[row]
    return pd.Series(spread, dtype=spread.dtype)
