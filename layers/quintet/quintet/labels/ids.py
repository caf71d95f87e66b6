"""Ids of predictions and labels, as arrays of bytes: joined by hashes, row by row in C."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["Ids", "Index", "event_times", "groups", "hashes"]

Ids = NDArray[np.bytes_]

_ODD = 0x9E3779B97F4A7C15
#: 2020: an older time is that of no event
_EARLIEST = 1_577_836_800.0
_HEX = np.full(256, -1, dtype=np.int64)
_HEX[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16)


def hashes(ids: Ids) -> NDArray[np.uint64]:
    """A 64-bit hash of each id, (rows,); of ids of up to eight bytes, no two the same."""
    words = -(-ids.dtype.itemsize // 8)
    padded = np.ascontiguousarray(ids.astype(f"S{words * 8}")).view(np.uint64)
    found = np.zeros(len(ids), dtype=np.uint64)
    factor = 1
    for column in padded.reshape(len(ids), words).T:
        factor = factor * _ODD % 2**64
        # splitmix64's finalizer: https://prng.di.unimi.it/splitmix64.c; of zero it is zero, so
        # that the padding does not count
        mixed = column * np.uint64(factor)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        found += mixed ^ (mixed >> np.uint64(31))
    return found


def groups(ids: Ids) -> NDArray[np.int64]:
    """A number for each id, (rows,): the same for the same ids, others for others."""
    found = hashes(ids)
    order = np.argsort(found)
    same_hash = found[order][1:] == found[order][:-1]
    if np.any(same_hash & (ids[order][1:] != ids[order][:-1])):  # two ids with one hash
        return np.unique(ids, return_inverse=True)[1].astype(np.int64)
    numbers = np.empty(len(ids), dtype=np.int64)
    numbers[order] = np.concatenate([[0], np.cumsum(~same_hash)])[: len(ids)]
    return numbers


class Index:
    """Where ids are in an array of unique ones.

    Of two ids with one hash (one in 10^7 arrays of a million ids has such) one is not found;
    another id is never returned.
    """

    def __init__(self, ids: Ids) -> None:
        self._ids = ids
        known = hashes(ids)
        self._order = np.argsort(known)
        self._hashes = known[self._order]

    def find(self, wanted: Ids) -> NDArray[np.int64]:
        """The position of each wanted id, (rows,); -1 where it is not there, and for b""."""
        if not len(self._ids):
            return np.full(len(wanted), -1, dtype=np.int64)
        at = np.searchsorted(self._hashes, hashes(wanted))
        found = self._order[np.minimum(at, len(self._order) - 1)]
        same = (self._ids[found] == wanted) & (wanted != b"")
        return np.where(same, found, -1)


def event_times(ids: Ids) -> NDArray[np.float64]:
    """The time in ids of events (see `quintet.captures.events`), epoch seconds; NaN of others."""
    found = np.full(len(ids), np.nan)
    if ids.dtype.itemsize < 32 or not len(ids):
        return found
    letters = np.ascontiguousarray(ids.astype(f"S{max(ids.dtype.itemsize, 33)}"))
    matrix = letters.view(np.uint8).reshape(len(ids), -1)
    digits = _HEX[matrix[:, :32]]
    # after the event's 32 digits nothing, or its row
    is_event = (digits >= 0).all(axis=1) & np.isin(matrix[:, 32], (0, ord(".")))
    milliseconds = digits[is_event, :12] @ (16 ** np.arange(11, -1, -1, dtype=np.int64))
    found[is_event] = milliseconds / 1000
    return np.where(found < _EARLIEST, np.nan, found)
