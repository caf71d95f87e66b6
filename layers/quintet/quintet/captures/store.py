"""The ports of captures: where new rows are put, and the objects that are compacted and erased."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import NamedTuple, Protocol

__all__ = ["CaptureObjects", "CaptureSink", "MemoryCaptures", "Stored"]


class CaptureSink(Protocol):
    """Where captures are put."""

    def put(self, key: str, body: bytes) -> None:
        """Put an object; the same again changes nothing. Raises Transient."""
        ...


class Stored(NamedTuple):
    """An object as it was read; `tag` is that of this content."""

    body: bytes
    tag: str


class CaptureObjects(Protocol):
    """All objects of captures."""

    def keys(self, prefix: str) -> list[str]:
        """The keys that start with `prefix`, sorted. Raises Transient."""
        ...

    def get(self, key: str) -> Stored | None:
        """An object; None if it is not there. Raises Transient."""
        ...

    def swap(self, key: str, body: bytes, tag: str | None) -> bool:
        """Replace the object that has that tag, or put a new one if the tag is None.

        False if the object is another by now; then nothing was changed. Raises Transient.
        """
        ...

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; one that is not there is no error. Raises Transient."""
        ...


class MemoryCaptures:
    """Captures in memory: both ports."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def put(self, key: str, body: bytes) -> None:
        """See `CaptureSink.put`."""
        self.objects[key] = body

    def keys(self, prefix: str) -> list[str]:
        """See `CaptureObjects.keys`."""
        return sorted(key for key in self.objects if key.startswith(prefix))

    def get(self, key: str) -> Stored | None:
        """See `CaptureObjects.get`."""
        body = self.objects.get(key)
        return None if body is None else Stored(body, hashlib.sha256(body).hexdigest())

    def swap(self, key: str, body: bytes, tag: str | None) -> bool:
        """See `CaptureObjects.swap`."""
        held = self.get(key)
        if (None if held is None else held.tag) != tag:
            return False
        self.objects[key] = body
        return True

    def delete(self, keys: Iterable[str]) -> None:
        """See `CaptureObjects.delete`."""
        for key in keys:
            self.objects.pop(key, None)
