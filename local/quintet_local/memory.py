"""Gives memory back that nothing uses: cycles of objects, and what the C library keeps for later.

Collections are rare here (see `run`), and moto's state machines leave cycles of thousands of
objects: within an hour they would take hundreds of megabytes. What they used is then free, but
spread over the C library's arenas, of which each thread may have one.
"""

from __future__ import annotations

import ctypes
import gc
import threading
import time
from collections.abc import Callable

__all__ = ["give_back", "limit_arenas", "pause", "start"]

#: seconds between two times, at least
SECONDS = 60.0
#: of the time, what collections may take at most: every other thread waits meanwhile
SHARE = 0.002
#: see mallopt(3)
_ARENA_MAX, _ARENAS = -8, 2


def limit_arenas() -> bool:
    """Let the C library have few arenas; call it before there are threads. False without glibc."""
    limit = _of_glibc("mallopt")
    return limit is not None and limit(_ARENA_MAX, _ARENAS) == 1


def give_back() -> float:
    """Collect garbage, and give free memory back to the machine; returns the seconds it took."""
    began = time.perf_counter()
    gc.collect()
    if (trim := _of_glibc("malloc_trim")) is not None:
        trim(0)
    return time.perf_counter() - began


def pause(took: float) -> float:
    """The seconds to wait after one that took so long."""
    return max(SECONDS, took / SHARE)


def start() -> None:
    """Give memory back again and again, in a thread of its own."""
    threading.Thread(target=_run, name="memory", daemon=True).start()


def _run() -> None:
    took = 0.0
    while True:
        time.sleep(pause(took))
        took = give_back()


def _of_glibc(name: str) -> Callable[..., int] | None:
    """A function of the C library, if it has it: other ones and other systems do not."""
    found: Callable[..., int] | None = getattr(ctypes.CDLL(None), name, None)
    return found
