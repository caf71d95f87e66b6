"""How far a shard is done: what the sink holds of the records up to its mark is whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

__all__ = ["Ahead", "Mark", "Marks", "MemoryMarks", "further", "padded"]

#: the digits of a sequence number, so that they sort as text
DIGITS = 56


def padded(sequence: str) -> str:
    """A sequence number as text that sorts as the number does."""
    return sequence.zfill(DIGITS)


@dataclass(frozen=True, slots=True)
class Ahead:
    """An object of the sink that reaches beyond its shard's mark: its key, its last sequence."""

    key: str
    last: str


@dataclass(frozen=True, slots=True)
class Mark:
    """All records up to the sequence `done` are done; "" is none.

    `ahead` holds, by chain of the sink, the object that covers records beyond that: one that
    another invocation with more records has written, and then did not come to its end.
    Sequences are padded.
    """

    done: str = ""
    ahead: Mapping[str, Ahead] = field(default_factory=dict)


class Marks(Protocol):
    """Where the marks of shards are kept."""

    def read(self, shard: str) -> Mark:
        """A shard's mark, as it is now. Raises Transient."""
        ...

    def advance(self, shard: str, mark: Mark, before: Mark) -> None:
        """Move a shard's mark forward, never back; `before` is what was read. Raises Transient."""
        ...


class MemoryMarks:
    """Marks in memory."""

    def __init__(self) -> None:
        self.marks: dict[str, Mark] = {}

    def read(self, shard: str) -> Mark:
        """See `Marks.read`."""
        return self.marks.get(shard, Mark())

    def advance(self, shard: str, mark: Mark, before: Mark) -> None:
        """See `Marks.advance`."""
        stands = self.read(shard)
        if mark.done > stands.done:
            self.marks[shard] = further(stands, mark)


def further(one: Mark, other: Mark) -> Mark:
    """What two marks of a shard say together: the later, with what reaches beyond it."""
    done = max(one.done, other.done)
    ahead: dict[str, Ahead] = {}
    for chain, found in (*one.ahead.items(), *other.ahead.items()):
        if found.last > done and (chain not in ahead or ahead[chain].last < found.last):
            ahead[chain] = found
    return Mark(done, ahead)
