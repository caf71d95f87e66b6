"""Put records onto a Kinesis stream, at a steady pace; records it did not take are sent again."""

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

#: how often a second records are put while they are paced
BEATS = 10
TRIES = 10
LONGEST_WAIT = 5.0

Entry = tuple[str, bytes]


@dataclass(slots=True)
class Sent:
    """What was put: records and bytes, by shard, and how many had to be put more than once."""

    records: int = 0
    bytes: int = 0
    again: int = 0
    seconds: float = 0.0
    shards: Counter[str] = field(default_factory=Counter)

    @property
    def rate(self) -> float:
        """Records a second."""
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
        """Put all entries (partition key, data), at most `rate` a second; 0 is as fast as it goes.

        What was put so far is yielded after each batch, always the same object.

        Raises:
            Transient: the stream refused some of them again and again.
            TooLarge: a record is larger than a stream takes.
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
        """How many records may be put now; waits until there are some."""
        if not rate:
            return BATCH_RECORDS
        # a beat's worth at a time, so that a slow pace is steady as well
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
                sent.shards[told["ShardId"]] += 1
            if not refused:
                return
            sent.again += len(refused)
            batch = refused
            self._sleep(random.uniform(0, min(LONGEST_WAIT, 0.1 * 2**attempt)))
        raise Transient(f"the stream refused {len(batch)} records {TRIES} times: {_why(answer)}")


def _batch(held: list[Entry]) -> list[Entry]:
    """As many of the first entries as one call takes.

    Raises:
        TooLarge: the first is larger than a record may be.
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
    """The bytes of a record that a stream counts."""
    return len(key.encode()) + len(data)


def _why(answer: Any) -> str:
    return next(f"{r['ErrorCode']}" for r in answer["Records"] if "ErrorCode" in r)
