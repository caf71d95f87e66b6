"""Refused stream records: quarantined rows and records, and records that Lambda gave up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby

import orjson

from quintet.formats.quarantined import Quarantined
from quintet.replay.sink_index import SinkIndex, SinkRows
from quintet.replay.stream_rows import alone, record_text, row_count
from quintet.streaming import kinesis_events

__all__ = ["Bodies", "QuarantinedRecord", "Replayed", "given_up", "quarantined"]

#: the number of characters of a record to show
MAX_SHOWN = 2000

Bodies = Iterable[tuple[str, bytes]]
#: the replay that sent a row, by record (shard, sequence) and row; row None is the whole record
Replayed = Mapping[tuple[str, str], Mapping[int | None, str]]


@dataclass(frozen=True, slots=True)
class QuarantinedRecord:
    """A refused row of a record, or a whole record if `row` is None, from the object `key`.

    `goes` are the rows of the record that a replay sends: None for the whole record, empty if
    nothing is left to send. `replay` is the replay that sent it.
    """

    key: str
    shard: str
    sequence: str
    row: int | None
    model: str | None
    partition_key: str
    arrived: float
    data: bytes
    why: str
    fields: Sequence[str]
    goes: Sequence[int] | None
    replay: str | None

    def fits(self, wanted: str) -> bool:
        """Whether it fits a filter by name, or a text in it."""
        name, _, value = wanted.partition("=")
        exact = {
            "row": None if self.row is None else str(self.row),
            "model": self.model,
            "sequence": self.sequence,
            "key": self.partition_key,
        }
        if name in exact:
            return exact[name] == value
        if name == "field":
            return value in self.fields
        if name == "arrived":
            return self._moment.startswith(value)
        return wanted in self._text

    def stays(self, again: bool) -> bool:
        """Whether it was already sent (unless `again`), or nothing is left to send."""
        return self.nothing_left or (self.replay is not None and not again)

    @property
    def nothing_left(self) -> bool:
        """Whether the sink has all of its rows."""
        return self.goes is not None and not self.goes

    def lines(self) -> Sequence[str]:
        """Its arrival and origin, the reasons for its refusal, and its content."""
        what = self.model or "no model"
        line = f"{self._moment}  {self.sequence}  key {self.partition_key}  {what}"
        line += f"  {self.why}" if self.row is None else f"  row {self.row}  {self.why}"
        if self.replay is not None:
            line += f"  (replayed before, by {self.replay})"
        if self.nothing_left:
            line += "  (nothing is left to send)"
        text = self._text
        more = f"... and {len(text) - MAX_SHOWN:,} more" if len(text) > MAX_SHOWN else ""
        return line, f"  {text[:MAX_SHOWN]}{more}"

    @property
    def _moment(self) -> str:
        return datetime.fromtimestamp(self.arrived, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    @property
    def _text(self) -> str:
        return record_text(alone(self.data, self.goes, self.model) if self.goes else self.data)


def quarantined(bodies: Bodies, replayed: Replayed) -> Iterator[list[QuarantinedRecord]]:
    """The refused rows in objects of the quarantine, grouped by record."""
    for key, body in bodies:
        lines = map(Quarantined.from_line, body.splitlines())
        for sequence, entries in groupby(lines, key=lambda line: line.place["sequence"]):
            found = list(entries)
            # a record's first line holds its bytes
            data = found[0].original
            assert isinstance(data, bytes)
            shard = found[0].place["shard"].rpartition("/")[2]
            gone = replayed.get((shard, sequence), {})
            yield [_refused(key, shard, line, data, gone.get(line.place["row"])) for line in found]


def _refused(
    key: str, shard: str, line: Quarantined, data: bytes, replay: str | None
) -> QuarantinedRecord:
    place = line.place
    return QuarantinedRecord(
        key,
        shard,
        place["sequence"],
        place["row"],
        place["model"],
        place["partition_key"],
        place["arrived"],
        data,
        "; ".join(map(str, line.reasons)),
        [reason.field for reason in line.reasons],
        None if place["row"] is None else [place["row"]],
        replay,
    )


def given_up(
    sink: SinkIndex, bodies: Bodies, replayed: Replayed
) -> Iterator[list[QuarantinedRecord]]:
    """The records of Lambda's documents, each once, without the rows that are in the sink.

    https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html
    """
    seen: set[tuple[str, str]] = set()
    for key, body in bodies:
        try:
            document = orjson.loads(body)
            why = document["requestContext"]["condition"]
            shard_batch = kinesis_events.shard_batch(orjson.loads(document["payload"]))
        except (ValueError, KeyError, TypeError, IndexError):
            why = "no document of records"
            yield [
                QuarantinedRecord(
                    key, "", "", None, None, "", 0.0, b"", f"{key}: {why}", [], [], None
                )
            ]
            continue
        shard = shard_batch.shard.rpartition("/")[2]
        for place, sequence in enumerate(shard_batch.sequences):
            if (shard, sequence) in seen:
                continue
            seen.add((shard, sequence))
            arrived, data = float(shard_batch.arrived[place]), shard_batch.data[place]
            found = sink.find(shard, sequence, arrived)
            gone = replayed.get((shard, sequence), {})
            yield [
                QuarantinedRecord(
                    key,
                    shard,
                    sequence,
                    None,
                    found.model or _model(data),
                    shard_batch.keys[place],
                    arrived,
                    data,
                    why,
                    [],
                    _left(data, found),
                    next(iter(gone.values()), None),
                )
            ]


def _left(data: bytes, found: SinkRows) -> Sequence[int] | None:
    """The rows of a record that are not in the sink; None for the whole record."""
    if not found.rows:
        return None
    if None in found.rows:
        return []
    return [row for row in range(row_count(data)) if row not in found.rows]


def _model(data: bytes) -> str | None:
    """The model that a record names."""
    try:
        value = orjson.loads(record_text(data))
    except orjson.JSONDecodeError:
        return None
    name = (value.get("model") or value.get("model_name")) if type(value) is dict else None
    return name if type(name) is str else None
