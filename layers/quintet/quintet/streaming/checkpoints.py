"""How far a shard is processed: the sink has the complete results of the records up to there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

__all__ = ["Ahead", "Checkpoint", "Checkpoints", "MemoryCheckpoints", "furthest"]


@dataclass(frozen=True, slots=True)
class Ahead:
    """An object of the sink that reaches beyond the checkpoint: its key, its last sequence."""

    key: str
    last: str


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """All records up to the sequence `done` are processed; "" means none.

    `ahead` holds, by chain of the sink, the object that covers records beyond that: another
    invocation with more records wrote it and then did not finish. Sequences are padded.
    """

    done: str = ""
    ahead: Mapping[str, Ahead] = field(default_factory=dict)


class Checkpoints(Protocol):
    """The store of shards' checkpoints."""

    def read(self, shard: str) -> Checkpoint:
        """A shard's checkpoint, read consistently. Raises Transient."""
        ...

    def advance(self, shard: str, checkpoint: Checkpoint, before: Checkpoint) -> None:
        """Move a checkpoint forward, never back; `before` is what was read. Raises Transient."""
        ...


class MemoryCheckpoints:
    """Checkpoints in memory."""

    def __init__(self) -> None:
        self.stored: dict[str, Checkpoint] = {}

    def read(self, shard: str) -> Checkpoint:
        """See `Checkpoints.read`."""
        return self.stored.get(shard, Checkpoint())

    def advance(self, shard: str, checkpoint: Checkpoint, before: Checkpoint) -> None:
        """See `Checkpoints.advance`."""
        stands = self.read(shard)
        if checkpoint.done > stands.done:
            self.stored[shard] = furthest(stands, checkpoint)


def furthest(one: Checkpoint, other: Checkpoint) -> Checkpoint:
    """Two checkpoints of a shard merged: the later one, with the objects that reach beyond it."""
    done = max(one.done, other.done)
    ahead: dict[str, Ahead] = {}
    for chain, found in (*one.ahead.items(), *other.ahead.items()):
        if found.last > done and (chain not in ahead or ahead[chain].last < found.last):
            ahead[chain] = found
    return Checkpoint(done, ahead)
