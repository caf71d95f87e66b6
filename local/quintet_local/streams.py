"""Make moto's Kinesis behave as Kinesis: order, sequence numbers, and shards that split and merge.

moto numbers the records of each shard from 1, loses some records of concurrent puts, puts records
into closed shards, and on a split or a merge moves the records to new shards with new numbers and
times, where a reader receives them a second time.

https://docs.aws.amazon.com/streams/latest/dev/kinesis-using-sdk-java-after-resharding.html
"""

from __future__ import annotations

import base64
import json
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from moto.core.utils import unix_time, utcnow
from moto.kinesis import models
from moto.kinesis.utils import decompose_shard_iterator
from moto.utilities.utils import md5_hash

__all__ = [
    "Shard",
    "in_plain_json",
    "kept_in_place",
    "numbers",
    "put_record",
    "reads_to_the_end",
    "shard_for_key",
]

#: the maximum size of one GetRecords response
READ_BYTES = 10 * 1024 * 1024
READ_COUNT = 10_000
#: how long records may stay over the stream's retention, in seconds: they are dropped together
DROP_SECONDS = 60

_lock = threading.RLock()


class Numbers:
    """Sequence numbers: 56 digits, as on AWS; they grow over time across all shards, so a child's
    exceed its parent's.
    """

    _STEP = 10**12

    def __init__(self) -> None:
        self._next = 49 * 10**54 + time.time_ns() * 10**30
        #: of the record that was put last, by this server or before it; None if there was none
        self.latest: int | None = None

    def of_shard(self) -> int:
        """The number that a new shard starts from."""
        with _lock:
            self._next += self._STEP
            return self._next

    def of_record(self) -> int:
        """The number of a new record."""
        self.latest = number = self.of_shard()
        return number

    def go_on(self, latest: int) -> None:
        """Number records from `latest` on, even if the clock has been set back since."""
        self.latest = latest
        self._next = max(self._next, latest)


numbers = Numbers()


class Shard(models.Shard):
    """A shard that finds its records by sequence number."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._first = numbers.of_shard()
        self._order: list[int] = []

    def put_record(self, partition_key: str, data: str, explicit_hash_key: str) -> str:
        number = numbers.of_record()
        record = models.Record(partition_key, data, number, explicit_hash_key)
        self.records[number] = record
        self._order.append(number)
        return str(number)

    def forget(self, before: float) -> None:
        """Drop the records that arrived before a moment, in seconds of the epoch."""
        if not self._order or self.records[self._order[0]].created_at > before - DROP_SECONDS:
            return
        gone = 0
        while gone < len(self._order) and self.records[self._order[gone]].created_at < before:
            del self.records[self._order[gone]]
            gone += 1
        del self._order[:gone]

    def get_records(
        self, last_sequence_id: str, limit: int | None
    ) -> tuple[list[models.Record], int, int]:
        last = int(last_sequence_id)
        start = bisect_right(self._order, last)
        found: list[models.Record] = []
        size = 0
        for number in self._order[start : start + min(limit or READ_COUNT, READ_COUNT)]:
            record = self.records[number]
            size += len(record.data) * 3 // 4
            if found and size > READ_BYTES:
                break
            found.append(record)
        if not found:
            return [], last, 0
        newest = self.records[self._order[-1]]
        behind = newest.created_at - found[-1].created_at
        # at least 1 while more records follow: both may have arrived in the same millisecond
        more = newest is not found[-1]
        return found, found[-1].sequence_number, max(int(behind * 1000), int(more))

    def get_min_sequence_number(self) -> int:
        return self._first

    def get_max_sequence_number(self) -> int:
        return self._order[-1] if self._order else self._first


def put_record(
    stream: Any, partition_key: str, explicit_hash_key: str, data: str
) -> tuple[str, str]:
    """Put a record into the one open shard of its key; concurrent puts get distinct numbers.

    Records past the stream's retention are dropped, which moto keeps.
    """
    with _lock:
        kept_since = unix_time(utcnow()) - stream.retention_period_hours * 3600
        for one in stream.shards.values():
            one.forget(kept_since)
        shard = stream.get_shard_for_key(partition_key, explicit_hash_key)
        return shard.put_record(partition_key, data, explicit_hash_key), shard.shard_id


def shard_for_key(check: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap moto's look-up, which validates keys but does not track which shards are open."""

    def find(stream: Any, partition_key: str, explicit_hash_key: str) -> Any:
        check(stream, partition_key, explicit_hash_key)
        key = (
            int(explicit_hash_key)
            if explicit_hash_key
            else int(md5_hash(partition_key.encode()).hexdigest(), 16)
        )
        for shard in stream.shards.values():
            if shard.is_open and shard.starting_hash <= key <= shard.ending_hash:
                return shard
        return None

    return find


def kept_in_place(reshard: Callable[..., None]) -> Callable[..., None]:
    """Wrap moto's split or merge so that records keep their places."""

    def kept(stream: Any, first: str, second: str) -> None:
        with _lock, _emptied(stream.shards[first], stream.shards.get(second)):
            reshard(stream, first, second)

    return kept


@contextmanager
def _emptied(*shards: Any) -> Iterator[None]:
    found = [(shard, shard.records) for shard in shards if shard is not None]
    for shard, _ in found:
        shard.records = {}
    try:
        yield
    finally:
        for shard, records in found:
            shard.records = records


def reads_to_the_end(read: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap moto's GetRecords so that a fully read closed shard returns no next iterator."""

    def get_records(backend: Any, stream_arn: str | None, iterator: str, limit: int | None) -> Any:
        with _lock:
            following, records, behind = read(backend, stream_arn, iterator, limit)
            name, shard_id, last = decompose_shard_iterator(following)
            shard = backend.describe_stream(stream_arn, name).get_shard(shard_id)
            if not shard.is_open and int(last) >= (
                shard.get_max_sequence_number() if shard.records else 0
            ):
                following = None
            return following, records, behind

    return get_records


def by_name_or_arn(iterator: Callable[..., str]) -> Callable[..., str]:
    """Wrap moto's GetShardIterator, whose iterators are invalid for a stream named by its ARN."""

    def find(backend: Any, arn: str | None, name: str | None, *rest: Any) -> str:
        found = name or backend.describe_stream(arn, None).stream_name
        return iterator(backend, arn, found, *rest)

    return find


def in_plain_json(answer: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Wrap a method of moto's handler to write JSON without consulting the service's model.

    The model costs some 0.2 ms per record, and these responses have hundreds.
    """

    def quick(handler: Any) -> Any:
        result = answer(handler)
        if "x-amz-json" not in handler.headers.get("Content-Type", ""):
            return result
        return json.dumps(result.result, default=_plain)

    return quick


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return unix_time(value)
