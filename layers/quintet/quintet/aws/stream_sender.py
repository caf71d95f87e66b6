"""Put records onto a Kinesis stream at a steady rate, and resend rejected records."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from quintet.errors import TooLarge, Transient

__all__ = ["RECORD_BYTES", "Sender", "Sent", "size_of"]

# https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html
BATCH_RECORDS = 500
BATCH_BYTES = 5 * 1024 * 1024
RECORD_BYTES = 1024 * 1024

#: how many times a second records are put if the rate is limited
BEATS = 10
TRIES = 10
LONGEST_WAIT = 5.0

Entry = tuple[str, bytes]


@dataclass(slots=True)
class Sent:
    """Totals: records and bytes sent, records by shard, and records that were resent.

    `last` has the highest sequence number of each shard.
    """

    records: int = 0
    bytes: int = 0
    again: int = 0
    seconds: float = 0.0
    shards: Counter[str] = field(default_factory=Counter)
    last: dict[str, int] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Records per second."""
        return self.records / self.seconds if self.seconds else 0.0


class Sender:
    """Puts records onto one stream."""

    def __init__(
        self,
        kinesis: Any,
        stream: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._kinesis = kinesis
        self._stream = stream
        self._clock = clock
        self._sleep = sleep

    def send(self, entries: Iterable[Entry], rate: float = 0) -> Iterator[Sent]:
        """Put all entries (partition key, data), at most `rate` per second; 0 means no limit.

        Yields the totals so far after each batch, always the same object.

        Raises:
            Transient: the stream kept rejecting some records.
            TooLarge: a record exceeds the stream's limit.
        """
        sent = Sent()
        begun = self._clock()
        remaining = iter(entries)
        held: list[Entry] = []
        while True:
            held += islice(remaining, max(0, self._due(sent, rate, begun) - len(held)))
            if not held:
                return
            batch = _batch(held)
            del held[: len(batch)]
            self._put(batch, sent)
            sent.seconds = self._clock() - begun
            yield sent

    def _due(self, sent: Sent, rate: float, begun: float) -> int:
        """Return how many records may be put now; waits until it is at least one."""
        if not rate:
            return BATCH_RECORDS
        # one beat's share at a time, so that a slow rate is steady as well
        least = max(1, min(BATCH_RECORDS, int(rate / BEATS)))
        due = int((self._clock() - begun) * rate) + 1 - sent.records
        if due < least:
            self._sleep(max(0.0, (sent.records + least - 1) / rate - (self._clock() - begun)))
            due = least
        return min(due, BATCH_RECORDS)

    def _put(self, batch: list[Entry], sent: Sent) -> None:
        for attempt in range(TRIES):
            answer = self._kinesis.put_records(
                StreamName=self._stream,
                Records=[{"PartitionKey": key, "Data": data} for key, data in batch],
            )
            refused = []
            for entry, told in zip(batch, answer["Records"], strict=True):
                if "ErrorCode" in told:
                    refused.append(entry)
                    continue
                sent.records += 1
                sent.bytes += len(entry[1])
                shard, number = told["ShardId"], int(told["SequenceNumber"])
                sent.shards[shard] += 1
                sent.last[shard] = max(number, sent.last.get(shard, 0))
            if not refused:
                return
            sent.again += len(refused)
            batch = refused
            self._sleep(random.uniform(0, min(LONGEST_WAIT, 0.1 * 2**attempt)))
        raise Transient(f"the stream refused {len(batch)} records {TRIES} times: {_why(answer)}")


def _batch(held: list[Entry]) -> list[Entry]:
    """Return as many of the first entries as fit into one call.

    Raises:
        TooLarge: the first entry exceeds the limit of a record.
    """
    total = 0
    for position, (key, data) in enumerate(held):
        size = size_of(key, data)
        if size > RECORD_BYTES:
            raise TooLarge.of("record", f"at most {RECORD_BYTES:,} bytes", f"{size:,} bytes")
        total += size
        if total > BATCH_BYTES:
            return held[:position]
    return held[:]


def size_of(key: str, data: bytes) -> int:
    """The size of a record in bytes, as Kinesis counts it."""
    return len(key.encode()) + len(data)


def _why(answer: Any) -> str:
    return next(f"{r['ErrorCode']}" for r in answer["Records"] if "ErrorCode" in r)
