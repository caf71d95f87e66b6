"""The state of one entity's newest window, which the served features come from.

The shards of a stream close their parts of a window independently; a shard's parts follow each
other, and any of them may be repeated. So at most two groups of partials are kept per shard: the
last part, which may be replaced, and the sum of those before it, which is final.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import orjson

from quintet.contract import Scalar, Stream
from quintet.streaming.aggregates import Partials, pack, reduce, statistics, unpack, values
from quintet.streaming.parts import Part, in_order
from quintet.streaming.sequences import padded

__all__ = ["WindowFeatures", "WindowUpdate", "updated", "window_updates"]

#: columns of packed partials
Rows = dict[str, list[Any]]


class WindowUpdate(NamedTuple):
    """A part's content for one entity: its partials (one row) and their values."""

    part: Part
    rows: Rows
    values: dict[str, Scalar]


class Shard(NamedTuple):
    """One shard's closed parts: the padded sequence numbers of its last part, and the rows."""

    first: str
    last: str
    rows: Rows


@dataclass(frozen=True, slots=True)
class WindowFeatures:
    """The newest window of an entity of a model, by shard, and the values of its aggregates."""

    start: float
    length: float
    shards: Mapping[str, Shard]
    values: Mapping[str, Scalar]

    @property
    def end(self) -> float:
        """The moment that the values describe, epoch seconds."""
        return self.start + self.length

    def text(self) -> str:
        """The state that is stored beside its values."""
        shards = {name: list(shard) for name, shard in sorted(self.shards.items())}
        stored = {"start": self.start, "length": self.length, "shards": shards}
        return orjson.dumps(stored).decode()

    @classmethod
    def of(cls, text: str, values: Mapping[str, Scalar]) -> WindowFeatures:
        """Parse the output of `text`."""
        stored = orjson.loads(text)
        shards = {shard: Shard(*found) for shard, found in stored["shards"].items()}
        return cls(stored["start"], stored["length"], shards, values)


def window_updates(parts: Sequence[Part]) -> dict[tuple[str, str], list[WindowUpdate]]:
    """The updates of parts for each model's entities: each one's newest window, in shard order."""
    found: dict[tuple[str, str], list[WindowUpdate]] = {}
    for part in sorted(parts, key=lambda part: (part.end, padded(part.first))):
        packed = pack(part.partials.columns)
        by_name = values(part.stream, part.partials)
        for position, entity in enumerate(part.partials.entities):
            update = WindowUpdate(
                part,
                {name: column[position : position + 1] for name, column in packed.items()},
                {name: column[position] for name, column in by_name.items()},
            )
            mine = found.setdefault((part.model, entity), [])
            if mine and mine[-1].part.end < part.end:
                mine.clear()
            mine.append(update)
    return found


def updated(features: WindowFeatures | None, update: WindowUpdate) -> WindowFeatures | None:
    """The features with an update applied; None if the update is for an older window or part."""
    part, name = update.part, update.part.shard
    mine = Shard(padded(part.first), padded(part.last), update.rows)
    if features is None or not _same_window(features, update):
        if features is not None and features.end > part.end:
            return None
        return WindowFeatures(part.start, part.length, {name: mine}, update.values)
    before = features.shards.get(name)
    if before is not None:
        if mine.first < before.first:
            return None
        # an overlapping part is the same, or a failed call's with other boundaries
        overlaps = mine.first <= before.last
        settled = {k: column[:-1] for k, column in before.rows.items()} if overlaps else before.rows
        if len(settled["n"]) > 1:
            settled = pack(_one(part.stream, [settled]).columns)
        mine = mine._replace(rows={k: settled[k] + column for k, column in update.rows.items()})
    shards = {**features.shards, name: mine}
    whole = _one(part.stream, [shard.rows for shard in shards.values()])
    served = {name: column[0] for name, column in values(part.stream, whole).items()}
    return WindowFeatures(part.start, part.length, shards, served)


def _same_window(features: WindowFeatures, update: WindowUpdate) -> bool:
    """Whether an update adds to the window; a changed contract begins a new one."""
    part = update.part
    same = (features.start, features.length) == (part.start, part.length)
    return same and all(set(shard.rows) == set(update.rows) for shard in features.shards.values())


def _one(stream: Stream, parts: Sequence[Rows]) -> Partials:
    """One entity's packed partials, reduced to one group."""
    rows = {name: list(chain.from_iterable(part[name] for part in parts)) for name in parts[0]}
    count = len(rows["n"])
    columns = unpack(stream.compiled[statistics], rows, count)
    return reduce(in_order(Partials(np.zeros(count), [""] * count, columns)))
