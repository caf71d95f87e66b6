"""Writes a release to the registry: immutable files, then the manifest, then the table.

Every write is conditional, so publishers may race, crash at any step and start again: the
first to claim a version's number fixes its digest; files are only ever added; a version is
visible once its item holds the manifest's seal, which is the last write.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
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
from quintet.rollouts.store import Cause, Stored, fields_of, named
from quintet.rollouts.transitions import make_live, publish_first
from quintet.serving.routes import UnknownModel
from quintet_publish.registry import Listed, Registry
from quintet_publish.release import Release, renumbered

__all__ = ["Published", "Publisher"]


@dataclass(frozen=True, slots=True)
class Published:
    """The result of publishing: `new` is False if the version was published before."""

    new: bool
    live: int


class Publisher:
    """Writes releases to a registry.

    `author` names who publishes, and `clock` returns epoch seconds: for the history of the route.
    """

    def __init__(
        self, registry: Registry, *, author: Callable[[], str], clock: Callable[[], float]
    ) -> None:
        self._registry = registry
        self._routes = registry.routes
        self._author = author
        self._clock = clock

    def publish(self, release: Release, created: str) -> Published:
        """Store and register a release; the first version of a model becomes live.

        Raises:
            Conflict: the version's number is taken by other content, or was withdrawn.
        """
        model, version = release.contract.name, release.contract.version
        claim = self._registry.claim(model, version, release.digest)
        if claim.digest != release.digest:
            raise _conflict(
                f"the content that was published as version {version} of {model}",
                "other content; raise `version` in model.yaml",
            )
        if claim.withdrawn:
            raise _conflict(
                "a number that was not used before",
                f"{version}, which was withdrawn; raise `version` in model.yaml",
            )
        if not claim.sealed:
            self._seal(release, self._store(release, created))
        return Published(not claim.sealed, self._live(model, version))

    def promote(self, model: str, version: int, reason: str = "") -> int:
        """Make a version live; return the one that was live before.

        Raises:
            NotFound: the version is not published, or was withdrawn.
            Conflict: a rollout is in progress, or the route was changed concurrently.
        """
        found = self._find(model, version)
        if found.withdrawn:
            got = f"{version}, which was withdrawn at {found.withdrawn}"
            raise NotFound.of("version", f"a published version of {model}", got)
        stored = self._stored(model)
        if not self._routes.write(make_live(stored, version, self._cause(reason))):
            raise _conflict("the route as it was read", "another change; try again")
        return stored.route.live

    def withdraw(self, model: str, version: int, moment: str) -> Listed:
        """Stop a version from answering; return it as it was.

        Raises:
            NotFound: the version is not published.
            Conflict: it is live, or a rollout uses it.
        """
        found = self._find(model, version)
        stored = self._stored(model)
        if version in named(fields_of(stored.route), stored.rollout):
            raise _in_use(stored, version)
        if not self._registry.withdraw(model, version, moment, stored.route.revision):
            raise _conflict("the version as it was read", "another change; try again")
        return found

    def delete(self, model: str, version: int, moment: str) -> int:
        """Remove the files of a withdrawn version; return how many objects were removed.

        Its number stays taken, and its digest and dates known. An interrupted deletion can be
        repeated. Raises the same as `check_deletable`.
        """
        self.check_deletable(model, version)
        removed = self._registry.remove(model, version)
        self._registry.forget(model, version, moment)
        return removed

    def check_deletable(self, model: str, version: int) -> None:
        """Check that a version may be deleted: it was withdrawn, so nothing starts to use it.

        Raises:
            NotFound: the version was never published.
            Conflict: it was not withdrawn.
        """
        if not self._find(model, version).withdrawn:
            raise _conflict(
                "a withdrawn version",
                f"{version}, which still answers; withdraw it first: "
                f"`quintet withdraw {model} {version}`",
            )

    def numbered(self, release: Release) -> Release:
        """Return the release; under the next free number if other content has its own."""
        model, version = release.contract.name, release.contract.version
        claim = self._registry.find(model, version)
        if claim is None or (claim.digest == release.digest and not claim.withdrawn):
            return release
        known = [found.version for found in self._registry.listed(model)]
        number = max([version, *known]) + 1
        while self._registry.find(model, number):  # claimed by a publisher that was interrupted
            number += 1
        return renumbered(release, number)

    def models(self) -> list[Listed]:
        """Return all versions that answer, by model and number."""
        found = [listed for listed in self._registry.listed() if not listed.withdrawn]
        return sorted(found, key=lambda listed: (listed.model, listed.version))

    def versions(self, model: str) -> list[Listed]:
        """Return the versions of a model, withdrawn and deleted ones too, by number.

        Raises:
            NotFound: no version of the model was ever published.
        """
        found = self._registry.listed(model)
        if not found:
            raise NotFound.of("model", "a published model", repr(model[:80]))
        return sorted(found, key=lambda listed: listed.version)

    def _live(self, model: str, version: int) -> int:
        """The live version of a model; this one if it has none yet."""
        with suppress(UnknownModel):
            return self._routes.read(model).route.live
        # if it is not written, another publisher was first
        self._routes.write(publish_first(model, version, self._cause()))
        return self._routes.read(model).route.live

    def _stored(self, model: str) -> Stored:
        """The route of a model of which a version was published."""
        try:
            return self._routes.read(model)
        except UnknownModel:
            got = "none, as its first publication was interrupted; publish it again"
            raise NotFound.of("model", f"a live version of {model}", got) from None

    def _cause(self, reason: str = "") -> Cause:
        return Cause(at=self._clock(), by=self._author(), reason=reason)

    def _find(self, model: str, version: int) -> Listed:
        for found in self._registry.listed(model):
            if found.version == version:
                return found
        raise NotFound.of("version", f"a published version of {model}", str(version))

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


def _in_use(stored: Stored, version: int) -> Conflict:
    """The refusal to withdraw a version that a route names."""
    model, rollout = stored.route.model, stored.rollout
    if rollout is None:
        return _conflict(
            "a version that is not live",
            f"{version}, which is; promote another one first: `quintet promote {model} VERSION`",
        )
    kept = rollout.phase == "watching" and version == rollout.live
    return _conflict(
        "a version that no rollout uses",
        f"{version}, which "
        + (f"the rollout of version {rollout.candidate} may come back to" if kept else "one does")
        + f"; wait for its end, or end it with `quintet rollout rollback {model}`",
    )


def _conflict(expected: str, got: str) -> Conflict:
    return Conflict([Refusal(None, "version", expected, got)])
