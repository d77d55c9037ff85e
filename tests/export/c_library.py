"""Exports compiled as shared libraries and called from Python."""

import ctypes
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from recsys.export.c_files import CProject
from recsys.export.device_model import DeviceModel, device_model, user_vectors
from recsys.export.unseen_users import unseen_users
from recsys.serving.bundle import Bundle

NOT_FOUND = 2**32 - 1
FLAGS = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O2")


def compiler(name: str) -> str:
    """The path of a compiler, or the test is skipped."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def build(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a compiler, which must succeed without a word."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stderr == ""
    return done


def project(model: DeviceModel, *, precision: str = "float32", blob: bool = False) -> CProject:
    return CProject(
        model=model,
        unseen=unseen_users(model),
        precision=precision,
        blob=blob,
        git_commit="unknown",
        config_hash="0" * 64,
    )


def first_contents(model: DeviceModel, count: int) -> DeviceModel:
    """The model with only the first contents."""
    rows, ids, vectors = model.contents.rows, model.contents.ids, model.contents.vectors
    return replace(
        model,
        contents=replace(model.contents, rows=rows[:count], ids=ids[:count], vectors=vectors[:count].clone()),
        history=model.history[:, model.history[1] < count],
        paths=None if model.paths is None else model.paths[:, :count],
    )


def whole(bundle: Bundle) -> DeviceModel:
    """Everything that exists at the bundle's time."""
    users, contents = (np.arange(nodes.count_before(bundle.time)) for nodes in (bundle.log.users, bundle.log.contents))
    return device_model(bundle, bundle.time, contents, users)


@dataclass
class Library:
    """A compiled export."""

    library: ctypes.CDLL
    num_contents: int
    width: int

    @classmethod
    def of(cls, made: CProject, folder: Path, *flags: str) -> "Library":
        folder.mkdir(parents=True)
        made.write(folder)
        path = folder / "recsys.so"
        build(compiler("cc"), *FLAGS, *flags, "-shared", "-fPIC", "-o", path, folder / "recsys.c", "-lm")
        library = ctypes.CDLL(str(path))
        library.recsys_probability.restype = ctypes.c_float
        library.recsys_probability.argtypes = [ctypes.c_float]
        for name in ("recsys_content_index", "recsys_user_index", "recsys_mood_index", "recsys_embed_user"):
            getattr(library, name).restype = ctypes.c_uint32
        width = user_vectors(made.model.contents.vectors, made.model.hidden).shape[1]
        return cls(library, len(made.model.contents), width)

    def user_vector(self, user: int) -> np.ndarray:
        vector = np.zeros(self.width, dtype=np.float32)
        assert self.library.recsys_user_vector(user, _pointer(vector)) == 0
        return vector

    def scores(self, vector: np.ndarray, user: int = NOT_FOUND) -> np.ndarray:
        given = np.zeros(self.width, dtype=np.float32)
        given[: len(vector)] = vector
        scores = np.zeros(self.num_contents, dtype=np.float32)
        assert self.library.recsys_score_user(_pointer(given), ctypes.c_uint32(user), _pointer(scores)) == 0
        return scores

    def mood_scores(self, mood: int) -> np.ndarray:
        scores = np.zeros(self.num_contents, dtype=np.float32)
        assert self.library.recsys_score_mood(mood, _pointer(scores)) == 0
        return scores

    def top_k(self, scores: np.ndarray, seen: Sequence[int], k: int) -> tuple[list[int], list[float]]:
        return self._ranked("recsys_top_k", (_pointer(scores),), self.set_of(seen), k)

    def recommend_user(
        self, vector: np.ndarray, seen: np.ndarray, k: int, user: int = NOT_FOUND
    ) -> tuple[list[int], list[float]]:
        return self._ranked("recsys_recommend_user", (_pointer(vector), ctypes.c_uint32(user)), seen, k)

    def recommend_mood(self, mood: int, k: int) -> tuple[list[int], list[float]]:
        return self._ranked("recsys_recommend_mood", (ctypes.c_uint32(mood),), self.set_of([]), k)

    def set_of(self, contents: Sequence[int]) -> np.ndarray:
        seen = np.zeros((self.num_contents + 7) // 8, dtype=np.uint8)
        for content in contents:
            self.library.recsys_mark_seen(_pointer(seen), ctypes.c_uint32(content))
        return seen

    def history(self, user: int) -> np.ndarray:
        seen = self.set_of([])
        self.library.recsys_mark_history(_pointer(seen), ctypes.c_uint32(user))
        return seen

    def embed(self, contents: Sequence[int], types: Sequence[int] | None = None) -> tuple[int, np.ndarray]:
        given = np.array(contents, dtype=np.uint32)
        kinds = None if types is None else np.array(types, dtype=np.uint8)
        vector = np.zeros(self.width, dtype=np.float32)
        used = self.library.recsys_embed_user(
            _pointer(given), None if kinds is None else _pointer(kinds), ctypes.c_uint32(len(given)), _pointer(vector)
        )
        return used, vector

    def content_index(self, id_: int | str) -> int:
        return int(self.library.recsys_content_index(_id(id_)))

    def user_index(self, id_: int | str) -> int:
        return int(self.library.recsys_user_index(_id(id_)))

    def _ranked(self, name: str, who: tuple[object, ...], seen: np.ndarray, k: int) -> tuple[list[int], list[float]]:
        guard = 3  # places after the end that nobody may write to
        contents = np.full(k + guard, 7, dtype=np.uint32)
        best = np.full(k + guard, 7, dtype=np.float32)
        count = getattr(self.library, name)(
            *who, _pointer(seen), ctypes.c_uint32(k), _pointer(contents), _pointer(best)
        )
        assert (contents[k:] == 7).all()
        assert (best[k:] == 7).all()
        return contents[:count].tolist(), best[:count].tolist()


def _pointer(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def _id(id_: int | str) -> ctypes.c_int64 | ctypes.c_char_p:
    return ctypes.c_char_p(id_.encode()) if isinstance(id_, str) else ctypes.c_int64(id_)
