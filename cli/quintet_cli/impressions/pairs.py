"""Pairs of an answer and an item, found among others. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["Pairs"]

Ints = NDArray[np.int64]


class Pairs:
    """Where pairs of an answer's number and an item are, each of which is there once."""

    def __init__(self, answer: Ints, item: Ints) -> None:
        self._items = np.unique(item)
        keys = self._keys(answer, item)
        self._order = np.argsort(keys, kind="stable")
        self._sorted = keys[self._order]

    def find(self, answer: Ints, item: Ints) -> Ints:
        """The position of each wanted pair, (rows,); -1 where it is not there."""
        if not len(self._sorted):
            return np.full(len(answer), -1, dtype=np.int64)
        keys = self._keys(answer, item)
        at = np.minimum(np.searchsorted(self._sorted, keys), len(self._sorted) - 1)
        return np.where((self._sorted[at] == keys) & (keys >= 0), self._order[at], -1)

    def _keys(self, answer: Ints, item: Ints) -> Ints:
        """A number for each pair; -1 if no pair has the item, or the answer's number is below 0."""
        if not len(self._items):
            return np.full(len(answer), -1, dtype=np.int64)
        at = np.minimum(np.searchsorted(self._items, item), len(self._items) - 1)
        known = (self._items[at] == item) & (answer >= 0)
        return np.where(known, answer * len(self._items) + at, -1)
