"""Tables of embeddings as float32, float16 or int8, and what rounding costs in scores and rankings."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recsys.errors import UserError
from recsys.export.device_model import DeviceModel, padded
from recsys.export.regression import overlap
from recsys.models.ranking import top_k

FLOAT32, FLOAT16, INT8 = "float32", "float16", "int8"
PRECISIONS = (FLOAT32, FLOAT16, INT8)
LEVELS = 127  # of int8, either side of 0
MOST_USERS = 1_000  # that agreement is measured on
K = 10


@dataclass(frozen=True)
class Stored:
    """A table as it lies on the device.

    Attributes:
        values: the embeddings, float32, float16 or int8, padded with zeros, [n, width].
        scale: for int8 what each row's values are multiples of, float32, [n]; otherwise None.
        extra: what is beside the embeddings, times `factor`, padded with zeros; float32, otherwise float16.
        factor: what `extra` was multiplied by.
        widths: of the embeddings and of what is beside them, without padding.
    """

    values: np.ndarray
    scale: np.ndarray | None
    extra: np.ndarray
    factor: float
    widths: tuple[int, int]

    def restored(self) -> Tensor:
        """The vectors that a device reads, float32, [n, sum of the widths]."""
        values = self.values.astype(np.float32)
        if self.scale is not None:
            values *= self.scale[:, None]
        extra = self.extra.astype(np.float32) / np.float32(self.factor)
        return torch.from_numpy(np.concatenate([values[:, : self.widths[0]], extra[:, : self.widths[1]]], axis=1))


def stored(vectors: Tensor, precision: str, hidden: int, *, factor: float = 1.0) -> Stored:
    """A table [n, width], of which the first `hidden` are embeddings, in one of PRECISIONS.

    What is beside the embeddings is multiplied by `factor`, and stored as float16 for int8: it adds to a logit
    straight, and its components differ too much in size to share a scale.

    Raises:
        UserError: unknown precision, or numbers too large for float16.
    """
    if precision not in PRECISIONS:
        raise UserError(f"--precision {precision}: choose one of {', '.join(PRECISIONS)}.")
    extra = padded(vectors[:, hidden:] * factor, first=False)
    if precision != FLOAT32:
        extra = _halves(extra, "What popularity counts has")
    values, scale = _embeddings(padded(vectors[:, :hidden], first=False), precision)
    return Stored(values, scale, extra, factor, (hidden, vectors.shape[1] - hidden))


def _embeddings(values: np.ndarray, precision: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Embeddings as they are stored, and for int8 the scales of the rows."""
    if precision == FLOAT32:
        return values, None
    if precision == FLOAT16:
        return _halves(values, "An embedding has"), None
    largest = np.abs(values).max(axis=1, initial=0.0)
    scale = (largest / LEVELS).astype(np.float32)
    steps = np.divide(values, scale[:, None], out=np.zeros_like(values), where=scale[:, None] > 0)
    return np.rint(steps).clip(-LEVELS, LEVELS).astype(np.int8), scale


def _halves(values: np.ndarray, what: str) -> np.ndarray:
    if values.size and np.abs(values).max() > np.finfo(np.float16).max:
        raise UserError(f"{what} numbers beyond the range of float16: choose --precision float32.")
    return values.astype(np.float16)


def agreement(model: DeviceModel, users: Stored | None, contents: Stored) -> dict[str, Any]:
    """How scores and rankings change when embeddings are read from the device's tables.

    Args:
        model: the export.
        users: its table of users as stored, None if it has none.
        contents: its table of contents as stored.

    Returns:
        For users (up to MOST_USERS of the table, evenly chosen) and for moods: how many, the largest error of a
        probability, the share of identical lists of the top 10 and the mean overlap of the lists.
    """
    content = contents.restored()
    found: dict[str, Any] = {}
    if users is not None:
        chosen = np.unique(np.linspace(0, len(model.users) - 1, MOST_USERS).astype(np.int64))
        exact = model.table_logits(chosen)
        rounded = model.user_logits(users.restored()[chosen], content, paths=model.paths_of(chosen))
        place = np.full(len(model.users), -1)
        place[chosen] = np.arange(len(chosen))
        seen = model.history[:, place[model.history[0]] >= 0]
        found["users"] = _compared(exact, rounded, np.stack([place[seen[0]], seen[1]]))
    if model.mood_names:
        none = np.empty((2, 0), dtype=np.int64)
        found["moods"] = _compared(model.mood_logits(), model.mood_logits(content), none)
    return found


def _compared(exact: Tensor, rounded: Tensor, seen: np.ndarray) -> dict[str, Any]:
    error = (exact.sigmoid() - rounded.sigmoid()).abs().max()
    for scores in (exact, rounded):
        scores[tuple(torch.from_numpy(seen))] = -torch.inf
    before, after = top_k(exact, K)[0], top_k(rounded, K)[0]
    return {
        "rows": len(exact),
        "max_abs_error_of_probability": float(error),
        f"identical_top_{K}": float((before == after).all(axis=1).mean()),
        f"top_{K}_overlap": overlap(before, after),
    }
