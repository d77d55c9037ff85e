"""Seconds, CPU seconds and peak memory of generating a large platform: `python benchmarks/synthetic.py [--large]`.

Each size runs in a process of its own, so that its peak is its own.
"""

import argparse
import multiprocessing
import resource
import time

from recsys.sources.synthetic import SyntheticPlatform

MILLION = {"num_users": 30_000, "num_contents": 30_000, "num_events": 1_000_000}
TEN_MILLION = {"num_users": 200_000, "num_contents": 200_000, "num_events": 10_000_000}


def main() -> None:
    """Generate one million events, with --large ten million as well, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--large", action="store_true", help="also generate ten million events")
    sizes = [MILLION, TEN_MILLION] if parser.parse_args().large else [MILLION]
    print(f"{'events':>12} {'users':>9} {'contents':>9} {'seconds':>8} {'cpu':>8} {'peak GB':>8}")
    for size in sizes:
        process = multiprocessing.get_context("spawn").Process(target=_measure, args=(size,))
        process.start()
        process.join()
        if process.exitcode:
            raise SystemExit(process.exitcode)


def _measure(size: dict[str, int]) -> None:
    """Generate one platform and print what it took."""
    began = time.perf_counter()
    tables = SyntheticPlatform(**size).load()
    seconds, cpu = time.perf_counter() - began, time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # Linux counts KiB
    count = len(tables.interactions)
    sizes = f"{count:>12,} {size['num_users']:>9,} {size['num_contents']:>9,}"
    print(f"{sizes} {seconds:>8.1f} {cpu:>8.1f} {peak:>8.2f}", flush=True)


if __name__ == "__main__":
    main()
