"""Numbers for users and contents in the order in which they were first met, for vectors of their own."""

import numpy as np

from recsys.data.event_log import NEVER, EventLog
from recsys.graph.met_nodes_kernel import write_met
from recsys.graph.schema import CONTENT, USER
from recsys.threads import Work

LEAST = 16_384  # rows of a part


class MetNodes:
    """The users and the contents with events, each numbered from 1 in the order of their first events.

    A number rests on earlier events only and is not a row of a table, so nodes that come later, or were always there
    without an event, leave it as it is.

    Args:
        log: the event log.

    Attributes:
        num_met: node type -> number of nodes with an event before t_val.
    """

    def __init__(self, log: EventLog) -> None:
        self._known: dict[str, np.ndarray] = {}  # time of the first event and number of each node, side by side
        self.num_met: dict[str, int] = {}
        for node_type, of_event, nodes in ((USER, log.user, log.users), (CONTENT, log.content, log.contents)):
            first = np.full(len(nodes), len(log))
            first[of_event[::-1]] = np.arange(len(log))[::-1]  # of several events, the earliest is written last
            met = np.argsort(first)[: int((first < len(log)).sum())]
            number, since = np.zeros(len(nodes), dtype=np.int64), np.full(len(nodes), NEVER)
            number[met] = np.arange(1, len(met) + 1)
            since[met] = log.time[first[met]]
            self._known[node_type] = np.column_stack([since, number])
            self.num_met[node_type] = int((since < log.boundaries.t_val).sum())

    def before(self, node_type: str, rows: np.ndarray, time: np.ndarray | int) -> np.ndarray:
        """Numbers of users or contents, int64 [n]; 0 for those without an event strictly before `time` (ns).

        Args:
            node_type: USER or CONTENT.
            rows: rows in the table of users or contents, int64, [n].
            time: ns; of all, or of each, int64, [n].
        """
        since, number = self._known[node_type][rows].T
        numbers: np.ndarray = np.where(since < time, number, 0)
        return numbers

    def writing(self, node_type: str, rows: np.ndarray, at: np.ndarray, times: np.ndarray, out: np.ndarray) -> Work:
        """What writes `before(node_type, rows, times[at])` to `out`, int64, [n]."""
        known = self._known[node_type]
        return Work(lambda first, last: write_met(known, rows, at, times, out, first, last), len(rows), LEAST)
