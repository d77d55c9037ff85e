"""The training batch every loader gives: the LightningModule does not know which loader it came from."""

from dataclasses import dataclass, fields, replace
from typing import Self

import torch
from torch import Tensor
from torch_geometric.data import HeteroData


@dataclass(frozen=True)
class LinkBatch:
    """Seed edges to predict on a message graph of earlier events. B seeds, N negatives each, M of them with a mood.

    Attributes:
        graph: the message graph, as `TemporalGraph.snapshot` gives it or as sampled from it.
        user: row of each seed's user in graph["user"], int64, [B].
        content: rows in graph["content"]; column 0 is the positive, the others are negatives, int64, [B, 1 + N].
        label: soft label of each positive in [0, 1], float32, [B]; negatives have label 0.
        log_q: log probability that the negative sampler draws the content in this place, float32, [B, 1 + N].
        mood: mood that the users of some seeds would have stated, int64, [M]; see `StatedMoods`.
        mood_seed: rows of these seeds, whose contents the mood is to lead to, int64, ascending, [M].
        time: query time of each seed, ns, int64, [B].
        cold: whether each seed's user has no event before its time, bool, [B].
        keep: how many of the N negatives with the highest scores enter the loss (hard negatives); N for all.
    """

    graph: HeteroData
    user: Tensor
    content: Tensor
    label: Tensor
    log_q: Tensor
    mood: Tensor
    mood_seed: Tensor
    time: Tensor
    cold: Tensor
    keep: int

    def pin_memory(self) -> Self:
        """The same batch where a GPU copies from faster (a DataLoader calls this)."""
        names = [f.name for f in fields(self) if f.name != "keep"]
        return replace(self, **{name: getattr(self, name).pin_memory() for name in names})

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Self:
        """The same batch on `device` (Lightning calls this)."""
        names = [f.name for f in fields(self) if f.name != "keep"]
        moved = {name: getattr(self, name).to(device, non_blocking=non_blocking) for name in names}
        return replace(self, **moved)
