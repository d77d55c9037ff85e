"""Seconds and peak memory of fetching a platform from a server on this machine, up to its tables and its log.

`python -m benchmarks.fetch [ROWS]`; 100,000 rows by default, most of them views. The server, that of the tests, has a
process of its own, so that the peak is that of fetching. The pace is not limited: a real platform sets its own.
"""

import multiprocessing
import os
import resource
import sys
import tempfile
import time
from itertools import pairwise
from multiprocessing.connection import Connection
from pathlib import Path

from recsys.data.preparation import LogSettings, prepare
from recsys.sources.platform.api import PlatformApi
from recsys.sources.platform.download import fetch
from recsys.sources.platform.pages import PageStore
from recsys.sources.platform.source import PlatformSource
from tests.sources.platform.server import TOKEN, TOKEN_VARIABLE, generate, serving


def main() -> None:
    num_rows = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    server = multiprocessing.get_context("spawn").Process(target=_serve, args=(num_rows, theirs))
    server.start()
    url = ours.recv()
    os.environ[TOKEN_VARIABLE] = TOKEN
    before = _peak_gigabytes()
    with tempfile.TemporaryDirectory() as folder:
        api = PlatformApi(base_url=url, requests_per_second=1000)
        laps = [time.perf_counter()]
        fetch(api, Path(folder))
        laps.append(time.perf_counter())
        tables = PlatformSource(api=api, folder=folder, moods={"joyful": ["joy"]}).load()
        laps.append(time.perf_counter())
        log = prepare(tables, LogSettings()).log
        laps.append(time.perf_counter())
        rows = sum(PageStore(Path(folder)).rows_by_endpoint().values())
        size = sum(path.stat().st_size for path in Path(folder).rglob("*")) / 1e6
    ours.send("enough")
    server.join()
    fetched, read, prepared = (end - begin for begin, end in pairwise(laps))
    print(
        f"{rows:,} rows ({size:.1f} MB compressed): fetch and check {fetched:.1f} s, tables {read:.1f} s, "
        f"log of {len(log):,} events {prepared:.1f} s, in all {laps[-1] - laps[0]:.1f} s; "
        f"peak memory {_peak_gigabytes():.2f} GB ({before:.2f} GB before)"
    )


def _serve(num_rows: int, pipe: Connection) -> None:
    """Serve a generated platform until told that it is enough."""
    num_posts, num_users = num_rows // 20, num_rows // 20
    rows = generate(num_users=num_users, num_posts=num_posts, num_events=num_rows - num_posts - num_users)
    with serving(rows) as server:
        pipe.send(server.url)
        pipe.recv()


def _peak_gigabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


if __name__ == "__main__":
    main()
