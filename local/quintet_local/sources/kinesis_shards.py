"""Which shards of a stream to read, from where, and when: parents before their children.

https://docs.aws.amazon.com/streams/latest/dev/kinesis-using-sdk-java-after-resharding.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from quintet_local.sources.kinesis_config import Position

__all__ = ["Shard", "Shards", "listed"]


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard as ListShards returns it."""

    id: str
    parents: tuple[str, ...] = ()
    closed: bool = False

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Shard:
        parents = (found.get("ParentShardId"), found.get("AdjacentParentShardId"))
        closed = "EndingSequenceNumber" in found["SequenceNumberRange"]
        return cls(found["ShardId"], tuple(p for p in parents if p), closed)


@dataclass(frozen=True, slots=True)
class Shards:
    """The known shards of a stream: those started, and those finished."""

    position: Position
    begun: frozenset[str] = frozenset()
    done: frozenset[str] = frozenset()
    #: the mapping has listed the stream once: shards that appear later are read from their
    #: beginning
    known: bool = False

    def finished(self, shard: str) -> Shards:
        """Return the state after a shard was read to its end."""
        return replace(self, done=self.done | {shard})


def listed(shards: Shards, found: Iterable[Shard]) -> tuple[Shards, dict[str, Position]]:
    """Return the state after a listing, the shards to start now, and the position in each.

    A parent that is no longer listed has expired, and does not block its children.
    """
    found = tuple(found)
    if not shards.known and shards.position.kind == "LATEST":
        # a shard that closed earlier has no new records
        closed = frozenset(shard.id for shard in found if shard.closed)
        shards = replace(shards, begun=closed, done=closed)
    start = shards.position if not shards.known else Position()
    if shards.position.kind == "AT_TIMESTAMP":
        start = shards.position
    present = {shard.id for shard in found}
    ready = {
        shard.id: start
        for shard in found
        if shard.id not in shards.begun
        and all(parent in shards.done or parent not in present for parent in shard.parents)
    }
    return replace(shards, begun=shards.begun | set(ready), known=True), ready
