"""An `EventLog` as files: Parquet for everything long, JSON for the rest, nothing that could execute code."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from recsys.data.event_log import Boundaries, EventLog, NodeTable
from recsys.data.readings import Readings
from recsys.errors import UserError
from recsys.sources.base import Kind

FORMAT = 2  # raised whenever the files' layout changes

_SETTINGS = "log.json"
_EVENTS = {
    "user": np.int64,
    "content": np.int64,
    "type": np.int64,
    "value": np.float32,
    "weight": np.float32,
    "time": np.int64,
    "is_target": np.bool_,
}
_NODES = ("users", "contents", "creators", "tags")
_LINKS = {"contents": "creator_of", "creators": "user_of_creator"}  # one more column, beside the ids
_ARROW: dict[Kind, pa.DataType] = {
    "number": pa.float64(),
    "category": pa.string(),
    "text": pa.string(),
    "list": pa.list_(pa.string()),
    "time": pa.int64(),
}
_PREFIX = "attribute:"  # so that no attribute can be taken for an id


def write_log(log: EventLog, folder: Path) -> None:
    """Write a log into `folder` (made if need be); `read_log` gives back the same one, but for its oracle."""
    folder.mkdir(parents=True, exist_ok=True)
    _write_table(pa.table({name: getattr(log, name) for name in _EVENTS}), folder / "events.parquet")
    for name in _NODES:
        table = _node_columns(getattr(log, name))
        if name in _LINKS:
            table[_LINKS[name]] = pa.array(getattr(log, _LINKS[name]))
        _write_table(pa.table(table), folder / f"{name}.parquet")
        readings = getattr(log, name).readings
        if readings.names:
            _write_table(pa.table(_reading_columns(readings)), folder / f"{name}_readings.parquet")
    content, tag = log.content_tags
    _write_table(pa.table({"content": content, "tag": tag}), folder / "content_tags.parquet")
    settings = {
        "format": FORMAT,
        "name": log.name,
        "types": list(log.types),
        "moods": log.moods.tolist(),
        "max_weight": log.max_weight,
        "boundaries": vars(log.boundaries),
        "kinds": {name: getattr(log, name).kinds for name in _NODES},
    }
    _replace(folder / _SETTINGS, lambda path: path.write_text(json.dumps(settings, indent=2), encoding="utf-8"))


def read_log(folder: Path) -> EventLog:
    """The log that `write_log` has written.

    Raises:
        UserError: a file is missing, damaged, of a newer version or does not fit the others.
    """
    settings = _read_settings(folder / _SETTINGS)
    try:
        log = _read(folder, settings)
        _check(log)
    except (OSError, KeyError, TypeError, ValueError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"The event log in {folder} is damaged ({reason}): write it again.") from error
    return log


def _read_settings(path: Path) -> dict[str, Any]:
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
        version = settings["format"]
    except FileNotFoundError:
        raise UserError(f"There is no event log in {path.parent}: {path.name} is missing.") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"The event log in {path.parent} is damaged: {path.name} cannot be read.") from error
    if version != FORMAT:
        raise UserError(
            f"The event log in {path.parent} has format {version}, but this version of recsys reads {FORMAT}: "
            "use the version that wrote it."
        )
    return dict(settings)


def _read(folder: Path, settings: dict[str, Any]) -> EventLog:
    table = pq.read_table(folder / "events.parquet")
    events = {name: _array(table, name, dtype) for name, dtype in _EVENTS.items()}
    tables = {name: pq.read_table(folder / f"{name}.parquet") for name in _NODES}
    nodes = {name: _node_table(tables[name], settings["kinds"][name]) for name in _NODES}
    for name in _NODES:
        path = folder / f"{name}_readings.parquet"
        if path.is_file():
            nodes[name] = replace(nodes[name], readings=_readings(pq.read_table(path)))
    pairs = pq.read_table(folder / "content_tags.parquet")
    return EventLog(
        name=settings["name"],
        types=tuple(settings["types"]),
        user=events["user"],
        content=events["content"],
        type=events["type"],
        value=events["value"],
        weight=events["weight"],
        time=events["time"],
        is_target=events["is_target"],
        users=nodes["users"],
        contents=nodes["contents"],
        creators=nodes["creators"],
        tags=nodes["tags"],
        creator_of=_array(tables["contents"], "creator_of", np.int64),
        user_of_creator=_array(tables["creators"], "user_of_creator", np.int64),
        content_tags=np.stack([_array(pairs, "content", np.int64), _array(pairs, "tag", np.int64)]),
        moods=np.array(settings["moods"], dtype=np.int64),
        max_weight=float(settings["max_weight"]),
        boundaries=Boundaries(**settings["boundaries"]),
    )


def _check(log: EventLog) -> None:
    """Raise ValueError where a row of one file points outside another."""
    for what, rows, least, count in (
        ("user", log.user, 0, len(log.users)),
        ("content", log.content, 0, len(log.contents)),
        ("type", log.type, 0, len(log.types)),
        ("creator", log.creator_of, -1, len(log.creators)),
        ("creator's user", log.user_of_creator, -1, len(log.users)),
        ("tagged content", log.content_tags[0], 0, len(log.contents)),
        ("tag", log.content_tags[1], 0, len(log.tags)),
        ("mood", log.moods, 0, len(log.tags)),
        *((f"reading of {name}", getattr(log, name).readings.node, 0, len(getattr(log, name))) for name in _NODES),
    ):
        if len(rows) and not least <= rows.min() <= rows.max() < count:
            raise ValueError(f"a {what} is out of range")
    for what, times in (
        ("events", log.time),
        *((name, getattr(log, name).exists_from) for name in _NODES),
        *((f"readings of {name}", getattr(log, name).readings.time) for name in _NODES),
    ):
        if (np.diff(times) < 0).any():
            raise ValueError(f"the {what} are not in time order")


def _node_columns(nodes: NodeTable) -> dict[str, pa.Array]:
    ids = pa.array(nodes.ids, pa.string() if nodes.ids.dtype == object else pa.int64())
    columns = {"id": ids, "exists_from": pa.array(nodes.exists_from)}
    for name, kind in nodes.kinds.items():
        # Without from_pandas a NaN stays a NaN and only None becomes null.
        values = nodes.attributes[name].to_numpy()
        columns[_PREFIX + name] = pa.array(values, _ARROW[kind], from_pandas=False)
    return columns


def _node_table(table: pa.Table, kinds: dict[str, Kind]) -> NodeTable:
    id_dtype = object if pa.types.is_string(table.schema.field("id").type) else np.int64
    attributes = {}
    for name, kind in kinds.items():
        if kind not in get_args(Kind):
            raise ValueError(f"unknown kind {kind}")
        column = table.column(_PREFIX + name)
        if kind in ("number", "time"):
            attributes[name] = pd.Series(_array(table, _PREFIX + name, np.float64 if kind == "number" else np.int64))
        else:
            attributes[name] = pd.Series(column.to_pylist(), dtype=object)
    return NodeTable(
        ids=_array(table, "id", id_dtype),
        exists_from=_array(table, "exists_from", np.int64),
        attributes=pd.DataFrame(attributes, index=pd.RangeIndex(len(table))),
        kinds=dict(kinds),
    )


def _reading_columns(readings: Readings) -> dict[str, np.ndarray]:
    columns = {"node": readings.node, "time": readings.time}
    return columns | {_PREFIX + name: readings.values[:, i] for i, name in enumerate(readings.names)}


def _readings(table: pa.Table) -> Readings:
    names = tuple(name.removeprefix(_PREFIX) for name in table.column_names if name.startswith(_PREFIX))
    values = [_array(table, _PREFIX + name, np.float64) for name in names]
    node, time = (_array(table, name, np.int64) for name in ("node", "time"))
    return Readings(names, node, time, np.column_stack([np.empty((len(table), 0)), *values]))


def _array(table: pa.Table, name: str, dtype: type) -> np.ndarray:
    """A column without missing values as an array of its own that can be written to."""
    column = table.column(name)
    if column.null_count:
        raise ValueError(f"{name} has missing values")
    return np.array(column.to_numpy(zero_copy_only=False), dtype=dtype)


def _write_table(table: pa.Table, path: Path) -> None:
    _replace(path, lambda temporary: pq.write_table(table, temporary, compression="zstd"))


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    """Write under another name first, so that a broken run leaves no broken file."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    write(temporary)
    temporary.replace(path)
