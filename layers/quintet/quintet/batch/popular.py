"""The items that a run lists most often among users' first: over all users, and in each segment.

A segment is a value of the feature that the contract's `candidates.segment` names. Each unit counts
on its own and keeps the head of its counts, so a merged list is exact where a unit lists no more
than `KEPT` items, and close to it elsewhere: what it can miss of an item is, in each unit, less
than the count of the last item kept there.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quintet.columns import Array

__all__ = ["ALL", "PopularItems", "lists_of", "merged_popular", "segment_names"]

#: the name of the list over all users
ALL = ""
#: items of a user's set that count, the best first
FIRST = 20
#: items of a list, and lists besides that of all users, of a run
ITEMS, SEGMENTS = 100, 20
#: the same of a unit's document
KEPT, UNIT_SEGMENTS = 400, 40
#: segments that a unit counts, fewer in a catalogue of more than 40,000 items: about 32 MB
COUNTED, CELLS = 200, 8_000_000
#: characters of a segment's name; users in one with a longer name have none
MAX_SEGMENT = 64


def segment_names(values: Array) -> list[str]:
    """The segment of each row, "" for none: texts, or integers as text. `values` are (rows,)."""
    names = values.tolist() if values.dtype.kind == "O" else map(str, values.tolist())
    return [name if len(name) <= MAX_SEGMENT else ALL for name in names]


class PopularItems:
    """Counts how many users of a unit have each item among their first."""

    def __init__(self, items: int) -> None:
        self._items = items
        self._most = max(SEGMENTS, min(COUNTED, CELLS // (items + 1)))
        self._counts = {ALL: np.zeros(items + 1, dtype=np.int32)}
        self._users = {ALL: 0}

    def add(self, listed: NDArray[Any], segments: list[str] | None) -> None:
        """Add users' items, (users, k), the best first, 0 for none; and their segments."""
        first = listed[:, :FIRST]
        self._add(ALL, first)
        if segments:
            names, inverse = np.unique(np.array(segments, dtype=object), return_inverse=True)
            for place, name in enumerate(names.tolist()):
                if name != ALL:
                    self._add(name, first[inverse == place])

    def _add(self, segment: str, first: NDArray[Any]) -> None:
        if segment not in self._counts:
            if len(self._counts) > self._most:
                return
            self._counts[segment] = np.zeros(self._items + 1, dtype=np.int32)
        self._users[segment] = self._users.get(segment, 0) + len(first)
        np.add.at(self._counts[segment], first.reshape(-1), 1)

    def document(self) -> dict[str, Any]:
        """The largest segments, each with its users and its first items with their counts."""
        return {name: self._head(name) for name in _largest(self._users, UNIT_SEGMENTS)}

    def _head(self, segment: str) -> dict[str, Any]:
        counts = self._counts[segment]
        counts[0] = 0
        ids = _head(np.flatnonzero(counts), counts[counts > 0], KEPT)
        packed = np.stack([ids, counts[ids]]).astype("<i4").tobytes()
        return {"users": self._users[segment], "items": base64.b64encode(packed).decode()}


def merged_popular(units: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The lists of a run from the documents of its units.

    `popular` has the items of each list, the best first, and `segments` the users of each segment.
    """
    users: dict[str, int] = {ALL: 0}
    parts: dict[str, list[NDArray[np.int32]]] = {ALL: []}
    for unit in units:
        for name, found in unit.items():
            users[name] = users.get(name, 0) + found["users"]
            packed = np.frombuffer(base64.b64decode(found["items"]), "<i4").reshape(2, -1)
            parts.setdefault(name, []).append(packed)
    names = _largest(users, SEGMENTS)
    popular = {}
    for name in names:
        ids, counts = np.concatenate([np.empty((2, 0), np.int32), *parts[name]], axis=1)
        distinct, inverse = np.unique(ids, return_inverse=True)
        totals = np.bincount(inverse, weights=counts, minlength=len(distinct))
        popular[name] = _head(distinct, totals, ITEMS).tolist()
    return {"popular": popular, "segments": {name: users[name] for name in names if name != ALL}}


def lists_of(found: Mapping[str, Any]) -> Iterator[tuple[str, int, list[int]]]:
    """The name, users and items of each list of a run's `candidates`, in order of their users."""
    users = {ALL: found["users"], **found.get("segments", {})}
    for name in _largest(users, SEGMENTS):
        if items := found.get("popular", {}).get(name):
            yield name, users[name], items


def _largest(users: Mapping[str, int], most: int) -> list[str]:
    """The list of all users, and the segments with the most, in that order."""
    names = sorted(users.keys() - {ALL}, key=lambda name: (-users[name], name))
    return [ALL, *names[:most]]


def _head(ids: NDArray[Any], counts: NDArray[Any], most: int) -> NDArray[Any]:
    """The items with the highest counts, of equal ones the lower number first."""
    order = np.lexsort((ids, -counts))
    head: NDArray[Any] = ids[order[:most]]
    return head
