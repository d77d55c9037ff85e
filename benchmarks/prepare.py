"""Seconds and peak memory of preparing a generated log: `python benchmarks/prepare.py [NUM_EVENTS]`."""

import sys
import time
from pathlib import Path

from recsys.data.features import fit_encoders
from recsys.data.interaction_index import InteractionIndex
from recsys.data.preparation import LogSettings, prepare
from recsys.data.ranking_task import RankingTask
from recsys.sources.synthetic import SyntheticPlatform


def main() -> None:
    """Print how long each step took, and the process's memory before and at its peak."""
    num_events = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    tables = SyntheticPlatform(num_users=num_events // 30, num_contents=num_events // 20, num_events=num_events).load()
    before = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of generating
    laps = [("start", time.perf_counter())]

    def lap(name: str) -> None:
        laps.append((name, time.perf_counter()))
        print(f"{name:<22} {laps[-1][1] - laps[-2][1]:7.2f} s")

    log = prepare(tables, LogSettings()).log
    lap("prepare")
    encoders = fit_encoders(log)
    lap("fit encoders")
    encoders.user.encode(log.users)
    encoders.content.encode(log.contents)
    lap("encode")
    index = InteractionIndex(log)
    lap("interaction index")
    RankingTask.build(log, index, "test", seed=0)
    lap("test task")
    seconds, peak = laps[-1][1] - laps[0][1], memory("VmHWM")
    print(f"{len(log):,} events: {seconds:.2f} s; memory {before:,.0f} MB, at the peak {peak:,.0f} MB")


def memory(field: str) -> float:
    """A field of Linux's account of this process, in MB."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
