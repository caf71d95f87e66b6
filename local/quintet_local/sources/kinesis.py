"""What Lambda does between a shard and a function, pure: records in, decisions out.

A lane is one shard, or one of the parts into which ParallelizationFactor divides it. `decide`
returns the next action; `gathered`, `answered` and `not_called` report its result.

https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html and the pages below it. Where
they leave a question open, the interpretation chosen here is noted below.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import Any, Literal

from quintet_local.sources.kinesis_answers import Answer, Verdict, verdict
from quintet_local.sources.kinesis_config import Config

__all__ = [
    "Call",
    "Condition",
    "Discard",
    "Finished",
    "Lane",
    "Piece",
    "Record",
    "Wait",
    "Window",
    "answered",
    "decide",
    "gathered",
    "lane_of",
    "not_called",
    "room",
]

#: a synchronous call accepts 6 MB
EVENT_BYTES = 6 * 1024 * 1024
#: state larger than this ends a window early
STATE_BYTES = 1024 * 1024
#: what Lambda's form adds to a record's data, with a margin
RECORD_BYTES = 700

Condition = Literal["RetryAttemptsExhausted", "RecordAgeExceeded"]


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a stream; `arrived` is in epoch seconds, to the millisecond."""

    sequence: str
    partition_key: str
    data: bytes
    arrived: float

    @property
    def size(self) -> int:
        """Upper bound of the record's bytes in the event."""
        return len(self.data) * 4 // 3 + RECORD_BYTES + 6 * len(self.partition_key)


@dataclass(frozen=True, slots=True)
class Piece:
    """A batch, or the part of one that remains after bisecting."""

    records: tuple[Record, ...]
    #: failed calls that count as retries, and all calls
    failures: int = 0
    calls: int = 0
    #: earliest time of the next call
    due: float = 0.0
    given_up: bool = False
    answer: Answer | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """An open tumbling window: its start, and the state from the last response."""

    start: int
    state: Any = field(default_factory=dict)
    #: the state has grown too large
    early: bool = False
    failures: int = 0
    due: float = 0.0


@dataclass(frozen=True, slots=True)
class Lane:
    """The records that were read but not yet processed."""

    waiting: tuple[Record, ...] = ()
    #: when the first of those arrived
    since: float = 0.0
    #: everything that arrived before this has been read
    read_to: float = 0.0
    #: the shard is closed and fully read
    ended: bool = False
    pieces: tuple[Piece, ...] = ()
    window: Window | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """Call the function with these records; a window's final call has no records."""

    records: tuple[Record, ...]
    window: Window | None = None
    final: bool = False


@dataclass(frozen=True, slots=True)
class Discard:
    """Discard these records and notify the destination, if one is configured."""

    records: tuple[Record, ...]
    condition: Condition
    calls: int
    answer: Answer | None
    window: Window | None


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing until that time, or until more records are read."""

    until: float | None


@dataclass(frozen=True, slots=True)
class Finished:
    """The shard is finished."""


Action = Call | Discard | Wait | Finished


def lane_of(config: Config, partition_key: str) -> int:
    """Return the lane of a key: records of one key stay in order."""
    if config.parallel == 1:
        return 0
    digest = hashlib.md5(partition_key.encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest[:8], "big") % config.parallel


def room(config: Config, lane: Lane) -> int:
    """Return how many more records the lane accepts: one batch ahead of the current one."""
    if sum(record.size for record in lane.waiting) >= EVENT_BYTES:
        return 0
    return max(0, config.batch_size - len(lane.waiting))


def gathered(
    lane: Lane, records: tuple[Record, ...], now: float, read_to: float = 0.0, ended: bool = False
) -> Lane:
    """Return the lane after a read that covers everything that arrived before `read_to`."""
    return replace(
        lane,
        waiting=lane.waiting + records,
        since=lane.since if lane.waiting else now,
        read_to=max(lane.read_to, read_to),
        ended=lane.ended or ended,
    )


def decide(config: Config, lane: Lane, now: float) -> tuple[Lane, Action]:
    """Return the next action, and the lane while that action runs."""
    # state that is too large cannot be passed on: the rest of the window begins with an empty one
    if lane.window is not None and lane.window.early:
        return _final(lane, lane.window, now)
    if lane.pieces:
        return _piece(config, lane, now)
    if lane.window is not None and _over(config, lane, lane.window):
        return _final(lane, lane.window, now)
    if not lane.waiting:
        return lane, Finished() if lane.ended else Wait(None)
    return _batch(config, lane, now)


def _batch(config: Config, lane: Lane, now: float) -> tuple[Lane, Action]:
    batch, rest, complete = _cut(config, lane)
    due = lane.since + config.batch_window
    if not complete and not lane.ended and now < due:
        return lane, Wait(due)
    after = replace(lane, waiting=rest, since=now, pieces=(Piece(batch),))
    return _piece(config, after, now)


def _final(lane: Lane, window: Window, now: float) -> tuple[Lane, Action]:
    if window.due > now:
        return lane, Wait(window.due)
    return lane, Call((), window, final=True)


def _piece(config: Config, lane: Lane, now: float) -> tuple[Lane, Action]:
    piece, *rest = lane.pieces
    if piece.given_up:
        after = replace(lane, pieces=tuple(rest))
        return after, _discard(lane, piece, piece.records, "RetryAttemptsExhausted")
    if old := _old(config, piece, now):
        fresh = piece.records[old:]
        left = (replace(piece, records=fresh),) if fresh else ()
        after = replace(lane, pieces=(*left, *rest))
        return after, _discard(lane, piece, piece.records[:old], "RecordAgeExceeded")
    if piece.due > now:
        return lane, Wait(piece.due)
    if config.window and lane.window is None:
        lane = replace(lane, window=Window(_start(config, piece.records[0])))
    return lane, Call(piece.records, lane.window)


def _old(config: Config, piece: Piece, now: float) -> int:
    """Return how many of the first records are too old to send."""
    if config.max_age < 0:
        return 0
    ages = (now - record.arrived for record in piece.records)
    return sum(1 for _ in takewhile(lambda age: age > config.max_age, ages))


def _discard(
    lane: Lane, piece: Piece, records: tuple[Record, ...], condition: Condition
) -> Discard:
    return Discard(records, condition, piece.calls, piece.answer, lane.window)


def _cut(config: Config, lane: Lane) -> tuple[tuple[Record, ...], tuple[Record, ...], bool]:
    """Return the next batch, the remaining records, and whether the batch is complete.

    A batch is within one window, and bounded by count and by bytes, with room for the state.
    """
    waiting, size = lane.waiting, 0
    start = _start(config, waiting[0]) if config.window and waiting else 0
    most = EVENT_BYTES - (STATE_BYTES if config.window else 0) - RECORD_BYTES
    for index, record in enumerate(waiting[: config.batch_size]):
        size += record.size
        large = index and size > most
        if large or (config.window and _start(config, record) != start):
            return waiting[:index], waiting[index:], True
    full = len(waiting) >= config.batch_size
    over = config.window > 0 and lane.read_to >= start + config.window
    return waiting[: config.batch_size], waiting[config.batch_size :], full or over


def _start(config: Config, record: Record) -> int:
    """Return the start of a record's window, by its arrival.

    AWS does not document the boundaries: here, as in its example, they are multiples of the length.
    """
    return int(record.arrived // config.window) * config.window


def _over(config: Config, lane: Lane, window: Window) -> bool:
    """Whether an open window can receive no more records."""
    if lane.waiting:
        return _start(config, lane.waiting[0]) != window.start
    return lane.ended or lane.read_to >= window.start + config.window


def answered(config: Config, lane: Lane, call: Call, answer: Answer, now: float) -> Lane:
    """Return the lane after the call that `decide` asked for."""
    names = [record.sequence for record in call.records]
    windowed = call.window is not None
    said = verdict(answer, names, partial=config.partial, windowed=windowed)
    if call.final:
        return _ended(config, lane, said, now)
    window = lane.window
    if window is not None and said.state is not None:
        size = len(json.dumps(said.state, separators=(",", ":")))
        window = replace(window, state=said.state, early=size > STATE_BYTES)
    piece, *rest = lane.pieces
    left = _left(config, replace(piece, calls=piece.calls + 1, answer=answer), said, now)
    return replace(lane, pieces=(*left, *rest), window=window)


def not_called(config: Config, lane: Lane, call: Call, now: float) -> Lane:
    """Return the lane after a call that did not reach the function; it counts as no retry."""
    due = now + config.backoff[1]
    if call.final and lane.window is not None:
        return replace(lane, window=replace(lane.window, due=due))
    piece, *rest = lane.pieces
    return replace(lane, pieces=(replace(piece, due=due), *rest))


def _ended(config: Config, lane: Lane, said: Verdict, now: float) -> Lane:
    """Handle a final call: the shard is blocked until one succeeds, whatever the retry limit."""
    window = lane.window
    if said.failed is None or window is None:
        return replace(lane, window=None)
    failures = window.failures + 1
    due = now + _delay(config, failures)
    return replace(lane, window=replace(window, failures=failures, due=due))


def _left(config: Config, piece: Piece, said: Verdict, now: float) -> tuple[Piece, ...]:
    """Return the rest of a piece after a call."""
    failed, records = said.failed, piece.records
    if failed is None:
        return ()
    soon = now + _delay(config, 1)
    if said.whole and config.bisect and len(records) > 1:
        middle = (len(records) + 1) // 2
        first = replace(piece, records=records[:middle], due=soon)
        return first, replace(piece, records=records[middle:])
    if failed:
        # the rest is a batch of its own: its retries count from here
        return (Piece(records[failed:], due=soon),)
    failures = piece.failures + 1
    given_up = 0 <= config.retries < failures
    due = now + _delay(config, failures)
    return (replace(piece, failures=failures, due=due, given_up=given_up),)


def _delay(config: Config, failures: int) -> float:
    first, most = config.backoff
    return min(most, first * 2.0 ** min(failures - 1, 20))
