"""Time and memory of snapshots: `python benchmarks/snapshot.py generated` or `python benchmarks/snapshot.py DIR`.

A folder holds tables as `data=tables` reads them. Quote no time taken beside other work.
"""

import argparse
import resource
import time
from pathlib import Path

import torch

from recsys.data.event_log import EventLog
from recsys.data.features import fit_encoders
from recsys.data.preparation import LogSettings, prepare
from recsys.graph.settings import GraphSettings, SimilaritySettings
from recsys.graph.temporal_graph import TemporalGraph
from recsys.sources.base import Source
from recsys.sources.synthetic import SyntheticPlatform
from recsys.sources.tables import TableSource


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log", nargs="?", default="generated", help="'generated', or a folder of tables")
    parser.add_argument("--content-id", default="item_id", help="column of the content in the folder's tables")
    parser.add_argument("--events", type=int, default=1_000_000, help="events of the generated log")
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--contents", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=3, help="snapshots timed; the fastest counts")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    source: Source = (
        SyntheticPlatform(num_users=asked.users, num_contents=asked.contents, num_events=asked.events)
        if asked.log == "generated"
        else TableSource(path=Path(asked.log), columns={"content_id": asked.content_id})
    )
    log = prepare(source.load(), LogSettings()).log
    print(f"{log.name}: {len(log):,} events, {len(log.users):,} users, {len(log.contents):,} contents")
    measure(log, asked.repeats)


def measure(log: EventLog, repeats: int) -> None:
    """Print how long a graph, and snapshots at t_test with and without similarity, take."""
    encoders = fit_encoders(log)
    for linked in (False, True):
        start = time.perf_counter()
        similarity = SimilaritySettings(users=linked, contents=linked)
        graph = TemporalGraph(log, encoders, GraphSettings(similarity=similarity), cache_bytes=0)
        built = time.perf_counter() - start
        graph.snapshot(int(log.time[0]) + 1)  # compiles what is compiled
        taken = []
        for repeat in range(repeats):  # at times of their own, as the last snapshot is kept
            start = time.perf_counter()
            data = graph.snapshot(log.boundaries.t_test - repeat)
            taken.append(time.perf_counter() - start)
        kind = "with" if linked else "without"
        print(
            f"{kind} similarity: graph {built:.2f} s, snapshot at t_test {min(taken):.3f} s "
            f"({sum(data.num_nodes_dict.values()):,} nodes, {data.num_edges:,} edges), "
            f"peak memory of the process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GB"
        )


if __name__ == "__main__":
    main()
