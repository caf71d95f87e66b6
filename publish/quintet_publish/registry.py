"""The registry's write side, for publishing: ports for files, versions, retirement; and routes."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import Protocol

from quintet.manifest import Manifest, prefix
from quintet.rollouts.store import MemoryRollouts, RolloutStore
from quintet.serving.routes import Version

__all__ = [
    "Claim",
    "Files",
    "Listed",
    "MemoryRegistry",
    "Registry",
    "Retirement",
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


class Retirement(Protocol):
    """The end of a version. Its number stays taken, and its digest known."""

    def withdraw(self, model: str, version: int, moment: str, revision: int) -> bool:
        """Stop a published version from answering; the caller saw that no route names it.

        False if the route was changed since that `revision`. Idempotent.
        """

    def remove(self, model: str, version: int) -> int:
        """Remove the objects of a version, with all their versions; return how many."""

    def forget(self, model: str, version: int, moment: str) -> None:
        """Reduce a withdrawn version to a note: its digest, size and dates."""


class Registry(Files, Versions, Retirement, Protocol):
    """Everything that publishing needs."""

    @property
    def routes(self) -> RolloutStore:
        """The store of routes, which names versions of this registry."""

    def listed(self, model: str | None = None) -> list[Listed]:
        """Return all versions that were published, withdrawn and deleted ones too, in any order.

        With `model`, those of one model.
        """


@dataclass
class MemoryRegistry:
    """A thread-safe registry in memory."""

    objects: dict[str, bytes] = field(default_factory=dict)
    routes: MemoryRollouts = field(default_factory=MemoryRollouts)
    _claims: dict[tuple[str, int], Claim] = field(default_factory=dict)
    _sealed: dict[tuple[str, int], Listed] = field(default_factory=dict)
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
            found = Version(manifest.version, manifest.digest, seal, size, created)
            self.routes.add_version(manifest.name, found)

    def withdraw(self, model: str, version: int, moment: str, revision: int) -> bool:
        """See `Retirement.withdraw`."""
        at = model, version
        with self._lock:
            if not self.routes.withdraw_version(model, version, moment, revision):
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
            return [
                replace(found, live=self.routes.stored[at[0]].live == at[1])
                for at, found in self._sealed.items()
                if model in (None, at[0])
            ]
