"""Reading captures: those of a time, each row once, whether or not they are compacted yet."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

import numpy as np
from arro3 import core

from quintet.captures.compaction import places, unique
from quintet.captures.places import RAW, TABLE, Place
from quintet.captures.store import CaptureObjects, MemoryCaptures
from quintet.captures.tables import concat, read_parquet, take
from quintet.errors import BadInput
from quintet.formats.byte_streams import side_by_side

__all__ = ["event_rows", "find", "hourly", "load", "online_time"]

#: an id of an online request: its time in milliseconds, then random digits
_ONLINE = re.compile(r"([0-9a-f]{12})[0-9a-f]{20}")
HOUR = 3600
#: objects that are read at once
READERS = 8


def find(
    objects: CaptureObjects,
    model: str | None = None,
    since: float = 0.0,
    until: float = float("inf"),
) -> list[Place]:
    """The objects with events from `since` to before `until`, in epoch seconds; by their hours.

    Raises:
        Transient: they cannot be listed.
    """
    folder = "" if model is None else f"model={model}/"
    found = places(objects, f"{RAW}{folder}", f"{TABLE}{folder}")
    return [one for one in found if one.hour.start < until and one.hour.start + HOUR > since]


def load(objects: CaptureObjects, chosen: Iterable[Place]) -> Iterator[core.Table]:
    """The rows of objects: a table for each version of a model, each row once.

    An object that was merged since it was listed is left out: list again.

    Raises:
        BadInput: an object is damaged; it is named.
        Transient: they cannot be read.
    """
    versions: defaultdict[tuple[str, int], list[core.Table]] = defaultdict(list)
    for place in chosen:
        stored = objects.get(place.key)
        if stored is not None:
            versions[place.hour.model, place.hour.version].append(_table(place.key, stored.body))
    for tables in versions.values():
        yield unique(concat(tables))


def hourly(objects: CaptureObjects, chosen: Iterable[Place]) -> Iterator[core.Table]:
    """The rows of objects as `load`, hour by hour, so that one hour is held at a time.

    Raises as `load`.
    """
    hours: defaultdict[int, list[Place]] = defaultdict(list)
    for place in chosen:
        hours[place.hour.start].append(place)
    for start in sorted(hours):
        held, keys = MemoryCaptures(), [place.key for place in hours[start]]
        for key, stored in zip(keys, side_by_side(objects.get, keys, READERS), strict=True):
            if stored is not None:
                held.put(key, stored.body)
        yield from load(held, hours[start])


def _table(key: str, body: bytes) -> core.Table:
    try:
        return read_parquet(body)
    except BadInput:
        got = "one that cannot be read; restore it, or delete it"
        raise BadInput.of(key, "an object of captures", got) from None


def online_time(event: str) -> float | None:
    """When an online request came, in epoch seconds, by its event's id; None for other events."""
    at = _ONLINE.fullmatch(event)
    return int(at[1], 16) / 1000 if at else None


def event_rows(
    objects: CaptureObjects, event: str, model: str | None = None
) -> Iterator[core.Table]:
    """The rows of one event, a table for each version that has some.

    The id of an online request contains its time; for any other, all captures are read, newest
    first, until its hour is found. Raises Transient.
    """
    at = online_time(event)
    hours: defaultdict[int, list[Place]] = defaultdict(list)
    for place in find(objects, model):
        hours[place.hour.start].append(place)
    near = [start for start in hours if at is not None and abs(at - start) < 2 * HOUR]
    for start in near or sorted(hours, reverse=True):
        found = False
        for rows in load(objects, hours[start]):
            events = rows["event"].to_pylist()
            some = [number for number, one in enumerate(events) if one == event]
            if some:
                found = True
                yield take(rows, np.array(some, dtype=np.int64))
        if found and not near:
            return
