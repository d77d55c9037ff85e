"""Seconds for one encoding of a snapshot and the gradient of a loss on it: gat_sage, 2 layers, hidden 64, kuairand.

`python -m benchmarks.encode`; the environment variable RECSYS_DATA names the folder of real logs. The snapshot is of
the log's end, so it holds every event.
"""

import os
import time
from pathlib import Path

import torch

from recsys.data.features import fit_encoders
from recsys.data.preparation import LogSettings, prepare
from recsys.graph.temporal_graph import TemporalGraph
from recsys.models.gat_sage import GatSage
from recsys.sources.tables import TableSource

DATA = Path(os.environ.get("RECSYS_DATA", "../shared/data"))
REPEATS = 7


def main() -> None:
    columns = {"content_id": "item_id", "created_at": "upload_dt"}
    tables = TableSource(path=DATA / "kuairand", columns=columns, separators="|,").load()
    log = prepare(tables, LogSettings(target=["like"])).log
    graph = TemporalGraph(log, fit_encoders(log))
    snapshot = graph.snapshot(int(log.time[-1]) + 1)
    torch.manual_seed(0)
    network = GatSage(graph.schema, layers=2, hidden=64)
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        vectors = network.encode(snapshot)
        sum(of_type.square().mean() for of_type in vectors.values()).backward()
        seconds.append(time.perf_counter() - start)
    print(
        f"gat_sage on kuairand ({len(log):,} events): encode + backward {sorted(seconds)[REPEATS // 2]:.2f} s "
        f"(median of {REPEATS}, first {seconds[0]:.2f} s, {torch.get_num_threads()} threads)"
    )


if __name__ == "__main__":
    main()
