"""The ports of captures: where new rows are put, and the objects that are compacted and erased."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

__all__ = [
    "CaptureObjects",
    "CaptureSink",
    "MemoryCaptures",
    "MemoryRolloutFeed",
    "NoRollouts",
    "RolloutFeed",
    "Stored",
]


class CaptureSink(Protocol):
    """Where captures are put."""

    def put(self, key: str, body: bytes) -> None:
        """Put an object; the same again changes nothing. Raises Transient."""
        ...


class RolloutFeed(Protocol):
    """What rollouts hear of captures."""

    def announce(self, key: str) -> None:
        """An object of captures, of which a rollout has routed some rows, was put.

        The same again changes nothing. Raises Transient.
        """
        ...

    def begun(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Requests began, that a rollout has routed: the lines that say so. Raises Transient."""
        ...


class NoRollouts:
    """A feed that nobody hears, for who puts captures that are old or of no rollout."""

    def announce(self, key: str) -> None:
        """See `RolloutFeed.announce`."""

    def begun(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """See `RolloutFeed.begun`."""


class MemoryRolloutFeed:
    """A feed in memory."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.lines: list[Mapping[str, Any]] = []

    def announce(self, key: str) -> None:
        """See `RolloutFeed.announce`."""
        self.keys.append(key)

    def begun(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """See `RolloutFeed.begun`."""
        self.lines += lines


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

        False if the object is another by now; then nothing was changed. True also if it has this
        content already, as after a reply that was lost. Raises Transient.
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
            return held is not None and held.body == body
        self.objects[key] = body
        return True

    def delete(self, keys: Iterable[str]) -> None:
        """See `CaptureObjects.delete`."""
        for key in keys:
            self.objects.pop(key, None)
