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
        values: float32, float16 or int8, padded with zeros, [n, width].
        scale: for int8 what each row's values are multiples of, float32, [n]; otherwise None.
    """

    values: np.ndarray
    scale: np.ndarray | None

    def restored(self, hidden: int) -> Tensor:
        """What a device reads, float32, [n, hidden]."""
        values = self.values.astype(np.float32)
        if self.scale is not None:
            values *= self.scale[:, None]
        return torch.from_numpy(values[:, :hidden].copy())


def stored(vectors: Tensor, precision: str) -> Stored:
    """A table [n, hidden] in one of PRECISIONS.

    Raises:
        UserError: unknown precision, or numbers too large for float16.
    """
    values = padded(vectors, first=False)
    if precision == FLOAT32:
        return Stored(values, None)
    if precision == FLOAT16:
        if values.size and np.abs(values).max() > np.finfo(np.float16).max:
            raise UserError("An embedding has numbers beyond the range of float16: choose float32 or int8.")
        return Stored(values.astype(np.float16), None)
    if precision == INT8:
        largest = np.abs(values).max(axis=1, initial=0.0)
        scale = (largest / LEVELS).astype(np.float32)
        steps = np.divide(values, scale[:, None], out=np.zeros_like(values), where=scale[:, None] > 0)
        return Stored(np.rint(steps).clip(-LEVELS, LEVELS).astype(np.int8), scale)
    raise UserError(f"--precision {precision}: choose one of {', '.join(PRECISIONS)}.")


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
    content = contents.restored(model.hidden)
    found: dict[str, Any] = {}
    if users is not None:
        chosen = np.unique(np.linspace(0, len(model.users) - 1, MOST_USERS).astype(np.int64))
        exact = model.user_logits(model.users.vectors[chosen])
        rounded = model.user_logits(users.restored(model.hidden)[chosen], content)
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
