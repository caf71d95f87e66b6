"""The registry of a stage: its routes, its versions, and the contracts of live versions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from quintet.aws.registry import Registry
from quintet.aws.rollouts import Rollouts
from quintet.columns import near_name
from quintet.contract import Contract
from quintet.errors import NotFound, Refusal
from quintet.serving.routes import Route
from quintet_cli.stage import Stage

if TYPE_CHECKING:
    from quintet.aws.artifacts import Artifacts

__all__ = [
    "Unpublished",
    "artifacts_of",
    "live_contract",
    "named_near",
    "registry_of",
    "rollouts_of",
    "route_of",
    "unpublished",
]


def registry_of(stage: Stage) -> Registry:
    """Return the table of each model's published versions and its live version."""
    return Registry(stage.signed("dynamodb"), stage.outputs["RegistryTableName"])


def rollouts_of(stage: Stage) -> Rollouts:
    """Return the store of each model's route, its rollout and its history."""
    return Rollouts(stage.signed("dynamodb"), stage.outputs["RegistryTableName"])


def artifacts_of(stage: Stage) -> Artifacts:
    """Return the store of published versions."""
    from quintet.aws.artifacts import Artifacts  # with onnxruntime

    return Artifacts(stage.signed("s3"), stage.outputs["RegistryBucketName"])


class Unpublished(NotFound):
    """A model is not on a stage; `near` is the name that may be meant."""

    def __init__(self, stage: str, name: str, near: str | None) -> None:
        hint = f" (is it {near!r}?)" if near else ""
        expected = f"one published on stage {stage}{hint}"
        super().__init__([Refusal(None, "model", expected, repr(name[:80]))])
        self.name, self.near = name, near


def unpublished(stage: Stage, model: str) -> Unpublished:
    """Return the error of a model that is not on a stage; it suggests the nearest name."""
    return Unpublished(stage.name, model, near_name(model[:80], registry_of(stage).models()))


@contextmanager
def named_near(stage: Stage, model: str) -> Iterator[None]:
    """Let what a block does not find be the model, with the nearest name, if no such model is live.

    Raises:
        NotFound: by the block, or in its place.
    """
    try:
        yield
    except NotFound:
        route_of(stage, model)
        raise


def route_of(stage: Stage, model: str) -> Route:
    """Return the route of a model.

    Raises:
        NotFound: the model is not published on that stage.
    """
    try:
        return registry_of(stage).route(model)
    except NotFound:
        raise unpublished(stage, model) from None


def live_contract(stage: Stage, model: str) -> Contract:
    """Return the contract of a model's live version.

    Raises:
        NotFound: the model is not published on that stage.
    """
    route = route_of(stage, model)
    seal = route.versions[route.live].seal
    return artifacts_of(stage).contract(model, route.live, seal)
