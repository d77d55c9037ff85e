"""What a bundle says about itself, `manifest.json`, and whether its files are the ones it was written with.

`bundle` writes and reads the rest. A manifest may come from anywhere, so nothing in it is believed unchecked.
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from recsys.errors import UserError

FORMAT = "recsys-bundle"
FORMAT_VERSION = 6  # raise it whenever a reader of the version before could not read, or would misread, a bundle
OLDEST_VERSION = 6  # before it, graphs and networks had other parts, so that no score would be the same again
MANIFEST = "manifest.json"

# Sizes far beyond any use, so that a hostile number can neither fill the memory nor take for ever.
_MOST_BYTES = 64 * 2**20  # of a manifest
_MOST_WINDOWS = 100
_MOST_NEIGHBOURS = 10_000

_FILE_NAME = re.compile(r"([A-Za-z0-9_-]+/)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)+")  # never outside the bundle


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The typed content of `manifest.json`.

    Attributes:
        created: when the bundle was written, ISO.
        versions: of recsys, python and the libraries that wrote it.
        kind: "network" or "peer".
        model: the model's name in `recsys.models.registry.NETWORKS` or `PEERS`.
        settings: the model's arguments, plain values.
        schema: `GraphSchema.to_json()`.
        graph: `GraphSettings.to_json()`.
        threshold: the probability (for models without logits: the score) from which a pair is predicted positive.
        time: T, the time that recommendations are for unless another is asked, ns.
        data_time: time of the last event, ns.
        id_maps: `id_maps_hash` of the log.
        config: how the run was configured, for a reader; nothing is built from it.
        files: name (relative, "/" between folders) -> {"sha256", "size" in bytes}, of every file but the manifest.
    """

    created: str
    versions: dict[str, str]
    kind: str
    model: str
    settings: dict[str, Any]
    schema: dict[str, Any]
    graph: dict[str, Any]
    threshold: float
    time: int
    data_time: int
    id_maps: str
    config: dict[str, Any]
    files: dict[str, dict[str, Any]]

    def __post_init__(self) -> None:
        for name, kind in _KINDS.items():
            value = getattr(self, name)
            if not isinstance(value, kind) or isinstance(value, bool):
                raise ValueError(f"{name} is {_shown(value)}")
        if not math.isfinite(self.threshold):
            raise ValueError(f"threshold is {self.threshold}")
        for name in ("time", "data_time"):
            if abs(getattr(self, name)) > np.iinfo(np.int64).max:
                raise ValueError(f"{name} is {_shown(getattr(self, name))}")
        windows, similarity = self.graph.get("windows"), self.graph.get("similarity")
        if not isinstance(windows, list) or len(windows) > _MOST_WINDOWS:
            raise ValueError(f"graph.windows is {_shown(windows)}, not a list of up to {_MOST_WINDOWS} shares")
        neighbours = similarity.get("k") if isinstance(similarity, dict) else None
        if not isinstance(neighbours, int) or neighbours > _MOST_NEIGHBOURS:
            raise ValueError(f"graph.similarity.k is {_shown(neighbours)}, not a number up to {_MOST_NEIGHBOURS}")
        for name, facts in self.files.items():
            if not _FILE_NAME.fullmatch(name):
                raise ValueError(f"a file is called {_shown(name)}")
            if not isinstance(facts, dict) or facts.keys() != {"sha256", "size"}:
                raise ValueError(f"files.{name} is {_shown(facts)}")

    def write(self, directory: Path) -> None:
        """Write `manifest.json` into `directory`, with a checksum of itself."""
        plain = {"format": FORMAT, "format_version": FORMAT_VERSION, **asdict(self)}
        plain["checksum"] = checksum(plain)
        (directory / MANIFEST).write_text(json.dumps(plain, indent=2, allow_nan=False) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, directory: Path) -> Self:
        """Read and check `manifest.json` of `directory`.

        Raises:
            UserError: there is none, it is another program's, of a version that is too old or too new, or it is
                damaged.
        """
        path = directory / MANIFEST
        if not path.is_file():
            raise UserError(
                f"There is no bundle at {directory}, since {MANIFEST} is missing: give the folder of a run."
            )
        try:
            if path.stat().st_size > _MOST_BYTES:
                raise ValueError(f"it is larger than {_MOST_BYTES} bytes")
            plain = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise _damaged(path, error) from error
        if not isinstance(plain, dict) or plain.get("format") != FORMAT:
            raise UserError(f"{path} was not written by recsys: give the folder of a run or its bundle.")
        _check_version(path, plain.get("format_version"))
        if plain.pop("checksum", None) != checksum(plain):
            raise _damaged(path, "it does not match its own checksum")
        del plain["format"], plain["format_version"]
        try:
            return cls(**plain)
        except (TypeError, ValueError) as error:
            raise _damaged(path, error) from error


_KINDS: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("created", "kind", "model", "id_maps"), str),
    **dict.fromkeys(("versions", "settings", "schema", "graph", "config", "files"), dict),
    **dict.fromkeys(("time", "data_time"), int),
    "threshold": (int, float),
}


def find_bundle(run: Path) -> Path:
    """The bundle's folder, given a run's folder or the bundle itself.

    Raises:
        UserError: the folder is neither.
    """
    if (run / MANIFEST).is_file():
        return run
    if (run / "bundle").is_dir():
        return run / "bundle"
    if not run.is_dir():
        raise UserError(f"There is no folder {run}: give a run's folder, such as runs/NAME/DATE_TIME, or a bundle.")
    raise UserError(
        f"{run} has neither bundle/ nor {MANIFEST}, so it is neither a run's folder nor a bundle: give the run folder "
        "that train.py has named at its end."
    )


def checksum(plain: Mapping[str, Any]) -> str:
    """SHA-256 of plain values, whatever the order of their names and the spaces between them."""
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def id_maps_hash(user_ids: np.ndarray, content_ids: np.ndarray) -> str:
    """SHA-256 of all ids in the order of their rows; it also tells the ids 1 and "1" apart."""
    return checksum({"users": user_ids.tolist(), "contents": content_ids.tolist()})


def describe_files(directory: Path) -> dict[str, dict[str, Any]]:
    """`Manifest.files` of all files below `directory`."""
    return {
        path.relative_to(directory).as_posix(): {"sha256": _sha256(path), "size": path.stat().st_size}
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def check_files(directory: Path, files: Mapping[str, Mapping[str, Any]]) -> None:
    """Check that the bundle in `directory` has the files it was written with.

    Raises:
        UserError: naming the first file that is missing or changed.
    """
    for name, facts in files.items():
        path = directory / name
        if not path.is_file():
            raise UserError(f"The bundle {directory} lacks its file {name}: copy the whole bundle again.")
        size, due = path.stat().st_size, facts["size"]
        if size != due:
            raise UserError(
                f"{path} has {size} bytes, but was written with {_shown(due)}: copy the whole bundle again."
            )
        if _sha256(path) != facts["sha256"]:
            raise UserError(f"{path} does not match its checksum in {MANIFEST}: copy the whole bundle again.")


def _check_version(path: Path, found: object) -> None:
    if isinstance(found, bool) or not isinstance(found, int) or found < 1:
        raise _damaged(path, f"format_version is {_shown(found)}")
    if found > FORMAT_VERSION:
        raise UserError(
            f"{path} has format version {_shown(found)}, but this recsys reads up to version {FORMAT_VERSION}: "
            "upgrade recsys to use this bundle."
        )
    if found < OLDEST_VERSION:
        raise UserError(
            f"{path} has format version {found}, but this recsys reads none before version {OLDEST_VERSION}: train the "
            "model again, or use the recsys that wrote this bundle."
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _damaged(path: Path, why: object) -> UserError:
    return UserError(f"{path} is damaged ({why}): copy the whole bundle again or make it anew with a run.")


def _shown(value: object) -> str:
    """The value for a message, shortened."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
