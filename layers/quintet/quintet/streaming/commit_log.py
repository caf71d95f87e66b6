"""The sink: each object decides, once, the results of a range of a shard's records.

The objects of a shard and a model form a chain, and so do those of a shard's quarantine. An
object's key contains the sequence of the first record that it has results of; it is put only if the
key is free, and says which record is the last that it covers. An invocation that finds an object
under its key accepts it and continues after its last record. So all invocations use the same keys,
whatever their batches, and no row is in two objects.

One case needs a look: an invocation puts an object and ends before its checkpoint, and Lambda gives
up the object's first record. The next invocation begins after that record, under another key. As
Lambda gives up by age alone (`MaximumRetryAttempts` in the template is out of reach), and a batch
lies within one window, the records left are nearly as old: only such batches list the sink first.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from quintet.errors import Transient
from quintet.streaming.checkpoints import Ahead, Checkpoint
from quintet.streaming.model_rows import ShardBatch
from quintet.streaming.sequences import padded

__all__ = ["GIVEN_UP_SECONDS", "CommitLog", "MemorySink", "ObjectChain", "Sink", "Stored"]

#: the age from which on the record before may have been given up: less than the template's
#: MaximumRecordAgeInSeconds, by more than a window and a clock that is wrong
GIVEN_UP_SECONDS = 3000.0
HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Stored:
    """An object of the sink, and the (padded) sequence of the last record that it covers."""

    body: bytes
    last: str


class Sink(Protocol):
    """The store of the objects."""

    def put(self, key: str, stored: Stored) -> Stored:
        """Put an object unless its key is taken; the object stored there now, this one or another.

        Raises:
            Transient: it may be stored or not.
        """
        ...

    def get(self, key: str) -> Stored:
        """A stored object. Raises Transient, also if it is not there."""
        ...

    def keys(self, prefix: str, after: str) -> list[str]:
        """The keys with a prefix that follow `after`, in order. Raises Transient."""
        ...


class MemorySink:
    """A sink in memory."""

    def __init__(self) -> None:
        self.objects: dict[str, Stored] = {}

    def put(self, key: str, stored: Stored) -> Stored:
        """See `Sink.put`."""
        return self.objects.setdefault(key, stored)

    def get(self, key: str) -> Stored:
        """See `Sink.get`."""
        if key not in self.objects:
            raise Transient(f"there is no object {key}")
        return self.objects[key]

    def keys(self, prefix: str, after: str) -> list[str]:
        """See `Sink.keys`."""
        return sorted(key for key in self.objects if key.startswith(prefix) and key > after)


@dataclass(frozen=True, slots=True)
class ObjectChain:
    """A chain of a shard; `name` is unique within the shard and the prefix of its keys."""

    name: str
    suffix: str

    def key(self, shard_batch: ShardBatch, record: int) -> str:
        """The key of the object that begins with a record."""
        stem = self.stem(shard_batch.shard, float(shard_batch.arrived[record]))
        return f"{stem}{padded(shard_batch.sequences[record])}.{self.suffix}"

    def stem(self, shard: str, arrived: float) -> str:
        """What the keys of a shard's objects of one hour begin with."""
        at = datetime.fromtimestamp(arrived, UTC)
        return f"{self.name}/date={at:%Y-%m-%d}/hour={at:%H}/{shard.replace('/', '.')}-"


@dataclass(slots=True)
class CommitLog:
    """The chains of one shard, as one invocation extends them.

    `oldest_seconds` is the age of the oldest record. `ahead` collects the last object of each.
    """

    sink: Sink
    checkpoint: Checkpoint
    shard_batch: ShardBatch
    oldest_seconds: float = 0.0
    ahead: dict[str, Ahead] = field(default_factory=dict)

    def settle(
        self,
        chain: ObjectChain,
        records: Sequence[int],
        encode: Callable[[Sequence[int]], bytes],
        taken: Callable[[Sequence[int], bytes], None] = lambda records, body: None,
    ) -> None:
        """Store each of `records`, by position and ascending, in an object of the chain.

        `encode` makes an object from the last of them; `taken` is called with those that another
        invocation has stored, and its object.

        Raises:
            Transient: not all records could be stored; repeat all.
        """
        sequences = [padded(self.shard_batch.sequences[record]) for record in records]
        place = bisect_right(sequences, self.checkpoint.done)
        if place < len(records) and (reaching := self._reaching(chain, records[place])):
            key, found = reaching
            end = bisect_right(sequences, found.last)
            taken(records[place:end], found.body)
            place, self.ahead[chain.name] = end, Ahead(key, found.last)
        while place < len(records):
            ours = Stored(encode(records[place:]), padded(self.shard_batch.sequences[-1]))
            key = chain.key(self.shard_batch, records[place])
            found = self.sink.put(key, ours)
            end = bisect_right(sequences, found.last)
            if found != ours:
                taken(records[place:end], found.body)
            place, self.ahead[chain.name] = end, Ahead(key, found.last)

    def _reaching(self, chain: ObjectChain, record: int) -> tuple[str, Stored] | None:
        """The object, and its key, that covers a record and begins before it.

        Raises:
            Transient: the sink could not be read.
        """
        sequence = padded(self.shard_batch.sequences[record])
        ahead = self.checkpoint.ahead.get(chain.name)
        if ahead is not None and ahead.last >= sequence:
            return ahead.key, self.sink.get(ahead.key)
        if self.oldest_seconds < GIVEN_UP_SECONDS:
            return None
        own, arrived = chain.key(self.shard_batch, record), self.shard_batch.arrived[record]
        for at in (arrived, arrived - HOUR):
            stem = chain.stem(self.shard_batch.shard, float(at))
            keys = self.sink.keys(stem, f"{stem}{self.checkpoint.done}")
            if before := [key for key in keys if key < own]:
                found = self.sink.get(before[-1])
                return (before[-1], found) if found.last >= sequence else None
        return None

    def checkpoint_after(self) -> Checkpoint:
        """The checkpoint once all records are processed."""
        return Checkpoint(padded(self.shard_batch.sequences[-1]), self.ahead)
