"""Marks of stream records that were sent back."""

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
    """A record to send back: the object that holds it, and its rows, None for the whole record."""

    key: str
    shard: str
    sequence: str
    rows: Sequence[int] | None


@dataclass(frozen=True, slots=True)
class RecordMark:
    """The records that a replay sends back in one step, `done` once they are sent.

    The mark is written before they are sent. If the replay is killed in between, the next one
    searches the stream, from the time of the mark's first write (`since`), for those already sent.
    """

    replay: str
    records: Sequence[MarkedRecord]
    since: float | None = None
    done: bool = False

    @classmethod
    def read(cls, body: bytes) -> RecordMark:
        """Parse a mark from its JSON."""
        found = orjson.loads(body)
        records = [MarkedRecord(**record) for record in found.pop("records")]
        return cls(records=records, **found)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record about to be sent: its name in the mark, its number of items, and its entry."""

    marked: MarkedRecord
    items: int
    entry: Entry

    @classmethod
    def of(cls, chosen: Sequence[QuarantinedRecord]) -> Outgoing:
        """Build the record from the chosen items of one record."""
        first = chosen[0]
        rows: Sequence[int] | None = None
        if first.goes is not None:
            rows = sorted({row for item in chosen for row in item.goes or ()})
        return cls._made(first, rows, len(chosen))

    @classmethod
    def again(cls, marked: MarkedRecord, items: Sequence[QuarantinedRecord]) -> Outgoing:
        """Build the record that a mark names; `items` are all items of the record in its object."""
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
