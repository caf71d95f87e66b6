"""Clients of a model whose versions are published, made live and withdrawn meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from tests.histories.clients import Client, World
from tests.kits import models
from tests.kits.registries import publisher_to
from tests.kits.switched import CONTRACT, ROWS, graph

from quintet.contract import Contract
from quintet.errors import QuintetError
from quintet.rollouts import transitions
from quintet.rollouts.state import Rollout
from quintet.rollouts.store import Cause, Change, RolloutStore, Stored
from quintet_publish.aws_registry import AwsRegistry

__all__ = ["MODEL", "Asker", "Publishing", "publish"]

MODEL = "asked"
#: versions that are published at the same time, before the oldest is withdrawn
MOST = 2
CAUSE = Cause(at=0.0, by="histories", reason="a switch")


class Publishing(Client):
    """Publishes versions, rolls them out, back or makes them live at once, and withdraws old ones.

    Each step goes by what is stored: what was not answered, or was lost, is done again.
    """

    pause = 1.5

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world, name)
        self._rolled_back = False

    def step(self) -> None:
        """One change."""
        registry = self.world.stage.local.registry
        try:
            listed = registry.listed(MODEL)
            stored = registry.routes.read(MODEL) if listed else None
        except (BotoCoreError, ClientError, QuintetError):  # the server may have ended
            return
        versions = sorted(one.version for one in listed if not one.withdrawn)
        self.world.known[MODEL] = versions
        if stored is None or stored.rollout is None:
            live = 0 if stored is None else stored.route.live
            self._at_rest(registry, stored, versions, live)
        else:
            self._under_way(registry.routes, stored, stored.rollout)

    def _at_rest(
        self, registry: AwsRegistry, stored: Stored | None, versions: list[int], live: int
    ) -> None:
        """Go on while no rollout is in progress."""
        publisher, newest = publisher_to(registry), versions[-1] if versions else 0
        if stored is not None and live < newest:
            if newest % 2:
                self._call("promote", newest, lambda: publisher.promote(MODEL, newest))
                return
            id = f"r{stored.route.revision}-{self.draw.randrange(10**6)}"
            change = transitions.start(stored, newest, CAUSE, id=id, steps=[0.5], shadow=False)
            self._call("roll_out", newest, lambda: _write(registry.routes, change))
        elif len(versions) > MOST:
            oldest, moment = versions[0], "2026-01-01T00:00:00+00:00"
            self._call("withdraw", oldest, lambda: publisher.withdraw(MODEL, oldest, moment))
        else:
            contract = replace(CONTRACT, name=MODEL, version=newest + 1)
            self._call("publish", newest + 1, lambda: publish(contract, registry))

    def _under_way(self, routes: RolloutStore, stored: Stored, rollout: Rollout) -> None:
        """Promote, finish or roll back what is in progress."""
        version = rollout.candidate
        if not self._rolled_back or self.draw.random() < 0.2:
            self._rolled_back = True
            change, does = transitions.roll_back(stored, CAUSE), "roll_back"
        elif rollout.phase == "watching":
            change, does = transitions.finish(stored, CAUSE), "finish_rollout"
        else:
            change, does = transitions.promote(stored, CAUSE, verdict="", force=True), "promote"
        self._call(does, version, lambda: _write(routes, change))

    def _call(self, does: str, version: int, action: Callable[[], object]) -> None:
        def done() -> None:
            action()

        self.call(does, done, model=MODEL, version=version)


def _write(routes: RolloutStore, change: Change) -> None:
    assert routes.write(change), "the route was changed by another"


class Asker(Client):
    """Asks for a row's score, by the live version or by one that it names."""

    def step(self) -> None:
        """Ask once."""
        known = list(self.world.known.get(MODEL, ()))
        if not known:
            return
        row = [2.0 + self.draw.randrange(50), 1.0]
        pinned = self.draw.choice(known) if self.draw.random() < 0.3 else None
        path = f"/models/{MODEL}/" + (f"versions/{pinned}/" if pinned else "") + "predict"
        body = {"records": [{"meter": "m", "x": row[0], "y": row[1]}]}
        self.ask("ask", "POST", path, body, tells=_scored, model=MODEL, pinned=pinned, row=row)


def publish(contract: Contract, registry: Any) -> None:
    """Publish a version; `version` is the factor of its graph."""
    models.publish_graph(contract, graph(float(contract.version)), ROWS, registry)


def _scored(_: int, answer: Any, __: Mapping[str, str]) -> dict[str, Any]:
    return {"version": answer["version"], "outputs": answer["predictions"][0]["logs"]}
