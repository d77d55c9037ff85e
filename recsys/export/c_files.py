"""The C99 project of an export: headers and sources from `templates/`, and a blob where asked.

`c_text` prints the numbers; `device_model`, `unseen_users`, `precision` and `golden` make them.
"""

import hashlib
import struct
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd

from recsys.export.c_text import c_float, c_row, c_text, c_texts, c_type, c_values
from recsys.export.device_model import BLOCK, LANES, DeviceModel, by_blocks, head_arrays, mood_arrays, user_vectors
from recsys.export.golden import golden_answers
from recsys.export.precision import Stored, stored
from recsys.export.unseen_users import UnseenUsers

FORMAT_VERSION = 3  # raise it whenever code that used the headers before would not compile, or would mean another thing
BLOB = "recsys_tables.bin"
PLAIN = ("recsys.h", "recsys.c", "Makefile")  # the same in every export
WRITTEN = ("recsys_config.h", "recsys_weights.h", "recsys_selftest.c")

MAGIC = b"RECSYS\0" + bytes([FORMAT_VERSION])
ORDER = 0x01020304  # reads differently where bytes come in another order
CACHE_LINE = 64  # where a table begins at a multiple of it, wide vectors are read in one go


@dataclass(frozen=True)
class Array:
    """An array of the headers or the blob: its name in C without `recsys_`, and its elements."""

    name: str
    values: np.ndarray

    @property
    def ctype(self) -> str:
        """The C type of its elements."""
        return c_type(self.values)


@dataclass(frozen=True, kw_only=True)
class CProject:
    """Everything that the files of a C export say.

    Attributes:
        model: what is exported.
        unseen: how users without an embedding get one.
        precision: of the tables.
        blob: whether the tables go to a file of their own.
        git_commit: of the code that exports.
        config_hash: SHA-256 of the run's configuration.
    """

    model: DeviceModel
    unseen: UnseenUsers
    precision: str
    blob: bool
    git_commit: str
    config_hash: str

    @cached_property
    def tables(self) -> dict[str, Stored]:
        """Tables of embeddings as they lie on the device."""
        model, hidden = self.model, self.model.hidden
        # Of the calibration, the contents' side has what concerns popularity; see `head_arrays` for the rest.
        tables = {"contents": stored(model.contents.vectors, self.precision, hidden, factor=model.calibration[0])}
        if len(model.users):
            tables["users"] = stored(model.users.vectors, self.precision, hidden)
        if self.unseen.states is not None:
            tables["embed_states"] = stored(self.unseen.states.flatten(0, 1), self.precision, hidden)
        return tables

    @cached_property
    def table_arrays(self) -> list[Array]:
        """The tables, those of contents by blocks, for int8 the scales of their rows, and what paths say."""
        arrays = []
        for name, table in self.tables.items():
            for suffix, values in (("", table.values), ("_scale", table.scale), ("_extra", table.extra)):
                if values is not None and values.size:
                    arrays.append(Array(name + suffix, by_blocks(values) if name == "contents" else values))
        return arrays + self._pairs

    @property
    def _pairs(self) -> list[Array]:
        """What paths add to logits: where each user's begin, the contents in rising order, the calibrated logits."""
        paths = self.model.paths
        if paths is None or not paths.nnz:
            return []
        places = paths.indices.astype(self._place)
        return [
            Array("pairs_start", paths.indptr.astype(np.uint32)),
            Array("pairs_logit", (paths.data * self.model.calibration[0]).astype(np.float32)),
            # Filled up to a multiple of 4 bytes.
            Array("pairs", np.pad(places, (0, len(places) % 2))),
        ]

    @property
    def _place(self) -> np.dtype[Any]:
        """The type of places in the table of contents in long arrays of them."""
        return np.dtype(np.uint16 if len(self.model.contents) <= 1 << 16 else np.uint32)

    @cached_property
    def arrays(self) -> list[Array]:
        """Everything else: heads, histories, ids and their order."""
        model = self.model
        arrays = [Array(name, values) for part in (self._head, self._moods) for name, values in part[0].items()]
        arrays += [Array(name, values) for name, values in self.unseen.arrays.items()]
        if len(model.users):
            start = np.searchsorted(model.history[0], np.arange(len(model.users) + 1))
            arrays += [Array("history_start", start.astype(np.uint32))]
            arrays += [Array("history", model.history[1].astype(np.uint32))]
        for name, table in (("content", model.contents), ("user", model.users)):
            if len(table):
                if not is_text(table.ids):
                    arrays.append(Array(f"{name}_ids", table.ids.astype(np.int64)))
                arrays.append(Array(f"{name}_order", rising_order(table.ids)))
        return arrays

    @cached_property
    def texts(self) -> dict[str, list[str]]:
        """Arrays of strings by name: ids that are text, and the moods."""
        tables = {"content_ids": self.model.contents.ids, "user_ids": self.model.users.ids}
        texts = {name: [str(id_) for id_ in ids] for name, ids in tables.items() if is_text(ids) and len(ids)}
        return texts | ({"mood_names": list(self.model.mood_names)} if self.model.mood_names else {})

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes on the device by name, without code; of texts also their pointers, at 4 bytes each."""
        sizes = {array.name: array.values.nbytes for array in (*self.table_arrays, *self.arrays)}
        return sizes | {name: sum(len(text.encode()) + 1 + 4 for text in texts) for name, texts in self.texts.items()}

    def write(self, folder: Path) -> None:
        """Write all files into `folder`."""
        environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False)
        environment.filters |= {"c_values": c_values, "c_row": c_row, "c_texts": c_texts}
        values = self._values()
        for name in WRITTEN:
            template = environment.from_string(_template(f"{name}.jinja"))
            (folder / name).write_text(template.render(values), encoding="utf-8")
        for name in PLAIN:
            (folder / name).write_text(_template(name), encoding="utf-8")
        if self.blob:
            (folder / BLOB).write_bytes(self._blob_header + self._blob_body)

    def _values(self) -> dict[str, Any]:
        """What the templates are filled with."""
        model, origin = self.model, self._origin()
        return {
            "origin": origin,
            "time": _iso(model.time),
            "data_time": _iso(model.manifest.data_time),
            "precision": self.precision,
            "head": model.head,
            "embed_exact": self.unseen.exact,
            "cache_line": CACHE_LINE,
            "place": f"{self._place.name}_t",
            "sizes": self._counts(),
            "numbers": {
                name: c_float(float(np.float32(value)))
                for name, value in (self._head[1] | self._moods[1] | self.unseen.numbers).items()
            },
            "event_types": [c_text(name) for name in model.event_types],
            "contents_are_text": is_text(model.contents.ids),
            "users_are_text": is_text(model.users.ids),
            "arrays": [*([] if self.blob else self.table_arrays), *self.arrays],
            "texts": self.texts,
            "blob": self._blob_facts() if self.blob else None,
            **golden_answers(model, self.unseen, self.tables),
        }

    def _origin(self) -> dict[str, str]:
        manifest = self.model.manifest
        return {
            "FORMAT_VERSION": str(FORMAT_VERSION),
            "VERSION": c_text(f"recsys {manifest.versions.get('recsys', 'unknown')}"),
            "MODEL": c_text(manifest.model),
            "GIT_COMMIT": c_text(self.git_commit),
            "CONFIG_HASH": c_text(self.config_hash),
            "TIME_NS": f"INT64_C({self.model.time})",
            "DATA_TIME_NS": f"INT64_C({manifest.data_time})",
            "THRESHOLD": c_float(float(np.float32(manifest.threshold))),
        }

    def _counts(self) -> dict[str, int]:
        model, unseen = self.model, self.unseen
        width = user_vectors(model.contents.vectors, model.hidden).shape[1]
        counts = {
            "NUM_CONTENTS": len(model.contents),
            "NUM_USERS": len(model.users),
            "NUM_MOODS": len(model.mood_names),
            "NUM_EVENT_TYPES": len(model.event_types),
            "HIDDEN": model.hidden + -model.hidden % LANES,
            "HIDDEN_USED": model.hidden,
            "EXTRA": width - (model.hidden + -model.hidden % LANES),
            "WIDTH": width,
            "NUM_PAIRS": 0 if model.paths is None else model.paths.nnz,
            "BLOCK": BLOCK,
        }
        for name, arrays in (("head", self._head[0]), ("mood", self._moods[0])):
            outer = arrays.get(f"{name}_outer_weight")
            if outer is not None:
                counts[f"{name.upper()}_UNITS"] = outer.size
                counts[f"{name.upper()}_RAISING"] = int((outer >= 0).sum())
        if unseen.states is not None:
            counts["EMBED_LAYERS"] = len(unseen.states)
        else:
            counts["EMBED_INPUTS"] = unseen.arrays["embed_usual_inputs"].size
        return counts

    @cached_property
    def _head(self) -> tuple[dict[str, np.ndarray], dict[str, float]]:
        return head_arrays(self.model)

    @cached_property
    def _moods(self) -> tuple[dict[str, np.ndarray], dict[str, float]]:
        return mood_arrays(self.model)

    @cached_property
    def _blob_body(self) -> bytes:
        """The tables one after another; each begins at a multiple of 4 bytes, since every row has such a length."""
        return b"".join(little_endian(array.values) for array in self.table_arrays)

    @cached_property
    def _blob_header(self) -> bytes:
        """Magic and version, byte order, length of the rest, and the rest's SHA-256, filled up to a cache line."""
        body = self._blob_body
        header = MAGIC + struct.pack("<II", ORDER, len(body)) + hashlib.sha256(body).digest()
        return header.ljust(CACHE_LINE, b"\0")

    def _blob_facts(self) -> dict[str, Any]:
        offsets, at = {}, len(self._blob_header)
        for array in self.table_arrays:
            offsets[array.name] = at
            at += array.values.nbytes
        return {
            "bytes": at,
            "header": list(self._blob_header),
            "order_at": len(MAGIC),
            "order": ORDER,
            "offsets": offsets,
        }


def is_text(ids: np.ndarray) -> bool:
    """Whether original ids are texts rather than whole numbers."""
    return ids.dtype.kind != "i"


def rising_order(ids: np.ndarray) -> np.ndarray:
    """Places of the ids in rising order, of texts by their UTF-8 bytes as `strcmp` compares; uint32, [n]."""
    if not is_text(ids):
        return np.argsort(ids, kind="stable").astype(np.uint32)
    keys = [str(id_).encode() for id_ in ids]
    return np.array(sorted(range(len(keys)), key=keys.__getitem__), dtype=np.uint32)


def little_endian(values: np.ndarray) -> bytes:
    """The bytes of an array, least significant first."""
    return np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<")).tobytes()


def _template(name: str) -> str:
    return (files("recsys.export") / "templates" / name).read_text(encoding="utf-8")


def _iso(time: int) -> str:
    return str(pd.Timestamp(time, tz="UTC").isoformat())
