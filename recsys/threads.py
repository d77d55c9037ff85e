"""Threads for compiled code that runs without the interpreter's lock."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import TypeVar

import torch

Result = TypeVar("Result")
Work = tuple[Callable[[int, int], object], int]  # work(first, last) on a part, and the length of what is cut into parts

PARTS_A_THREAD = 4  # parts of equal length take different times


def in_parts(work: Callable[[int, int], Result], size: int, threads: int | None = None) -> Iterator[Result]:
    """Call `work(first, last)` for consecutive parts of [0, size), on threads; gives the results in order.

    Threads rather than a parallel loop of numba's: OpenMP's do not survive in a forked process, and loaders fork.

    Args:
        work: code that leaves the interpreter's lock.
        size: length of what is cut into parts.
        threads: how many; None for as many as torch uses, which is one in a loader's worker.
    """
    found: dict[int, Result] = {}

    def keep(first: int, last: int) -> None:
        found[first] = work(first, last)

    together([(keep, size)], threads)
    return (result for _, result in sorted(found.items(), key=lambda pair: pair[0]))


def together(works: Sequence[Work], threads: int | None = None) -> None:
    """Do several works at once, each cut into parts as by `in_parts`; none may wait for another."""
    threads = threads or torch.get_num_threads()
    parts = iter([part for work, size in works for part in _parts(work, size, threads)])

    def take() -> None:
        for work, first, last in parts:  # the interpreter's lock gives each part to one thread
            work(first, last)

    others = [_pool(os.getpid(), threads - 1).submit(take) for _ in range(threads - 1)] if threads > 1 else []
    try:
        take()
    finally:
        failed = [other.exception() for other in others]
    for error in failed:
        if error is not None:
            raise error


def _parts(
    work: Callable[[int, int], object], size: int, threads: int
) -> list[tuple[Callable[[int, int], object], int, int]]:
    """The parts of one work; there is one of length 0 where there is nothing to do."""
    count = max(min(size, PARTS_A_THREAD * threads), 1) if threads > 1 else 1
    cuts = [size * part // count for part in range(count + 1)]
    return [(work, first, last) for first, last in pairwise(cuts)]


@cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """Threads of this very process: a forked one needs its own."""
    return ThreadPoolExecutor(threads, thread_name_prefix=f"recsys-{process}")
