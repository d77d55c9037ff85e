"""Edges sorted by target and time once, then filtered for each time asked; `temporal_graph` puts them in a snapshot."""

import numpy as np
import torch
from torch import Tensor

from recsys.data.event_log import EventLog
from recsys.data.strength import recency, strength
from recsys.graph.schema import CONTENT, CREATOR, TAG, EdgeType, event_edge, reverse

CREATED_BY: EdgeType = (CONTENT, "created_by", CREATOR)
HAS_TAG: EdgeType = (CONTENT, "has_tag", TAG)


class LogEdges:
    """All edges that a log states, both ways: one type per event type, created_by and has_tag.

    A log without any creator (tag) before t_val has no created_by (has_tag) edges at any time.

    Args:
        log: the event log.
        creators: whether there are created_by edges.
        tags: whether there are has_tag edges.

    Attributes:
        edge_types: the edge types, the same at every time.
    """

    def __init__(self, log: EventLog, *, creators: bool = True, tags: bool = True) -> None:
        self._log = log
        self._of_events: dict[EdgeType, _EventEdges] = {}
        weight = (log.weight / log.max_weight).astype(np.float32)
        for i, name in enumerate(log.types):
            event = np.flatnonzero(log.type == i)
            user, content, time = log.user[event], log.content[event], log.time[event]
            self._of_events[event_edge(name)] = _EventEdges(user, content, time, weight[event])
            self._of_events[reverse(event_edge(name))] = _EventEdges(content, user, time, weight[event])
        self._of_contents: dict[EdgeType, _ContentEdges] = {}
        t_val = log.boundaries.t_val
        if creators and log.creators.count_before(t_val):
            made = np.flatnonzero(log.creator_of >= 0)
            self._of_contents[CREATED_BY] = _ContentEdges(made, log.creator_of[made], content=made)
            self._of_contents[reverse(CREATED_BY)] = _ContentEdges(log.creator_of[made], made, content=made)
        if tags and log.tags.count_before(t_val):
            tagged, tag = log.content_tags
            self._of_contents[HAS_TAG] = _ContentEdges(tagged, tag, content=tagged)
            self._of_contents[reverse(HAS_TAG)] = _ContentEdges(tag, tagged, content=tagged)
        self.edge_types = (*self._of_events, *self._of_contents)

    def before(self, t: int) -> dict[EdgeType, dict[str, Tensor]]:
        """Edges of events, and of contents that exist, strictly before `t` (ns), sorted by target.

        Returns:
            Edge type -> `edge_index` int64 [2, E]; for events also `edge_attr` float32 [E, 3] with the columns
            EVENT_ATTRIBUTES and `time` int64 [E], ns.
        """
        first = int(self._log.time[0]) if len(self._log) else t
        num_contents = self._log.contents.count_before(t)
        of_events = {edge_type: edges.before(t, first) for edge_type, edges in self._of_events.items()}
        of_contents = {edge_type: edges.before(num_contents) for edge_type, edges in self._of_contents.items()}
        return {**of_events, **of_contents}

    def ever(self) -> dict[EdgeType, dict[str, Tensor]]:
        """All edges of the log; those of events with `time`, ns, int64 [E], and `weight`, float32 [E]."""
        of_events = {edge_type: edges.ever() for edge_type, edges in self._of_events.items()}
        return {**of_events, **{edge_type: edges.ever() for edge_type, edges in self._of_contents.items()}}


class _EventEdges:
    """The edges of one event type in one direction, sorted by target, then by time. Arguments: [E], in time order."""

    def __init__(self, source: np.ndarray, target: np.ndarray, time: np.ndarray, weight: np.ndarray) -> None:
        order = np.argsort(target, kind="stable")
        self._source, self._target = source[order], target[order]
        self._time, self._weight = time[order], weight[order]

    def before(self, t: int, first: int) -> dict[str, Tensor]:
        keep = np.flatnonzero(self._time < t)
        time, weight = self._time[keep], self._weight[keep]
        late = recency(time, first, t)
        # strength = weight x (1 + recency) (report, section II.B), over its largest possible value 2 max_weight.
        attributes = np.stack([weight, late, strength(weight, late) / 2], axis=1)
        return {
            "edge_index": _edge_index(self._source[keep], self._target[keep]),
            "edge_attr": torch.from_numpy(attributes),
            "time": torch.from_numpy(time),
        }

    def ever(self) -> dict[str, Tensor]:
        return {
            "edge_index": _edge_index(self._source, self._target),
            "time": torch.from_numpy(self._time),
            "weight": torch.from_numpy(self._weight),
        }


class _ContentEdges:
    """Edges that exist as soon as their content does, sorted by target, then by source. Arguments: [E]."""

    def __init__(self, source: np.ndarray, target: np.ndarray, *, content: np.ndarray) -> None:
        order = np.lexsort((source, target))
        self._source, self._target, self._content = source[order], target[order], content[order]

    def before(self, num_contents: int) -> dict[str, Tensor]:
        keep = np.flatnonzero(self._content < num_contents)
        return {"edge_index": _edge_index(self._source[keep], self._target[keep])}

    def ever(self) -> dict[str, Tensor]:
        return {"edge_index": _edge_index(self._source, self._target)}


def _edge_index(source: np.ndarray, target: np.ndarray) -> Tensor:
    return torch.from_numpy(np.stack([source, target]))
