"""The ids of captured predictions, and which of them the contract's rate takes."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["new_event", "taken", "taken_rows"]

_ALL = 2**32
_MIX = np.uint64(0x9E3779B97F4A7C15)


#: random digits drawn ahead, since a system call takes most of an id's time. None are drawn before
#: the first request, so that no snapshot of the process has some
_drawn: list[str] = []


def new_event() -> str:
    """A new event id: unique, 32 hexadecimal digits, in the order of time to the millisecond."""
    try:
        digits = _drawn.pop()
    except IndexError:
        digits, *more = [os.urandom(10).hex() for _ in range(64)]
        _drawn.extend(more)
    return f"{time.time_ns() // 1_000_000:012x}{digits}"


def taken(event: str, rate: float) -> bool:
    """Whether an event is captured, at a rate from 0 to 1: the same for each retry of it."""
    return rate >= 1 or crc32(event.encode()) < rate * _ALL


def taken_rows(event: str, rows: NDArray[np.int64], rate: float) -> NDArray[np.bool_]:
    """Which rows of an event are captured if each is taken by itself, as in a batch run."""
    if rate >= 1:
        return np.ones(len(rows), dtype=np.bool_)
    # splitmix64's finalizer: https://prng.di.unimi.it/splitmix64.c
    mixed = (rows.astype(np.uint64) + np.uint64(crc32(event.encode()) + 1)) * _MIX
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    below: NDArray[np.bool_] = (mixed >> np.uint64(32)) < rate * _ALL
    return below
