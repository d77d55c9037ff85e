"""Features of sampled nodes, each as of its seed's time; `node_features.py` has those of all nodes as of one time."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from recsys.data.event_log import EventLog
from recsys.graph.node_features import CLIP, NodeFeatures, last_readings
from recsys.graph.schema import CONTENT, USER
from recsys.graph.timed_columns_kernel import TIME, VERSION, Moments, Scale
from recsys.graph.timed_counters import TimedCounters
from recsys.threads import Work, together

Rows = Mapping[str, tuple[np.ndarray, np.ndarray]]  # node type -> nodes and, of each, which time


class TimedFeatures:
    """`x` and `x_cat` as `NodeFeatures` gives them, for nodes at times of their own.

    Counters and ages are those of the very time. Their z-scores go by the mean and spread over all nodes as of the last
    of the `times` at or before it, since these would take a pass over all nodes for every seed; before the first,
    by the first.

    Args:
        log: the event log.
        features: features of all its nodes.
        times: when the scaling is renewed, ns, ascending, int64, [V].
    """

    def __init__(self, log: EventLog, features: NodeFeatures, times: np.ndarray) -> None:
        self._attributes = {node_type: features.attributes(node_type) for node_type in features.number_names}
        time_attributes = {node_type: self._attributes[node_type].times for node_type in (USER, CONTENT)}
        windows = features.windows
        self._counters = None if windows is None else TimedCounters(log, windows, time_attributes)
        self._readings = features.readings
        self._times = times
        self._width = {node_type: len(names) for node_type, names in features.number_names.items()}
        scalings = [features.scaling(int(t)) for t in times]
        self._scale = {
            node_type: Scale(
                np.stack([scaling[node_type].mean for scaling in scalings]),
                np.stack([scaling[node_type].factor for scaling in scalings]),
                CLIP,
            )
            for node_type in self._attributes
        }

    def at(self, rows: Rows, times: np.ndarray) -> dict[str, tuple[Tensor, Tensor]]:
        """Features of nodes; those that do not exist yet have counters of 0, as `NodeFeatures.newcomers` says.

        Args:
            rows: node type -> nodes and, of each, its place in `times`, int64, [P] each.
            times: query times, ns, int64, [G].

        Returns:
            Node type -> `x` float32 [P, numbers] and `x_cat` int64 [P, vocabularies].
        """
        features, works = self.prepared(rows, times)
        together(works)
        return features

    def prepared(self, rows: Rows, times: np.ndarray) -> tuple[dict[str, tuple[Tensor, Tensor]], list[Work]]:
        """What `at` gives, and the works that write it: to be done beside others."""
        version = np.maximum(np.searchsorted(self._times, times, side="right") - 1, 0)
        moments = None if self._counters is None else self._counters.moments(times, version)
        features, works = {}, []
        for node_type, (node, at) in rows.items():
            attributes = self._attributes[node_type]
            x = torch.empty(len(node), self._width[node_type])
            features[node_type] = x, torch.from_numpy(attributes.categories[node])
            if attributes.numbers.shape[1]:
                x.numpy()[:, : attributes.numbers.shape[1]] = attributes.numbers[node]
            if moments is not None:
                works.append(self._counting(node_type, node, at, moments, x.numpy()))
        return features, works

    def _counting(self, node_type: str, node: np.ndarray, at: np.ndarray, moments: Moments, x: np.ndarray) -> Work:
        """What writes the counters of nodes of a type to x, [P, numbers]; writes their readings."""
        assert self._counters is not None
        scale, readings = self._scale[node_type], self._readings.get(node_type)
        read = []
        if readings is not None and readings.names:
            read = list(last_readings(readings, node, moments.when[at, TIME]).values())
        width, counted = self._attributes[node_type].numbers.shape[1], scale.mean.shape[1] - len(read)
        if read:  # they stand between the counters and `cold`
            mean, factor = (of[moments.place[at, VERSION], counted:] for of in (scale.mean, scale.factor))
            scaled = (np.column_stack(read) - mean) * factor
            x[:, width + counted : width + counted + len(read)] = scaled.clip(-scale.clip, scale.clip)
        counters = Scale(scale.mean[:, :counted].copy(), scale.factor[:, :counted].copy(), scale.clip)
        return self._counters.writing(node_type, node, at, moments=moments, scale=counters, out=x, column=width)
