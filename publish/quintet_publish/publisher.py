"""Writes a release to the registry: immutable files, then the manifest, then the table.

Every write is conditional, so publishers may race, crash at any step and start again: the
first to claim a version's number fixes its digest; files are only ever added; a version is
visible once its item holds the manifest's seal, which is the last write.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from quintet.errors import Conflict, NotFound, Refusal
from quintet.manifest import (
    GRAPH,
    MANIFEST,
    File,
    Manifest,
    manifest_from_json,
    prefix,
    sha256,
)
from quintet_publish.registry import Listed, Registry
from quintet_publish.release import Release

__all__ = ["Published", "Publisher"]


@dataclass(frozen=True, slots=True)
class Published:
    """The result of publishing: `new` is False if the version was published before."""

    new: bool
    live: int


class Publisher:
    """Writes releases to a registry."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def publish(self, release: Release, created: str) -> Published:
        """Store and register a release; the first version of a model becomes live.

        Raises:
            Conflict: the version's number is taken by other content.
        """
        model, version = release.contract.name, release.contract.version
        claim = self._registry.claim(model, version, release.digest)
        if claim.digest != release.digest:
            raise _conflict(
                f"the content that was published as version {version} of {model}",
                "other content; raise `version` in model.yaml",
            )
        if not claim.sealed:
            self._seal(release, self._store(release, created))
        return Published(not claim.sealed, self._registry.start(model, version).live)

    def promote(self, model: str, version: int) -> int:
        """Make a version live; return the one that was live before.

        Raises:
            NotFound: the version is not published.
            Conflict: the route was changed concurrently.
        """
        claim = self._registry.find(model, version)
        route = self._registry.read(model)
        if claim is None or not claim.sealed or route is None:
            raise NotFound.of("version", f"a published version of {model}", str(version))
        if not self._registry.replace(model, route, version):
            raise _conflict("the route as it was read", "another change; try again")
        return route.live

    def models(self) -> list[Listed]:
        """Return all published versions, by model and number."""
        return sorted(self._registry.listed(), key=lambda found: (found.model, found.version))

    def _store(self, release: Release, created: str) -> bytes:
        """Add the missing files, then the manifest; return the manifest as stored."""
        model, version = release.contract.name, release.contract.version
        folder = prefix(model, version)
        stored = {
            path: self._registry.add(folder + path, content)
            for path, content in release.files.items()
        }
        for path, content in stored.items():
            if sha256(content) != release.sources.get(path, sha256(content)):
                raise _conflict(f"{path} as it is in the package", "other bytes in the registry")
        manifest = Manifest(
            name=model,
            version=version,
            digest=release.digest,
            created=created,
            sources=release.sources,
            files={path: File(sha256(body), len(body)) for path, body in stored.items()},
            contract=json.loads(stored["contract.json"]),
            golden=release.golden,
        )
        return self._registry.add(folder + MANIFEST, manifest.to_json())

    def _seal(self, release: Release, content: bytes) -> None:
        """Make the version visible."""
        manifest = manifest_from_json(content)
        if manifest.digest != release.digest:
            raise _conflict("the manifest of this package", "another in the registry")
        self._registry.seal(manifest, sha256(content), manifest.files[GRAPH].size)


def _conflict(expected: str, got: str) -> Conflict:
    return Conflict([Refusal(None, "version", expected, got)])
