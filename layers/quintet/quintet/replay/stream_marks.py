"""Marks of a stream's records that were sent back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import orjson

from quintet.replay.stream_objects import Entry
from quintet.replay.stream_records import QuarantinedRecord, Replayed
from quintet.replay.stream_rows import alone

__all__ = ["MarkedRecord", "Outgoing", "RecordMark", "replayed_by"]


@dataclass(frozen=True, slots=True)
class MarkedRecord:
    """A record that is sent back: the object that holds it, and its rows, None for all of it."""

    key: str
    shard: str
    sequence: str
    rows: Sequence[int] | None


@dataclass(frozen=True, slots=True)
class RecordMark:
    """The records that a replay sends back in one step, `done` once they are sent.

    The mark is written before they are sent. If the replay is killed in between, the next one
    looks in the stream, from when the mark was first written (`since`), for those that were sent.
    """

    replay: str
    records: Sequence[MarkedRecord]
    since: float | None = None
    done: bool = False

    @classmethod
    def read(cls, body: bytes) -> RecordMark:
        """A mark from its JSON."""
        found = orjson.loads(body)
        records = [MarkedRecord(**record) for record in found.pop("records")]
        return cls(records=records, **found)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record about to be sent: how its mark names it, how many items it has, and itself."""

    marked: MarkedRecord
    items: int
    entry: Entry

    @classmethod
    def of(cls, chosen: Sequence[QuarantinedRecord]) -> Outgoing:
        """The record that the chosen items of one record make."""
        first = chosen[0]
        rows: Sequence[int] | None = None
        if first.goes is not None:
            rows = sorted({row for item in chosen for row in item.goes or ()})
        return cls._made(first, rows, len(chosen))

    @classmethod
    def again(cls, marked: MarkedRecord, items: Sequence[QuarantinedRecord]) -> Outgoing:
        """The record that a mark names; `items` are all that its object holds of the record."""
        count = sum(marked.rows is None or item.row in (None, *marked.rows) for item in items)
        return cls._made(items[0], marked.rows, count)

    @classmethod
    def _made(cls, item: QuarantinedRecord, rows: Sequence[int] | None, items: int) -> Outgoing:
        data = item.data if rows is None else alone(item.data, rows, item.model)
        marked = MarkedRecord(item.key, item.shard, item.sequence, rows)
        return cls(marked, items, (item.partition_key, data))


def replayed_by(marks: Iterable[RecordMark]) -> Replayed:
    """The replay that sent each marked row."""
    found: dict[tuple[str, str], dict[int | None, str]] = {}
    for mark in marks:
        for marked in mark.records:
            for row in (None,) if marked.rows is None else marked.rows:
                found.setdefault((marked.shard, marked.sequence), {})[row] = mark.replay
    return found
