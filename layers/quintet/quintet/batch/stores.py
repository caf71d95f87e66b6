"""The ports of batch runs: the store of their files, and the store of documents and results."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from quintet.batch.plans import Snapshot
from quintet.errors import BadInput, NotFound

__all__ = [
    "ConditionalObjects",
    "InputBucket",
    "Listed",
    "MemoryConditionalObjects",
    "MemoryInputBucket",
    "MemoryObjectStore",
    "ObjectStore",
    "PinnedSource",
    "changed",
    "swapped",
    "unreadable",
]


class Listed(NamedTuple):
    """An object in a listing."""

    key: str
    size: int
    etag: str = ""


class InputBucket(Protocol):
    """The buckets that hold a run's files."""

    def keys(self, bucket: str, prefix: str) -> Iterator[Listed]:
        """The objects whose keys start with `prefix`, in the order of their keys.

        Raises:
            BadInput: the bucket does not exist, or access is denied.
            Transient: it could not be listed.
        """
        ...

    def snapshot(self, bucket: str, key: str, version_id: str | None) -> Snapshot:
        """Pin the object's current version. Raises NotFound if it does not exist."""
        ...

    def read(self, snapshot: Snapshot, start: int, end: int) -> bytes:
        """Read the bytes from `start` to `end` of exactly that version; thread-safe.

        Raises:
            BadInput: the object has been deleted or overwritten.
            Transient: the store could not be read.
        """
        ...


@dataclass(frozen=True, slots=True)
class PinnedSource:
    """The bytes of one version of an object; see `quintet.formats.sources.ByteSource`."""

    inbox: InputBucket
    snapshot: Snapshot

    @property
    def size(self) -> int:
        """See `ByteSource.size`."""
        return self.snapshot.size

    def read(self, start: int, end: int) -> bytes:
        """See `ByteSource.read`."""
        return self.inbox.read(self.snapshot, start, end)


class ObjectStore(Protocol):
    """The store of the documents and results of runs."""

    def get(self, key: str) -> bytes | None: ...

    def put(self, key: str, body: bytes) -> None: ...

    def keys(self, prefix: str) -> list[str]:
        """The keys that start with `prefix`, sorted."""
        ...


class ConditionalObjects(Protocol):
    """Objects with compare-and-swap: replaced only if unchanged since they were read."""

    def read(self, key: str) -> tuple[bytes, str] | None:
        """The content of an object and its tag, None if it does not exist. Raises Transient."""
        ...

    def swap(self, key: str, body: bytes, tag: str | None) -> bool:
        """Store if the object still has that tag (None: does not exist); whether it did.

        True also if the object has this content already, as after a reply that was lost.

        Raises:
            Transient: it is unknown whether the object was stored.
        """
        ...


def swapped(cells: ConditionalObjects, key: str, body: bytes, tag: str | None) -> bytes:
    """Store as `ConditionalObjects.swap` does; the content that then stands.

    Raises:
        Transient: it is unknown whether the object was stored.
    """
    if not cells.swap(key, body, tag) and (stands := cells.read(key)):
        return stands[0]
    return body


class MemoryInputBucket:
    """An inbox in memory; every put creates a version."""

    def __init__(self) -> None:
        self.versions: dict[tuple[str, str], list[tuple[Snapshot, bytes]]] = {}

    def put(
        self, bucket: str, key: str, body: bytes, metadata: dict[str, str] | None = None
    ) -> Snapshot:
        """Store an object, as a user would."""
        held = self.versions.setdefault((bucket, key), [])
        snapshot = Snapshot(
            bucket=bucket,
            key=key,
            version_id=f"v{len(held) + 1}",
            etag=hashlib.md5(body, usedforsecurity=False).hexdigest(),
            size=len(body),
            metadata=metadata or {},
        )
        held.append((snapshot, body))
        return snapshot

    def keys(self, bucket: str, prefix: str) -> Iterator[Listed]:
        """See `InputBucket.keys`."""
        if bucket not in {name for name, _ in self.versions}:
            raise unreadable()
        for (name, key), held in sorted(self.versions.items()):
            if name == bucket and key.startswith(prefix) and held:
                yield Listed(key, held[-1][0].size, held[-1][0].etag)

    def snapshot(self, bucket: str, key: str, version_id: str | None) -> Snapshot:
        """See `InputBucket.snapshot`."""
        for snapshot, _ in reversed(self.versions.get((bucket, key), [])):
            if version_id in (None, snapshot.version_id):
                return snapshot
        raise NotFound.of("the file", f"{key} in the inbox", "nothing; it was deleted")

    def read(self, snapshot: Snapshot, start: int, end: int) -> bytes:
        """See `InputBucket.read`."""
        for held, body in self.versions.get((snapshot.bucket, snapshot.key), []):
            if held.version_id == snapshot.version_id and held.etag == snapshot.etag:
                return body[start:end]
        raise changed(snapshot)


def changed(snapshot: Snapshot) -> BadInput:
    """The refusal of an object that has changed since planning."""
    return BadInput.of(
        "the file", f"{snapshot.key} as it was planned", "another; it was deleted or overwritten"
    )


def unreadable() -> BadInput:
    """The refusal of a missing or unreadable bucket; it does not reveal the bucket's name."""
    return BadInput.of("bucket", "one that this stack may read", "another")


class MemoryObjectStore:
    """A store in memory."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def get(self, key: str) -> bytes | None:
        """See `ObjectStore.get`."""
        return self.objects.get(key)

    def put(self, key: str, body: bytes) -> None:
        """See `ObjectStore.put`."""
        self.objects[key] = body

    def keys(self, prefix: str) -> list[str]:
        """See `ObjectStore.keys`."""
        return sorted(key for key in self.objects if key.startswith(prefix))


class MemoryConditionalObjects:
    """Objects in memory: its own, or those that another store `held`."""

    def __init__(self, held: dict[str, bytes] | None = None) -> None:
        self.held: dict[str, bytes] = {} if held is None else held

    def read(self, key: str) -> tuple[bytes, str] | None:
        """See `ConditionalObjects.read`."""
        body = self.held.get(key)
        return None if body is None else (body, hashlib.sha256(body).hexdigest())

    def swap(self, key: str, body: bytes, tag: str | None) -> bool:
        """See `ConditionalObjects.swap`."""
        found = self.read(key)
        if (found[1] if found else None) != tag:
            return found is not None and found[0] == body
        self.held[key] = body
        return True
