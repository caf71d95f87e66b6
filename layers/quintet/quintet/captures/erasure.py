"""Erasure: the captures of an entity are taken out of every object, and looked for again.

First everything new is merged, so that an entity is in the hours' objects alone. Each of them is
replaced only if it is still the one that was read. A compaction at the same time, which may hold
rows that were read before, then finds that its object has changed, and writes nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

import numpy as np
from arro3 import core

from quintet.captures.compaction import merge, places, redeliver, rewritten
from quintet.captures.places import FAILED, RAW, TABLE, Place
from quintet.captures.reading import Hour
from quintet.captures.store import CaptureObjects, CaptureSink, Stored
from quintet.captures.tables import read_parquet, take
from quintet.errors import BadInput, Transient

__all__ = ["Erased", "erase", "holding"]

#: how often an object that changes meanwhile is tried
ATTEMPTS = 5


@dataclass(slots=True)
class Erased:
    """What an erasure did: rows erased by model, and objects rewritten.

    `proved` objects were read afterwards, and have no row of the entity. `unreadable` are the keys
    of objects, and of failed deliveries, that could not be read.
    """

    rows: Counter[str] = field(default_factory=Counter)
    objects: int = 0
    proved: int = 0
    unreadable: list[str] = field(default_factory=list)


def erase(
    objects: CaptureObjects, sink: CaptureSink, entity: str, models: Collection[str] = ()
) -> Erased:
    """Erase an entity's captures, of some models or of all; then read all objects again.

    Raises:
        Transient: the store did not answer, or objects changed all the time; repeat.
    """
    done = Erased()
    for _ in range(ATTEMPTS):
        if _merge_all(objects, sink, models):
            _rewrite(objects, entity, models, done)
            damaged: list[str] = []
            left = list(holding(objects, entity, models, damaged))
            if not left:
                done.proved = sum(1 for _ in _places(objects, models)) - len(damaged)
                done.unreadable = [*damaged, *objects.keys(FAILED)]
                return done
    raise Transient("captures arrive or change all the time; run the erasure again")


def holding(
    objects: CaptureObjects,
    entity: str,
    models: Collection[str] = (),
    damaged: list[str] | None = None,
) -> Iterator[tuple[Place, int]]:
    """The objects that have rows of an entity, and how many. Raises Transient.

    The keys of objects that cannot be read are added to `damaged`.
    """
    for place in _places(objects, models):
        stored = objects.get(place.key)
        if stored is None:
            continue
        table = _table(stored)
        if table is None:
            if damaged is not None:
                damaged.append(place.key)
        elif rows := _positions(table, entity):
            yield place, len(rows)


def _table(stored: Stored) -> core.Table | None:
    try:
        return read_parquet(stored.body)
    except BadInput:
        return None


def _places(objects: CaptureObjects, models: Collection[str]) -> Iterator[Place]:
    for place in places(objects, RAW, TABLE):
        if not models or place.hour.model in models:
            yield place


def _merge_all(objects: CaptureObjects, sink: CaptureSink, models: Collection[str]) -> bool:
    """Merge all new objects, also of the hour that goes on; whether none is left."""
    redeliver(objects, sink)
    hours: defaultdict[Hour, list[str]] = defaultdict(list)
    for place in places(objects, RAW):
        if not models or place.hour.model in models:
            hours[place.hour].append(place.key)
    left = [hour for hour, keys in hours.items() if not merge(objects, hour, keys).complete]
    return not left


def _rewrite(objects: CaptureObjects, entity: str, models: Collection[str], done: Erased) -> None:
    """Take the entity's rows out of every object; one that changes meanwhile is left."""
    for place in places(objects, TABLE):
        if models and place.hour.model not in models:
            continue
        stored = objects.get(place.key)
        if stored is None:
            continue
        table = _table(stored)
        bad = set() if table is None else set(_positions(table, entity))
        if table is None or not bad:
            continue
        kept = [row for row in range(table.num_rows) if row not in bad]
        rest = take(table, np.array(kept, dtype=np.int64))
        if objects.swap(place.key, rewritten(rest), stored.tag):
            done.rows[place.hour.model] += len(bad)
            done.objects += 1


def _positions(table: core.Table, entity: str) -> list[int]:
    values = table["entity"].to_pylist()
    return [row for row, value in enumerate(values) if value == entity]
