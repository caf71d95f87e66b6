"""The sink: objects that decide, each once, what became of a stretch of a shard's records.

The objects of a shard and a model, and those of a shard's quarantine, are chains. An object stands
under the sequence of the first record that it has something of, and is put only where nothing
stands; it says which record it reaches up to. Who finds one in its place takes it for decided, and
goes on behind its last record: so whoever writes comes to the same places, whatever their batches,
and no row is in two objects.
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
    """Where the objects stand."""

    def put(self, key: str, stored: Stored) -> Stored:
        """Put an object where nothing stands; what stands there now, this one or another's.

        Raises:
            Transient: it may stand there or not.
        """
        ...

    def get(self, key: str) -> Stored:
        """An object that stands there. Raises Transient."""
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
    """A chain of a shard: `name` tells it from the shard's others and begins its keys."""

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
    """The chains of one shard, as one invocation goes along them.

    `ahead` gathers the last object of each.
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
        """Have every one of `records`, by position and ascending, in an object of the chain.

        `encode` makes an object of the last of them; `taken` is told of which of them another
        invocation has decided, and its object.

        Raises:
            Transient: not all of it could be stored; repeat all.
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
        """The checkpoint once all is done."""
        return Checkpoint(padded(self.shard_batch.sequences[-1]), self.ahead)
