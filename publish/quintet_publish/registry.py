"""The registry's write side, for publishing: a port each for files, versions and routes."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Protocol

from quintet.manifest import Manifest

__all__ = ["Claim", "Files", "Listed", "MemoryRegistry", "Registry", "Route", "Routes", "Versions"]


@dataclass(frozen=True, slots=True)
class Claim:
    """The claim on a version's number: the first digest, and whether it is sealed."""

    digest: str
    sealed: bool


@dataclass(frozen=True, slots=True)
class Listed:
    """A published version; `live` if it serves requests."""

    model: str
    version: int
    digest: str
    size: int
    created: str
    live: bool


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
        """Make a version live if the route has not changed since it was read; False if it has."""


class Registry(Files, Versions, Routes, Protocol):
    """Everything that publishing needs."""

    def listed(self) -> list[Listed]:
        """Return all published versions, in any order."""


@dataclass
class MemoryRegistry:
    """A thread-safe registry in memory."""

    objects: dict[str, bytes] = field(default_factory=dict)
    _claims: dict[tuple[str, int], Claim] = field(default_factory=dict)
    _sealed: dict[tuple[str, int], tuple[Manifest, int]] = field(default_factory=dict)
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
            self._sealed[at] = manifest, size
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
            if self._routes[model] != read:
                return False
            self._routes[model] = Route(live, read.revision + 1)
            return True

    def listed(self) -> list[Listed]:
        """See `Registry.listed`."""
        with self._lock:
            live = {(model, route.live) for model, route in self._routes.items()}
            return [
                Listed(*at, manifest.digest, size, manifest.created, live=at in live)
                for at, (manifest, size) in self._sealed.items()
            ]
