"""Weight, recency and strength of sampled events, each as of its own seed's time; compiled."""

import numpy as np

from recsys.compiled import outer


@outer
def write_event_attributes(
    edge: np.ndarray,
    target: np.ndarray,
    batch: np.ndarray,
    weight: np.ndarray,
    time: np.ndarray,
    first: int,
    seen_from: np.ndarray,
    out: np.ndarray,
) -> None:
    """Write the columns `schema.EVENT_ATTRIBUTES` as `edges.LogEdges` gives them, see `strength.recency`.

    Args:
        edge: number of each sampled edge in its type, int64, [e].
        target: its target's row, int64, [e].
        batch: subgraph of each target, int64, [rows].
        weight: of all edges of the type, float32.
        time: of all edges of the type, ns, int64.
        first: time of the log's first event, ns.
        seen_from: query time of each subgraph, ns, int64.
        out: written to, float32, [e, 3].
    """
    for i in range(len(edge)):
        number, subgraph = np.uint64(edge[i]), np.uint64(batch[np.uint64(target[i])])  # unsigned: without a check
        of, span = weight[number], seen_from[subgraph] - first
        late = np.float32(min(max((time[number] - first) / max(span, 1), 0.0), 1.0) if span > 0 else 1.0)
        out[i, 0], out[i, 1], out[i, 2] = of, late, of * (np.float32(1.0) + late) / np.float32(2.0)
