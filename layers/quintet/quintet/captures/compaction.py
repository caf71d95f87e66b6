"""Compaction: one object for each hour of a model's version, in which each row is once.

New rows are merged into their hour's object, which is replaced only if it is still the one that was
read; then their own objects are deleted. Whoever stops in between leaves rows twice, for readers
and the next compaction to take once, and never none.
"""

from __future__ import annotations

import dataclasses
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson
from arro3 import core

from quintet.captures.delivery import NO_ROLLOUTS, deliver
from quintet.captures.places import FAILED, RAW, TABLE, Place, hourly_key, place_of
from quintet.captures.reading import Hour
from quintet.captures.store import CaptureObjects, CaptureSink, RolloutFeed, Stored
from quintet.captures.tables import RECOMMENDED, concat, read_parquet, take, write_parquet
from quintet.errors import BadInput

__all__ = ["Compacted", "compact", "expire", "merge", "places", "redeliver", "rewritten", "unique"]

#: seconds after the end of an hour in which most of its captures still arrive
SETTLING = 600
#: bytes of an hour's object above which another part begins: what a function can hold
MAX_BYTES = 32_000_000


@dataclass(slots=True)
class Compacted:
    """What a compaction did; `left` hours had no time, or another compaction was at them.

    `damaged` are the keys of objects that cannot be read: they stay where they are, and the others
    are merged.
    """

    redelivered: int = 0
    hours: int = 0
    rows: int = 0
    duplicates: int = 0
    left: int = 0
    damaged: list[str] = field(default_factory=list)
    expired: int = 0

    def counts(self) -> dict[str, int]:
        """The numbers, by name."""
        return dataclasses.asdict(self) | {"damaged": len(self.damaged)}


def compact(
    objects: CaptureObjects,
    sink: CaptureSink,
    now: float,
    *,
    settling: float = SETTLING,
    has_time: Callable[[], bool] = lambda: True,
    feed: RolloutFeed = NO_ROLLOUTS,
) -> Compacted:
    """Deliver again what `capture` failed for, merge the new rows of past hours, and delete what is
    older than its contract's `days`. `now` is in epoch seconds, `feed` hears what is delivered.

    Raises:
        Transient: the store could not be read or written; repeat.
    """
    redelivered, damaged = redeliver(objects, sink, feed)
    done = Compacted(redelivered=redelivered, damaged=damaged)
    by_hour: defaultdict[Hour, list[str]] = defaultdict(list)
    for place in places(objects, RAW):
        if place.hour.start + 3600 + settling <= now:
            by_hour[place.hour].append(place.key)
    for hour, keys in by_hour.items():
        merged = merge(objects, hour, keys, has_time)
        done.hours += merged.complete
        done.left += not merged.complete
        done.rows += merged.rows
        done.duplicates += merged.duplicates
        done.damaged += merged.damaged
    done.expired = expire(objects, now)
    return done


@dataclass(slots=True)
class Merged:
    """New rows of an hour, how many came more than once, the keys of objects that cannot be read,
    and whether all others were merged."""

    rows: int = 0
    duplicates: int = 0
    damaged: list[str] = field(default_factory=list)
    complete: bool = True


def merge(
    objects: CaptureObjects,
    hour: Hour,
    keys: Sequence[str],
    has_time: Callable[[], bool] = lambda: True,
) -> Merged:
    """Merge new objects into an hour's: its last part, or a new one if that is large.

    It is not complete if there was no time, or another compaction was first. Raises Transient.
    """
    merged, waiting = Merged(), list(keys)
    while waiting and merged.complete and has_time():
        # before the new objects: what an erasure removes from both must not come back
        key, held = _last_part(objects, hour, merged)
        tables, taken, size = [], [], 0
        while waiting and size < MAX_BYTES:
            new = waiting.pop(0)
            if (stored := objects.get(new)) is not None:
                if (table := _table(new, stored, merged)) is None:
                    continue
                tables.append(table)
                size += len(stored.body)
            taken.append(new)
        if tables:
            _merge(objects, key, held, tables, merged)
        if merged.complete:
            objects.delete(taken)
    merged.complete = merged.complete and not waiting
    return merged


@dataclass(slots=True)
class _Held:
    """The rows of an hour's part, and its tag."""

    table: core.Table
    tag: str


def _last_part(objects: CaptureObjects, hour: Hour, merged: Merged) -> tuple[str, _Held | None]:
    """The key to write to, and what it holds: a new part if the last is large or damaged."""
    part = max(len(_parts(objects, hour)) - 1, 0)
    key = hourly_key(hour, part)
    stored = objects.get(key)
    if stored is None:
        return key, None
    table = _table(key, stored, merged) if len(stored.body) <= MAX_BYTES else None
    if table is None:
        return hourly_key(hour, part + 1), None
    return key, _Held(table, stored.tag)


def _merge(
    objects: CaptureObjects, key: str, held: _Held | None, new: list[core.Table], merged: Merged
) -> None:
    together = concat(new if held is None else [held.table, *new])
    once = unique(together)
    if objects.swap(key, rewritten(once), None if held is None else held.tag):
        twice = together.num_rows - once.num_rows
        merged.rows += sum(table.num_rows for table in new) - twice
        merged.duplicates += twice
    else:
        merged.complete = False


def rewritten(rows: core.Table) -> bytes:
    """An hour's object, with bytes that no other has.

    A store's tag goes by the bytes alone. If an erasure left what had been there before new rows
    were merged, a compaction that read that, and the new rows, would write them again.
    """
    return write_parquet(rows, uuid.uuid4().hex)


def _parts(objects: CaptureObjects, hour: Hour) -> list[str]:
    """The keys of an hour's parts that exist."""
    stem = hourly_key(hour).removesuffix(".parquet")
    known = set(objects.keys(stem))
    return [key for key in (hourly_key(hour, part) for part in range(len(known))) if key in known]


def _table(key: str, stored: Stored, merged: Merged) -> core.Table | None:
    """The table in an object; None, and noted, if it is damaged."""
    try:
        return read_parquet(stored.body)
    except BadInput:
        merged.damaged.append(key)
        return None


def unique(rows: core.Table) -> core.Table:
    """Each (event, row) once, in order: of several the one that was served last.

    The impression of an event is a row of its own, beside a failure of the event as a whole.
    """
    events = np.array(rows["event"].to_pylist(), dtype=np.str_)
    numbers = np.array([-1 if row is None else row for row in rows["row"].to_pylist()])
    numbers[[outcome == RECOMMENDED for outcome in rows["outcome"].to_pylist()]] = -2
    served = rows["served_at"].combine_chunks().cast(core.DataType.int64()).to_numpy()
    order = np.lexsort((served, numbers, events))
    events, numbers = events[order], numbers[order]
    last = np.ones(len(order), dtype=np.bool_)
    last[:-1] = (events[1:] != events[:-1]) | (numbers[1:] != numbers[:-1])
    return take(rows, order[last])


def redeliver(
    objects: CaptureObjects, sink: CaptureSink, feed: RolloutFeed = NO_ROLLOUTS
) -> tuple[int, list[str]]:
    """Write the captures of deliveries that Lambda gave up. Raises Transient.

    Returns how many, and the keys of objects that are no deliveries, which stay where they are.
    """
    done, damaged = 0, []
    for key in objects.keys(FAILED):
        if (stored := objects.get(key)) is None:
            continue
        try:
            deliver(_payload(stored.body), sink, feed)
        except BadInput:
            damaged.append(key)
            continue
        objects.delete([key])
        done += 1
    return done, damaged


def _payload(body: bytes) -> Any:
    """The event that a function failed for, in the document that Lambda leaves of it; else None."""
    try:
        document = orjson.loads(body)
    except ValueError:
        return None
    return document.get("requestPayload") if isinstance(document, dict) else None


def expire(objects: CaptureObjects, now: float) -> int:
    """Delete objects whose days are over; how many. Raises Transient."""
    old = [place.key for place in places(objects, RAW, TABLE) if place.expires <= now]
    objects.delete(old)
    return len(old)


def places(objects: CaptureObjects, *prefixes: str) -> Iterable[Place]:
    """The objects of captures under the prefixes."""
    for prefix in prefixes:
        for key in objects.keys(prefix):
            place = place_of(key)
            if place is not None:
                yield place
