"""Closed parts of windows, and a window as the sum of its parts."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from quintet.contract import Scalar, Stream
from quintet.streaming.aggregates import (
    Partials,
    concatenate,
    reduce,
    select,
    statistics,
    values,
)
from quintet.streaming.sequences import padded

__all__ = ["Counters", "Part", "Window", "current", "in_order", "summed"]


class Counters(NamedTuple):
    """Row counts of a window: `records` are in its aggregates, `late` are not.

    `out_of_order` records happened before one that the shard had already processed. `future` rows
    were refused because their time is in the future; they count in the window of their arrival.
    """

    records: int = 0
    late: int = 0
    out_of_order: int = 0
    future: int = 0

    def plus(self, other: Counters) -> Counters:
        """The sum."""
        records, late, out_of_order, future = other
        return Counters(
            self.records + records,
            self.late + late,
            self.out_of_order + out_of_order,
            self.future + future,
        )


@dataclass(frozen=True, slots=True)
class Part:
    """One shard's share of one window of a model, between two sequence numbers.

    `entity` is the contract's key column. `start` and `length` are the window's, `arrival` the
    start of the event source's window in which the part was closed, all in (epoch) seconds.
    `first` and `last` are sequence numbers as received. `partials` has one group per entity.

    A part is identified by its window, its shard and its first and last record: a part that is
    closed again is the same. Calls that failed, or that run late, may have closed others.
    """

    model: str
    entity: str
    stream: Stream
    start: float
    length: float
    shard: str
    arrival: float
    first: str
    last: str
    partials: Partials
    counters: Counters

    @property
    def end(self) -> float:
        """The end of the window, epoch seconds."""
        return self.start + self.length

    @property
    def rows(self) -> int:
        """How many rows of the window were read, also those that are not aggregated."""
        return self.counters.records + self.counters.late + self.counters.future


@dataclass(frozen=True, slots=True)
class Window:
    """A window of a model, summed over its parts: the aggregates of each entity, by name."""

    model: str
    start: float
    length: float
    entities: dict[str, dict[str, Scalar]]
    counters: Counters
    parts: int


def current(parts: Iterable[Part]) -> list[Part]:
    """The parts that count.

    A call that failed after it closed a part may be repeated with other records, and a call that
    hangs may close its parts after those that followed it. Parts of a shard that overlap hold the
    same records. The parts of the calls that succeeded follow each other and hold all records. So
    of all choices without an overlap, one with the most rows counts (weighted interval scheduling).
    """
    by_shard: dict[str, list[Part]] = {}
    for part in sorted(parts, key=lambda part: (padded(part.last), padded(part.first))):
        by_shard.setdefault(part.shard, []).append(part)
    found = []
    for shard in by_shard.values():
        lasts = [padded(part.last) for part in shard]
        before = [bisect_left(lasts, padded(part.first)) for part in shard]
        most = [0]
        for part, free in zip(shard, before, strict=True):
            most.append(max(most[-1], most[free] + part.rows))
        number = len(shard)
        while number:
            if most[number] > most[number - 1]:
                found.append(shard[number - 1])
                number = before[number - 1]
            else:
                number -= 1
    return found


def summed(model: str, start: float, parts: Sequence[Part]) -> Window | None:
    """The window of its parts; None if there are no parts.

    If the contract changed within a window, the parts of each version are summed separately, and
    each entity's newest sum is used.
    """
    parts = sorted(current(parts), key=lambda part: padded(part.last))
    if not parts:
        return None
    counters = Counters()
    forms: dict[tuple[str, ...], list[Part]] = {}
    for part in parts:
        counters = counters.plus(part.counters)
        forms.setdefault(part.stream.compiled[statistics], []).append(part)
    entities: dict[str, dict[str, Scalar]] = {}
    for form in forms.values():
        whole = reduce(in_order(concatenate([part.partials for part in form])))
        columns = values(form[-1].stream, whole)
        for entity, row in zip(whole.entities, zip(*columns.values(), strict=True), strict=True):
            entities[entity] = dict(zip(columns, row, strict=True))
    return Window(
        model, start, parts[-1].length, dict(sorted(entities.items())), counters, len(parts)
    )


def in_order(partials: Partials) -> Partials:
    """Partials of several shards by sequence number, which settles equal times of `last`."""
    if "sequence" not in partials.columns:
        return partials
    sequences = np.array([padded(text) for text in partials.columns["sequence"]])
    return select(partials, np.argsort(sequences, kind="stable"))
