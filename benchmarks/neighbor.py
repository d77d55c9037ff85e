"""Speed of temporal neighbour sampling: `python -m benchmarks.neighbor [--events N]`.

Two logs: taobao (the environment variable RECSYS_DATA names the folder of real logs) and one drawn at random with ten
million edges, both ways counted. A batch is 512 positives with a negative each; seeds/s counts the positives. The
kernel grows a subgraph for each of the 2,048 end nodes, 2 hops x 16 neighbours, the loader one for each positive, with
features as of its own time, or, as by default, one for each of the four query times that they share. With pyg-lib
installed, its `LinkNeighborLoader` is measured in turns with ours; the figures stated for it are those of pyg-lib 0.9
on two idle cores. Quote no time taken beside other work.

Memory is what a process needs at most while it makes a batch, beyond what it held before: it grows with the batch, by
as much for a seed whatever the batch, and with the graph only as far as subgraphs do.
"""

import argparse
import ctypes
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch_geometric.typing
from torch_geometric.data import HeteroData
from torch_geometric.loader import LinkLoader, LinkNeighborLoader
from torch_geometric.sampler import NeighborSampler

from recsys.data.event_log import EventLog
from recsys.data.features import fit_encoders
from recsys.data.interaction_index import InteractionIndex
from recsys.data.preparation import LogSettings, prepare
from recsys.graph.schema import CONTENT, USER, event_edge
from recsys.graph.settings import GraphSettings, SimilaritySettings
from recsys.graph.temporal_graph import TemporalGraph
from recsys.loading.negatives import Uniform
from recsys.loading.neighbor_loader import NeighborLoader
from recsys.loading.neighbor_sampler import TemporalNeighborSampler
from recsys.loading.subgraph_sampler import Seeds, subgraph_keys
from recsys.memory import keep_freed_memory
from recsys.models.gat_sage import GatSage
from recsys.models.pair_signals import signals_of_pairs
from recsys.sources.base import Tables
from recsys.sources.tables import TableSource

DATA = Path(os.environ.get("RECSYS_DATA", "../shared/data"))
BATCH, FAN_OUT, REPEATS = 512, 16, 15
SIZES = (128, 512, 2048, 8192)  # batches whose memory is measured

UNLINKED = GraphSettings(similarity=SimilaritySettings(users=False, contents=False))

# Milliseconds of pyg-lib 0.9 for a batch: its C++ call on 2,048 trees (178,000 edges on taobao), and all of
# LinkNeighborLoader, which gathers features that do not depend on the time.
STATED_CALL = {"taobao": 13.0}
STATED_LOADER = {"taobao": 1e3 * BATCH / 24_000, "random": 1e3 * BATCH / 3_200}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=5_000_000, help="events of the random log")
    parser.add_argument("--only", choices=["taobao", "random"], help="measure one log only")
    asked = parser.parse_args()
    compile_time()
    keep_freed_memory()
    if asked.only != "random":
        measure(prepare(TableSource(path=DATA / "taobao", columns={"content_id": "item_id"}).load(), LogSettings()).log)
    if asked.only != "taobao":
        measure(prepare(random_tables(asked.events), LogSettings(repeats="keep")).log)


def compile_time() -> None:
    """Print the seconds of the first call in a fresh cache, and in a process that finds it filled."""
    code = "from benchmarks.neighbor import first_batch; first_batch()"
    folder = Path("/tmp") / f"numba_cache_{os.getpid()}"
    env = {**os.environ, "NUMBA_CACHE_DIR": str(folder)}
    first, later = (
        subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout.strip()
        for _ in range(2)
    )
    print(f"first batch: {first} s when sampler and features are compiled, {later} s from the cache")


def first_batch() -> None:
    """Print the seconds until the first batch of a small log, the log's own preparation not counted."""
    log = prepare(random_tables(2_000), LogSettings(repeats="keep")).log
    start = time.perf_counter()
    batches(log, TemporalGraph(log, fit_encoders(log), UNLINKED)).batch(0, 0)
    print(f"{time.perf_counter() - start:.2f}")


def random_tables(num_events: int) -> Tables:
    """Events of users and contents of which a few are popular, at random times."""
    rng = np.random.default_rng(0)
    num_users, num_contents = num_events // 25, num_events // 25
    interactions = pd.DataFrame(
        {
            "user_id": (num_users * rng.random(num_events) ** 1.5).astype(np.int64),
            "content_id": (num_contents * rng.random(num_events) ** 3).astype(np.int64),
            "type": np.array(["view", "click", "buy"], dtype=object)[rng.choice(3, num_events, p=[0.7, 0.25, 0.05])],
            "value": np.nan,
            "timestamp": 1_600_000_000 + np.sort(rng.integers(0, 10**7, num_events)),
        }
    )
    return Tables(name="random", interactions=interactions, users=None, contents=None, content_tags=None)


def measure(log: EventLog) -> None:
    """Print everything about one log."""
    start = time.perf_counter()
    graph = TemporalGraph(log, fit_encoders(log), UNLINKED)
    edges = graph.timed_edges(np.array([log.time[0]]))
    sampler = TemporalNeighborSampler(edges, [FAN_OUT, FAN_OUT])
    print(
        f"\n{log.name}: {edges.num_edges:,} edges of {len(edges.edge_types)} types, {len(log.users):,} users, "
        f"{len(log.contents):,} contents; graph and sampler in {time.perf_counter() - start:.1f} s"
    )
    event = np.random.default_rng(1).choice(len(log), BATCH)
    most = torch.get_num_threads()
    print(f"{'kernel':<36} {'ms':>8} {'seeds/s':>10} {'edges/s':>12}")
    for name, batch, fan_out, number in [
        *((f"threads {n}", BATCH, FAN_OUT, n) for n in range(1, most + 1)),
        *((f"fan-out {k}", BATCH, k, most) for k in (8, 32)),
        *((f"batch {size}", size, FAN_OUT, most) for size in (128, 2048)),
    ]:
        other = TemporalNeighborSampler(edges, [fan_out, fan_out], threads=number)
        seeds = end_nodes(log, np.resize(event, batch))
        ms = median_ms(lambda: other.subgraphs(seeds))  # noqa: B023 - called at once
        drawn = sum(len(row) for row in other.subgraphs(seeds).row.values())
        against = beside(STATED_CALL.get(log.name), ms) if name.startswith("threads") else ""
        print(f"{name:<36} {ms:8.1f} {1e3 * batch / ms:10,.0f} {1e3 * drawn / ms:12,.0f}{against}")

    start = time.perf_counter()
    loader = batches(log, graph)
    print(f"loader set up in {time.perf_counter() - start:.1f} s")
    shared = batches(log, graph, times_per_batch=4)
    print(f"{'whole loader':<36} {'ms':>8} {'seeds/s':>10}")
    places = iter(range(10**9))
    with_features = static_features(edges)
    if torch_geometric.typing.WITH_PYG_LIB:
        seeds = end_nodes(log, event)
        beside_pyg_lib("kernel", lambda: sampler.subgraphs(seeds), pyg_lib_call(with_features, seeds))
        theirs = next_of(link_loader(with_features, None, log, event))
        beside_pyg_lib("whole loader", lambda: loader.batch(0, next(places) % len(loader)), theirs)
        beside_pyg_lib("with four times", lambda: shared.batch(0, next(places) % len(shared)), theirs)
    else:
        print("pyg-lib is not installed: nothing is measured beside it")
    for number in range(1, most + 1):
        torch.set_num_threads(number)
        ms = median_ms(lambda: loader.batch(0, next(places) % len(loader)))
        show(f"ours, features of each time, threads {number}", ms, STATED_LOADER.get(log.name))
        ms = median_ms(lambda: shared.batch(0, next(places) % len(shared)))
        show(f"ours, four times, threads {number}", ms, STATED_LOADER.get(log.name))
    show("ours under LinkLoader, static", median_ms(next_of(link_loader(with_features, sampler, log, event))))

    memory_of_batches(loader)
    beside_training(graph, loader)


def memory_of_batches(loader: NeighborLoader) -> None:
    """Print what batches of several sizes need."""
    print(f"{'memory of a batch':<36} {'MB':>8} {'kB/seed':>10}")
    for size in SIZES:
        every = max(loader.seeds_per_epoch // size, 1)
        drawn = len(loader.batch(0, 0, every).user)
        mb = peak_mb(lambda: loader.batch(0, 0, every))  # noqa: B023 - called at once
        print(f"{f'{drawn} seeds':<36} {mb:8.1f} {1e3 * mb / drawn:10.1f}")


def beside_training(graph: TemporalGraph, loader: NeighborLoader) -> None:
    """Print how long a batch takes beside a step of gat_sage with it."""
    network, most = GatSage(graph.schema, hidden=64), torch.get_num_threads()
    batch = loader.batch(0, 0)
    user, content = batch.graph[USER].n_id[batch.user], batch.graph[CONTENT].n_id[batch.content]

    def step() -> None:
        vectors = network.encode(batch.graph)
        signals = signals_of_pairs(network, graph, user.numpy(), content.numpy(), batch.time.numpy())
        network.link_logits(vectors, batch.user, batch.content, signals).square().mean().backward()

    for number in range(1, most + 1):
        torch.set_num_threads(number)
        sampling, training = median_ms(lambda: loader.batch(0, 0), 5), median_ms(step, 5)
        share = sampling / (sampling + training)
        print(
            f"gat_sage, threads {number}: batch {sampling:.0f} ms, forward and backward {training:.0f} ms: {share:.0%}"
        )


def batches(log: EventLog, graph: TemporalGraph, times_per_batch: int | None = None) -> NeighborLoader:
    """Batches of positives, each with a negative of its own."""
    return NeighborLoader(
        log=log,
        graph=graph,
        index=InteractionIndex(log),
        negatives=Uniform(count=1),
        seed=0,
        fan_out=[FAN_OUT, FAN_OUT],
        batch_size=BATCH,
        times_per_batch=times_per_batch,
        negatives_shared_by=1,
        refreshes=2,
    )


def peak_mb(work: Callable[[], object]) -> float:
    """Most memory of a call beyond what is held before, MB; measured in a process forked for it (Linux)."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            torch.set_num_threads(1)  # OpenMP's threads, once the parent has used them, do not survive a fork
            ctypes.CDLL(None).malloc_trim(0)  # else freed memory would be used again and count as held
            Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
            held = status_kb("VmRSS")
            work()
            os.write(writing, f"{(status_kb('VmHWM') - held) / 1e3}".encode())
        except BaseException:  # the parent's work must not go on here
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        mb = float(answer.read() or "nan")
    os.waitpid(child, 0)
    return mb


def status_kb(name: str) -> int:
    """A line of this process's status in kB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def end_nodes(log: EventLog, event: np.ndarray) -> Seeds:
    """A subgraph for every end node of positives and negatives."""
    size, rng = len(event), np.random.default_rng(2)
    nodes = {
        USER: np.concatenate([log.user[event], rng.integers(0, len(log.users), size)]),
        CONTENT: np.concatenate([log.content[event], rng.integers(0, len(log.contents), size)]),
    }
    subgraph = {USER: np.arange(2 * size), CONTENT: np.arange(2 * size, 4 * size)}
    return Seeds(nodes, subgraph, np.tile(log.time[event], 4), subgraph_keys(0, 0, np.arange(4 * size)))


def static_features(edges: HeteroData) -> HeteroData:
    """The graph with 20 numbers a node, for loaders that gather them, and times of edges only."""
    data = HeteroData()
    for kind in edges.node_types:
        data[kind].x = torch.zeros(edges[kind].num_nodes, 20)
    for kind in edges.edge_types:
        data[kind].edge_index = edges[kind].edge_index
        if "time" in edges[kind]:
            data[kind].time = edges[kind].time
    return data


def link_loader(
    data: HeteroData, sampler: TemporalNeighborSampler | None, log: EventLog, event: np.ndarray
) -> LinkLoader:
    """A loader of many batches of the same events; pyg-lib's without a sampler."""
    kind = event_edge(log.types[0])
    many = np.tile(event, 4 * REPEATS)
    options = {
        "edge_label_index": (kind, torch.from_numpy(np.stack([log.user[many], log.content[many]]))),
        "edge_label_time": torch.from_numpy(log.time[many]),
        "neg_sampling": "binary",
        "batch_size": BATCH,
    }
    if sampler is not None:
        return LinkLoader(data, sampler, **options)
    return LinkNeighborLoader(data, [FAN_OUT, FAN_OUT], time_attr="time", disjoint=True, **options)


def pyg_lib_call(data: HeteroData, seeds: Seeds) -> Callable[[], object]:
    """The call of pyg-lib that samples for these end nodes, through PyG's sampler."""
    sampler = NeighborSampler(data, [FAN_OUT, FAN_OUT], time_attr="time", disjoint=True)
    nodes = {kind: torch.from_numpy(rows) for kind, rows in seeds.nodes.items()}
    times = {kind: torch.from_numpy(seeds.time[seeds.subgraph[kind]]) for kind in nodes}
    return lambda: sampler._sample(seed=nodes, seed_time=times)


def beside_pyg_lib(name: str, ours: Callable[[], object], theirs: Callable[[], object]) -> None:
    """Print both in turns. OpenMP's threads, which pyg-lib uses, go on spinning a while: OMP_WAIT_POLICY=passive."""
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(REPEATS + 2):
        for work, of_work in zip((ours, theirs), taken, strict=True):
            start = time.perf_counter()
            work()
            of_work.append(1e3 * (time.perf_counter() - start))
    mine, other = (float(np.median(of_work[2:])) for of_work in taken)
    print(
        f"{name + ' beside pyg-lib, in turns':<36} {mine:8.1f} {1e3 * BATCH / mine:10,.0f}   {other / mine:.1f} x "
        f"pyg-lib ({other:.1f} ms)"
    )


def next_of(loader: LinkLoader) -> Callable[[], object]:
    batches = iter(loader)
    return lambda: next(batches)


def median_ms(work: Callable[[], object], repeats: int = REPEATS) -> float:
    """Median milliseconds of a call, after two to warm up."""
    taken = []
    for _ in range(repeats + 2):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return 1e3 * float(np.median(taken[2:]))


def show(name: str, ms: float, stated: float | None = None) -> None:
    print(f"{name:<36} {ms:8.1f} {1e3 * BATCH / ms:10,.0f}{beside(stated, ms)}")


def beside(stated: float | None, ms: float) -> str:
    """How many times as fast as the stated figure."""
    return "" if stated is None else f"   {stated / ms:.1f} x pyg-lib ({stated:.1f} ms stated)"


if __name__ == "__main__":
    main()
