"""Memory that nothing uses any more is given back."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import weakref

import psutil
import pytest

from quintet_local import memory

GLIBC = "CS_GNU_LIBC_VERSION" in getattr(os, "confstr_names", {})

#: in a process of its own: the limit is of the whole process
ARENAS = """
import sys, threading
import psutil
from quintet_local.memory import limit_arenas
threading.stack_size(2**20)
if "limited" in sys.argv:
    assert limit_arenas()
before = psutil.Process().memory_info().vms
held = threading.Barrier(9)
def work():
    kept = [bytearray(2_000) for _ in range(200)]
    held.wait()
    held.wait()
for _ in range(8):
    threading.Thread(target=work).start()
held.wait()
# each arena reserves 64 MB of addresses
print((psutil.Process().memory_info().vms - before) // (64 * 2**20))
held.wait()
"""


class Node:
    """It may refer to itself."""

    def __init__(self) -> None:
        self.own = self


def test_cycles_are_freed_though_collections_are_rare() -> None:
    gc.disable()
    try:
        seen = weakref.ref(Node())
        assert seen() is not None
        assert memory.give_back() > 0
        assert seen() is None
    finally:
        gc.enable()


@pytest.mark.skipif(not GLIBC, reason="another C library")
def test_free_memory_goes_back_to_the_machine() -> None:
    # small pieces with a gap between any two, below the size that is mapped alone
    used = psutil.Process().memory_info
    pieces = [bytearray(60_000) for _ in range(2_000)]
    last = bytearray(60_000)  # above all others: without trimming, all below it stay
    full = used().rss
    del pieces
    memory.give_back()
    assert full - used().rss > 60_000 * 1_000
    assert len(last) == 60_000


@pytest.mark.skipif(not GLIBC, reason="another C library")
def test_threads_share_few_arenas() -> None:
    def arenas(*words: str) -> int:
        command = [sys.executable, "-c", ARENAS, *words]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return int(done.stdout)

    assert arenas("limited") <= 2 < arenas()


def test_collections_take_a_small_share_of_the_time() -> None:
    assert memory.pause(0.01) == memory.SECONDS
    took = 1.5
    assert took / (memory.pause(took) + took) <= memory.SHARE
