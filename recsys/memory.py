"""How the C library's allocator treats freed memory."""

import ctypes
import platform

# Of malloc.h.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4

TOP_PAD = 64 << 20


def keep_freed_memory() -> bool:
    """Have glibc keep freed memory for the process instead of giving it back; gives whether it could.

    Every training step allocates and frees the same large tensors. glibc maps each anew from the operating system,
    which clears every page of it: a quarter of the time of a run's processors, without this. The process keeps its peak
    memory until it ends.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    options = {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: -1, M_TOP_PAD: TOP_PAD}
    return all(libc.mallopt(option, value) == 1 for option, value in options.items())
