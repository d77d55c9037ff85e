"""Threads for compiled code that runs without the interpreter's lock."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import NamedTuple, TypeVar

import torch

Result = TypeVar("Result")
PARTS_A_THREAD = 4  # parts of equal length take different times


class Work(NamedTuple):
    """Something to do on each part of [0, size).

    Attributes:
        do: is called with the first and after the last place of a part; leaves the interpreter's lock.
        size: length of what is cut into parts.
        least: length below which a part is not worth a call.
    """

    do: Callable[[int, int], object]
    size: int
    least: int = 1


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

    together([Work(keep, size)], threads)
    return (result for _, result in sorted(found.items(), key=lambda pair: pair[0]))


def together(works: Sequence[Work], threads: int | None = None) -> None:
    """Do several works at once, each cut into parts as by `in_parts`; none may wait for another."""
    threads = threads or torch.get_num_threads()
    parts = iter([(work.do, *part) for work in works for part in _parts(work, threads)])

    def take() -> None:
        for do, first, last in parts:  # the interpreter's lock gives each part to one thread
            do(first, last)

    others = [_pool(os.getpid(), threads - 1).submit(take) for _ in range(threads - 1)] if threads > 1 else []
    try:
        take()
    finally:
        failed = [other.exception() for other in others]
    for error in failed:
        if error is not None:
            raise error


def _parts(work: Work, threads: int) -> Iterator[tuple[int, int]]:
    """The parts of a work; there is one of length 0 where there is nothing to do."""
    most = PARTS_A_THREAD * threads if threads > 1 else 1
    count = max(min(work.size // work.least, most), 1)
    return pairwise(work.size * part // count for part in range(count + 1))


@cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """Threads of this very process: a forked one needs its own."""
    return ThreadPoolExecutor(threads, thread_name_prefix=f"recsys-{process}")
