"""Models, and where their requests go."""

from __future__ import annotations

from collections.abc import Iterator

from quintet.serving.routes import Route
from quintet_cli.registry import registry_of
from quintet_cli.stage import Stage

__all__ = ["read_models", "routes_of"]


def routes_of(stage: Stage) -> Iterator[Route]:
    """The route of each published model, by name."""
    registry = registry_of(stage)
    return (registry.route(model) for model in sorted(registry.models()))


def read_models(stage: Stage) -> list[Route]:
    """The routes with their versions."""
    return list(routes_of(stage))
