"""The stream bucket as a replay reads it, and the stream that receives records."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from quintet.errors import Transient

__all__ = [
    "FAILURES",
    "HOUR",
    "PREDICTIONS",
    "QUARANTINE",
    "Entry",
    "EventStream",
    "MemoryEventStream",
    "MemoryStreamObjects",
    "StreamObject",
    "StreamObjects",
]

PREDICTIONS = "predictions/"
QUARANTINE = "quarantine/"
#: prefix of Lambda's documents about records that it gave up
FAILURES = "aws/lambda/"
HOUR = 3600

#: a record's partition key and data
Entry = tuple[str, bytes]


class StreamObject(NamedTuple):
    """An object in a listing; `written` is in epoch seconds."""

    key: str
    size: int
    written: float


class StreamObjects(Protocol):
    """The objects of the stream bucket."""

    def list(self, prefix: str) -> Sequence[StreamObject]:
        """The objects whose keys start with `prefix`, in the order of their keys."""
        ...

    def folders(self, prefix: str) -> Sequence[str]:
        """The names of the folders directly below `prefix`."""
        ...

    def read(self, key: str) -> bytes:
        """The content of an object. Raises Transient, also if it is not there."""
        ...


class EventStream(Protocol):
    """The stream that receives records."""

    @property
    def name(self) -> str: ...

    def put(self, entries: Sequence[Entry]) -> None:
        """Put records, in order. Raises Transient if the stream rejected some of them."""
        ...

    def since(self, moment: float) -> Iterator[Entry]:
        """The records that arrived in the minutes after about `moment` (epoch seconds)."""
        ...


@dataclass
class MemoryStreamObjects:
    """A bucket in memory."""

    objects: dict[str, bytes] = field(default_factory=dict)

    def list(self, prefix: str) -> Sequence[StreamObject]:
        """See `StreamObjects.list`."""
        found = sorted(key for key in self.objects if key.startswith(prefix))
        return [StreamObject(key, len(self.objects[key]), 0.0) for key in found]

    def folders(self, prefix: str) -> Sequence[str]:
        """See `StreamObjects.folders`."""
        below = (o.key[len(prefix) :] for o in self.list(prefix))
        return [*dict.fromkeys(rest.partition("/")[0] for rest in below if "/" in rest)]

    def read(self, key: str) -> bytes:
        """See `StreamObjects.read`."""
        if key not in self.objects:
            raise Transient(f"there is no object {key}")
        return self.objects[key]


@dataclass
class MemoryEventStream:
    """A stream in memory."""

    name: str
    clock: Callable[[], float] = time.time
    records: list[tuple[float, Entry]] = field(default_factory=list)

    def put(self, entries: Sequence[Entry]) -> None:
        """See `EventStream.put`."""
        self.records += [(self.clock(), entry) for entry in entries]

    def since(self, moment: float) -> Iterator[Entry]:
        """See `EventStream.since`."""
        yield from (entry for at, entry in self.records if at >= moment)
