"""Freed memory stays with the process."""

import platform
import subprocess
import sys

import pytest

from recsys.memory import keep_freed_memory

REPEATS = """
import resource, torch
from recsys.memory import keep_freed_memory
if {keep}:
    assert keep_freed_memory()
torch.set_num_threads(1)
x = torch.ones(1 << 24)
for _ in range(40):  # until enough is kept, which takes as long as free places of the right size are not side by side
    x = x * 2
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    x = x * 2
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(keep: bool) -> int:
    code = REPEATS.format(keep=keep)
    return int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator is glibc's")
def test_a_large_array_is_not_mapped_anew_each_time() -> None:
    assert faults(keep=True) < faults(keep=False) / 4


def test_without_glibc_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert not keep_freed_memory()
