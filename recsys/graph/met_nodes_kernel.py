"""Numbers of nodes that had been met, each as of its own time; compiled."""

import numpy as np

from recsys.compiled import outer


@outer
def write_met(
    known: np.ndarray, node: np.ndarray, at: np.ndarray, times: np.ndarray, out: np.ndarray, first: int, last: int
) -> None:
    """Write the numbers of the nodes of rows [first, last) that had an event before their time, else 0.

    Args:
        known: time of the first event and number of each node, int64, [nodes, 2].
        node: node of each row, int64, [P].
        at: place of its time in `times`, int64, [P].
        times: int64, [G].
        out: written to, int64, [P].
        first: first row.
        last: the row after the last.
    """
    for i in range(np.uint64(first), np.uint64(last)):  # unsigned: without a check
        v = np.uint64(node[i])
        out[i] = known[v, 1] if known[v, 0] < times[np.uint64(at[i])] else 0
