"""Pin models for a plan: the route from the registry table, the contract from the bucket."""

from __future__ import annotations

from quintet.aws.artifacts import Artifacts
from quintet.batch.planning import Pinned
from quintet.contract import from_dict
from quintet.serving.routes import Routes

__all__ = ["RegistryCatalog"]


class RegistryCatalog:
    """A catalog backed by the registry."""

    def __init__(self, routes: Routes, artifacts: Artifacts) -> None:
        self._routes = routes
        self._artifacts = artifacts

    def pin(self, model: str, version: int | None) -> Pinned:
        """See `quintet.batch.planning.Catalog.pin`."""
        route = self._routes.route(model)
        number = route.live if version is None else version
        if number not in route.versions:
            raise route.unknown(number)
        known = route.versions[number]
        manifest = self._artifacts.manifest(model, number, known.seal)
        return Pinned(number, known.digest, known.seal, from_dict(manifest.contract))
