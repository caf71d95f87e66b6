"""Marks of replayed items, written before the items are sent, so that each is sent once."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, Protocol, TypeVar

from quintet.batch.plans import dump
from quintet.batch.stores import MemoryObjectStore, ObjectStore
from quintet.errors import Transient
from quintet.replay.items import ReplayError

__all__ = ["MarkObjects", "MarkVersion", "Marks", "MemoryMarkObjects"]

M = TypeVar("M")


class MarkVersion(NamedTuple):
    """A stored mark: its tag, when it was written (epoch seconds) and its age in seconds.

    Both times are from the store's clock.
    """

    tag: str
    written: float
    age: float


class MarkObjects(Protocol):
    """Objects with compare-and-swap: replaced only if unchanged since they were read."""

    def swap(self, key: str, body: bytes, tag: str | None) -> bool:
        """Store if the object still has that tag (None: does not exist); whether it did.

        True also if the object has this content already, as after a reply that was lost.
        """
        ...

    def version(self, key: str) -> MarkVersion:
        """The stored version of an object. Raises Transient, also if it is not there."""
        ...


@dataclass
class MemoryMarkObjects:
    """Mark objects in memory, in the objects of `store`."""

    store: MemoryObjectStore
    clock: Callable[[], float] = time.time
    _written: dict[str, float] = field(default_factory=dict)

    def swap(self, key: str, body: bytes, tag: str | None) -> bool:
        """See `MarkObjects.swap`; the tag is the content."""
        found = self.store.objects.get(key)
        if (found.hex() if found is not None else None) != tag:
            return found == body
        self.store.objects[key] = body
        self._written[key] = self.clock()
        return True

    def version(self, key: str) -> MarkVersion:
        """See `MarkObjects.version`."""
        if key not in self._written:
            raise Transient(f"there is no mark {key}")
        written = self._written[key]
        return MarkVersion(self.store.objects[key].hex(), written, self.clock() - written)


@dataclass(frozen=True)
class Marks(Generic[M]):
    """The numbered marks of a source below the prefix `root`; `read` parses a mark's JSON."""

    store: ObjectStore
    objects: MarkObjects
    root: str
    read: Callable[[bytes], M]
    source: str

    def all(self) -> dict[int, M]:
        """The marks by their numbers, ascending."""
        return {
            int(key.removeprefix(self.root).removesuffix(".json")): self.read(
                self.store.get(key) or b""
            )
            for key in self.store.keys(self.root)
        }

    def claim(self, number: int, mark: M) -> None:
        """Mark items as replayed, before they are sent.

        Raises:
            ReplayError: another replay has marked items since this one began.
        """
        self._swap(number, mark, None)

    def settle(self, number: int, mark: M) -> None:
        """Rewrite a mark once its items are sent."""
        self.store.put(self.key(number), dump(mark))

    def version(self, number: int) -> MarkVersion:
        """The stored version of a mark."""
        return self.objects.version(self.key(number))

    def take_over(self, number: int, mark: M, seen: MarkVersion) -> None:
        """Rewrite a mark that another replay left unfinished.

        Raises:
            ReplayError: the mark changed since it was seen.
        """
        self._swap(number, mark, seen.tag)

    def key(self, number: int) -> str:
        """The key of a mark."""
        return f"{self.root}{number:05d}.json"

    def _swap(self, number: int, mark: M, tag: str | None) -> None:
        if not self.objects.swap(self.key(number), dump(mark), tag):
            raise ReplayError(f"another replay of {self.source} is under way")
