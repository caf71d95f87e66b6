"""Routes and rollouts for tests: a store in memory or on moto, with a model of three versions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.kits.registries import RegistryServer

from quintet.aws.client import AwsClient
from quintet.aws.rollouts import Rollouts
from quintet.rollouts.store import Cause, Change, MemoryRollouts, RolloutStore
from quintet.rollouts.transitions import start
from quintet.serving.routes import Route, Version

__all__ = ["STEPS", "cause", "in_memory", "on_server", "started"]

STEPS = (0.01, 0.1, 1.0)


def cause(at: float = 1_000.0, reason: str = "", evidence: Any = None) -> Cause:
    """Why a change is made."""
    return Cause(at=at, by="ann", reason=reason, evidence=evidence)


def in_memory(model: str = "small", numbers: Sequence[int] = (1, 2, 3)) -> MemoryRollouts:
    """A store in memory of one model, whose first version is live."""
    versions = {number: Version(number, "digest", "seal", 1, "now") for number in numbers}
    return MemoryRollouts([Route(model, numbers[0], 1, versions)])


def on_server(
    server: RegistryServer, model: str = "small", numbers: Sequence[int] = (1, 2, 3)
) -> Rollouts:
    """The same in a registry's table."""
    table = server.client("dynamodb")
    for number in numbers:
        item = {"item": {"S": f"version#{number:08d}"}, "version": {"N": str(number)}}
        rest = {"digest": "digest", "seal": "seal", "created": "now", "model": model}
        rows = {name: {"S": value} for name, value in rest.items()}
        table.put_item(TableName=server.table, Item=item | rows | {"size": {"N": "1"}})
    route = {"model": {"S": model}, "item": {"S": "route"}, "revision": {"N": "1"}}
    table.put_item(TableName=server.table, Item=route | {"live": {"N": str(numbers[0])}})
    return Rollouts(AwsClient("dynamodb", environ=server.environ), server.table)


def started(
    store: RolloutStore,
    candidate: int = 2,
    *,
    model: str = "small",
    id: str = "r1",
    at: float = 1_000.0,
    shadow: bool = False,
    steps: Sequence[float] = STEPS,
) -> Change:
    """A rollout that has begun, as a canary at its first step by default."""
    change = start(store.read(model), candidate, cause(at), id=id, steps=steps, shadow=shadow)
    assert store.write(change)
    return change
