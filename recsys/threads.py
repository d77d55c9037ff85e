"""Threads for compiled code that runs without the interpreter's lock."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import torch

Result = TypeVar("Result")

PARTS_A_THREAD = 4  # parts of equal length take different times


def in_parts(work: Callable[[int, int], Result], size: int, threads: int | None = None) -> Iterator[Result]:
    """Call `work(first, last)` for consecutive parts of [0, size), on threads; gives the results in order.

    Threads rather than a parallel loop of numba's: OpenMP's do not survive in a forked process, and loaders fork.

    Args:
        work: code that leaves the interpreter's lock.
        size: length of what is cut into parts.
        threads: how many; None for as many as torch uses, which is one in a loader's worker.
    """
    threads = threads or torch.get_num_threads()
    count = min(size, PARTS_A_THREAD * threads) if threads > 1 else 1
    cuts = [size * part // max(count, 1) for part in range(max(count, 1) + 1)]
    if count <= 1:
        return iter([work(0, size)])
    return _pool(os.getpid(), threads).map(work, cuts[:-1], cuts[1:])


@cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """Threads of this very process: a forked one needs its own."""
    return ThreadPoolExecutor(threads, thread_name_prefix=f"recsys-{process}")
