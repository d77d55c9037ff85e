"""Seconds and peak memory for scoring and ranking all contents for all users of taobao, by blocks of users.

`python -m benchmarks.score_all`; the environment variable RECSYS_DATA names the folder of real logs. The time is the
log's end, so every user and content exists; the weights of gat_sage are random.
"""

import os
import resource
import time
from pathlib import Path

import numpy as np
import torch

from recsys.data.features import fit_encoders
from recsys.data.interaction_index import InteractionIndex
from recsys.data.preparation import LogSettings, prepare
from recsys.data.ranking_task import RankingBatch
from recsys.graph.temporal_graph import TemporalGraph
from recsys.models.gat_sage import GatSage
from recsys.models.graph_scorer import GraphScorer
from recsys.models.ranking import rank
from recsys.sources.tables import TableSource

DATA = Path(os.environ.get("RECSYS_DATA", "../shared/data"))
BLOCK, K = 512, 100


def main() -> None:
    log = prepare(TableSource(path=DATA / "taobao", columns={"content_id": "item_id"}).load(), LogSettings()).log
    index = InteractionIndex(log)
    graph = TemporalGraph(log, fit_encoders(log))
    torch.manual_seed(0)
    scorer = GraphScorer(GatSage(graph.schema, hidden=64), graph)
    t = int(log.time[-1]) + 1
    num_users, num_contents = log.users.count_before(t), log.contents.count_before(t)
    none = np.zeros(0, dtype=np.int64)
    before = _peak_gigabytes()
    start = time.perf_counter()
    encoded = None
    for first in range(0, num_users, BLOCK):
        users = np.arange(first, min(first + BLOCK, num_users))
        batch = RankingBatch(
            time=t,
            num_contents=num_contents,
            user=users,
            seen=index.history(users, t),
            positive=none.reshape(2, 0),
            label=none.astype(np.float32),
            negative=none,
            first=0,
            unborn=np.zeros(len(users), dtype=np.int64),
        )
        rank(scorer, batch, K)
        encoded = encoded or time.perf_counter() - start
    seconds = time.perf_counter() - start
    print(
        f"taobao: {num_users:,} users x {num_contents:,} contents scored and ranked in {seconds:.1f} s "
        f"(of which encoding and the first block {encoded:.1f} s), peak memory {_peak_gigabytes():.2f} GB "
        f"({before:.2f} GB before), {torch.get_num_threads()} threads"
    )


def _peak_gigabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


if __name__ == "__main__":
    main()
