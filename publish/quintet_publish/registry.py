"""The registry's write side, for publishing: ports for files, versions, routes, retirement."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import Protocol

from quintet.manifest import Manifest, prefix

__all__ = [
    "Claim",
    "Files",
    "Listed",
    "MemoryRegistry",
    "Registry",
    "Retirement",
    "Route",
    "Routes",
    "Versions",
]


@dataclass(frozen=True, slots=True)
class Claim:
    """The claim on a version's number: the first digest, and whether it is sealed or withdrawn."""

    digest: str
    sealed: bool
    withdrawn: bool = False


@dataclass(frozen=True, slots=True)
class Listed:
    """A published version; `live` if it serves requests.

    `withdrawn` and `deleted` are when it was, else empty.
    """

    model: str
    version: int
    digest: str
    size: int
    created: str
    live: bool
    withdrawn: str = ""
    deleted: str = ""


@dataclass(frozen=True, slots=True)
class Route:
    """The live version of a model; `revision` grows with every change."""

    live: int
    revision: int


class Files(Protocol):
    """Immutable objects."""

    def add(self, key: str, content: bytes) -> bytes:
        """Store an object unless the key exists; return the stored content."""


class Versions(Protocol):
    """The versions of all models."""

    def claim(self, model: str, version: int, digest: str) -> Claim:
        """Claim a version's number unless it is taken; return its claim."""

    def find(self, model: str, version: int) -> Claim | None:
        """Return the claim of a version; None if its number is free."""

    def seal(self, manifest: Manifest, seal: str, size: int) -> None:
        """Make a claimed version visible; `seal` is the SHA-256 of its manifest."""


class Routes(Protocol):
    """The live version of each model."""

    def start(self, model: str, version: int) -> Route:
        """Make the version live unless the model has a route; return its route."""

    def read(self, model: str) -> Route | None:
        """Return the route of a model; None before its first version."""

    def replace(self, model: str, read: Route, live: int) -> bool:
        """Make a version live; False if it or the route changed since they were read."""


class Retirement(Protocol):
    """The end of a version. Its number stays taken, and its digest known."""

    def withdraw(self, model: str, version: int, moment: str) -> bool:
        """Stop a published version from answering; False if it is live. Idempotent."""

    def remove(self, model: str, version: int) -> int:
        """Remove the objects of a version, with all their versions; return how many."""

    def forget(self, model: str, version: int, moment: str) -> None:
        """Reduce a withdrawn version to a note: its digest, size and dates."""


class Registry(Files, Versions, Routes, Retirement, Protocol):
    """Everything that publishing needs."""

    def listed(self, model: str | None = None) -> list[Listed]:
        """Return all versions that were published, withdrawn and deleted ones too, in any order.

        With `model`, those of one model.
        """


@dataclass
class MemoryRegistry:
    """A thread-safe registry in memory."""

    objects: dict[str, bytes] = field(default_factory=dict)
    _claims: dict[tuple[str, int], Claim] = field(default_factory=dict)
    _sealed: dict[tuple[str, int], Listed] = field(default_factory=dict)
    _routes: dict[str, Route] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, key: str, content: bytes) -> bytes:
        """See `Files.add`."""
        return self.objects.setdefault(key, content)

    def claim(self, model: str, version: int, digest: str) -> Claim:
        """See `Versions.claim`."""
        return self._claims.setdefault((model, version), Claim(digest, sealed=False))

    def find(self, model: str, version: int) -> Claim | None:
        """See `Versions.find`."""
        return self._claims.get((model, version))

    def seal(self, manifest: Manifest, seal: str, size: int) -> None:
        """See `Versions.seal`."""
        at = manifest.name, manifest.version
        with self._lock:
            created = manifest.created
            self._sealed[at] = Listed(*at, manifest.digest, size, created, live=False)
            self._claims[at] = Claim(self._claims[at].digest, sealed=True)

    def start(self, model: str, version: int) -> Route:
        """See `Routes.start`."""
        return self._routes.setdefault(model, Route(version, 1))

    def read(self, model: str) -> Route | None:
        """See `Routes.read`."""
        return self._routes.get(model)

    def replace(self, model: str, read: Route, live: int) -> bool:
        """See `Routes.replace`."""
        with self._lock:
            claim = self._claims[model, live]
            if self._routes[model] != read or not claim.sealed or claim.withdrawn:
                return False
            self._routes[model] = Route(live, read.revision + 1)
            return True

    def withdraw(self, model: str, version: int, moment: str) -> bool:
        """See `Retirement.withdraw`."""
        at = model, version
        with self._lock:
            if self._routes[model].live == version:
                return False
            self._sealed[at] = replace(
                self._sealed[at], withdrawn=self._sealed[at].withdrawn or moment
            )
            self._claims[at] = replace(self._claims[at], withdrawn=True)
            return True

    def remove(self, model: str, version: int) -> int:
        """See `Retirement.remove`."""
        with self._lock:
            keys = [key for key in self.objects if key.startswith(prefix(model, version))]
            for key in keys:
                del self.objects[key]
        return len(keys)

    def forget(self, model: str, version: int, moment: str) -> None:
        """See `Retirement.forget`."""
        at = model, version
        with self._lock:
            self._sealed[at] = replace(self._sealed[at], deleted=moment)
            self._claims[at] = replace(self._claims[at], sealed=False)

    def listed(self, model: str | None = None) -> list[Listed]:
        """See `Registry.listed`."""
        with self._lock:
            live = {(name, route.live) for name, route in self._routes.items()}
            return [
                replace(found, live=at in live)
                for at, found in self._sealed.items()
                if model in (None, at[0])
            ]
