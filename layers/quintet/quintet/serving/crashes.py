"""The versions that ended the process of their environment, remembered on its disk.

Too much memory, a time-out or a fault in native code ends the process, and nothing in it can catch
that. Lambda then starts a new process in the same environment and keeps its /tmp:
https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
While a version loads or runs, its byte in a mapped file is set. A byte that a new process finds set
says which version ended the last one.
"""

from __future__ import annotations

import fcntl
import math
import mmap
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from quintet.errors import Transient
from quintet.record import Value

__all__ = ["LIMIT", "WINDOW_SECONDS", "Crash", "CrashLog"]

#: a version that crashed so often within the window is refused for as long after its last crash
LIMIT = 3
WINDOW_SECONDS = 600

_SLOT = np.dtype(
    [("running", "u1"), ("model", "S63"), ("version", "<i8"), ("crashes", "<f8", (LIMIT,))]
)
_SLOTS = 256  # slot 0 is of versions that have no slot


class Crash(Value):
    """A version that ended the last process, and how often it did so within the window."""

    model: str
    version: int
    count: int


class CrashLog:
    """The versions that load or run now, and when which of them ended a process.

    Set `running[slots[model, version]]` to 1 before a run and to 0 after it: stores, not calls,
    because every request makes them. `found` are the versions that ended the last process. `clock`
    is in epoch seconds. Without a file, nothing outlives the process.
    """

    def __init__(self, clock: Callable[[], float], file: Path | None = None) -> None:
        self._clock = clock
        self._known = _mapped(file) if file else np.zeros(_SLOTS, _SLOT)
        self.running = self._known["running"]
        names = zip(self._known["model"].tolist(), self._known["version"].tolist(), strict=True)
        self.slots = {
            (model.decode(), version): slot
            for slot, (model, version) in enumerate(names)
            if version
        }
        self.found = [self._count(int(slot)) for slot in np.flatnonzero(self.running[1:]) + 1]
        self.running[:] = 0

    def check(self, model: str, version: int) -> None:
        """Refuse a version that ended this environment's process again and again.

        Raises:
            Transient: it did so `LIMIT` times within the window; it is tried again when the window
                after its last crash ends.
        """
        slot = self.slots.get((model, version))
        if slot is None:
            return
        crashes = self._known["crashes"][slot]
        first, last = float(crashes.min()), float(crashes.max())  # 0: there were fewer
        left = last + WINDOW_SECONDS - self._clock()
        if first > 0 and last - first <= WINDOW_SECONDS and left > 0:
            raise Transient(
                f"model {model} version {version} ended the process of this execution environment "
                f"{LIMIT} times in {WINDOW_SECONDS // 60} minutes (out of memory, a time-out, or a "
                "crash in native code); it is tried again later. Look into predict's log, or "
                "promote another version",
                retry_after=math.ceil(left),
            )

    def slot(self, model: str, version: int) -> int:
        """The slot of a version; one is assigned to it if it has none."""
        key = (model, version)
        if key not in self.slots:
            free = self._free()
            self.slots = {known: slot for known, slot in self.slots.items() if slot != free}
            self._known[free] = (0, model.encode(), version, (0.0,) * LIMIT)
            self.slots[key] = free
        return self.slots[key]

    def _free(self) -> int:
        """The slot that nobody has, else of a version that never crashed, or the longest ago."""
        last = self._known["crashes"].max(axis=1)
        last[self._known["version"] == 0] = -1.0
        last[0] = np.inf
        return int(np.argmin(last))

    def _count(self, slot: int) -> Crash:
        times, now = self._known["crashes"][slot], self._clock()
        times[np.argmin(times)] = now
        count = int((times >= now - WINDOW_SECONDS).sum())
        return Crash(self._known["model"][slot].decode(), int(self._known["version"][slot]), count)


def _mapped(file: Path) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    """The slots in the file; in memory if the disk is full, or if another process has the file."""
    size = _SLOTS * _SLOT.itemsize
    try:
        with file.open("a+b") as opened:
            # the map keeps it until this process ends, however it ends: the bytes that are set in
            # the file of a process that lives say nothing
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(opened.fileno()).st_size != size:
                opened.truncate(0)
                opened.write(bytes(size))  # a mapped byte without room on the disk is a SIGBUS
                opened.flush()
            return np.frombuffer(mmap.mmap(opened.fileno(), size), _SLOT)
    except (OSError, ValueError):
        return np.zeros(_SLOTS, _SLOT)
