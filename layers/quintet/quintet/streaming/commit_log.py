"""The sink: each object decides, once, the results of a range of a shard's records.

The objects of a shard and a model form a chain, and so do those of a shard's quarantine. An
object's key contains the sequence of the first record that it has results of; it is put only if the
key is free, and says which record is the last that it covers. An invocation that finds an object
under its key accepts it and continues after its last record. So all invocations use the same keys,
whatever their batches, and no row is in two objects.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from quintet.streaming.checkpoints import Ahead, Checkpoint
from quintet.streaming.model_rows import ShardBatch
from quintet.streaming.sequences import padded

__all__ = ["CommitLog", "MemorySink", "ObjectChain", "Sink", "Stored"]


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
        """A stored object. Raises Transient."""
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
        return self.objects[key]


@dataclass(frozen=True, slots=True)
class ObjectChain:
    """A chain of a shard; `name` is unique within the shard and the prefix of its keys."""

    name: str
    suffix: str

    def key(self, shard_batch: ShardBatch, record: int) -> str:
        """The key of the object that begins with a record."""
        at = datetime.fromtimestamp(float(shard_batch.arrived[record]), UTC)
        shard = shard_batch.shard.replace("/", ".")
        sequence = padded(shard_batch.sequences[record])
        return f"{self.name}/date={at:%Y-%m-%d}/hour={at:%H}/{shard}-{sequence}.{self.suffix}"


@dataclass(slots=True)
class CommitLog:
    """The chains of one shard, as one invocation extends them.

    `ahead` collects the last object of each.
    """

    sink: Sink
    checkpoint: Checkpoint
    shard_batch: ShardBatch
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
        reaching = self.checkpoint.ahead.get(chain.name)
        if reaching is not None and (end := bisect_right(sequences, reaching.last)) > place:
            taken(records[place:end], self.sink.get(reaching.key).body)
            place = end
        while place < len(records):
            ours = Stored(encode(records[place:]), padded(self.shard_batch.sequences[-1]))
            key = chain.key(self.shard_batch, records[place])
            found = self.sink.put(key, ours)
            end = bisect_right(sequences, found.last)
            if found != ours:
                taken(records[place:end], found.body)
            place, self.ahead[chain.name] = end, Ahead(key, found.last)

    def checkpoint_after(self) -> Checkpoint:
        """The checkpoint once all records are processed."""
        return Checkpoint(padded(self.shard_batch.sequences[-1]), self.ahead)
