"""Clients of a model whose versions are published, made live and withdrawn meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tests.histories.clients import Client
from tests.kits import models
from tests.kits.registries import publisher_to
from tests.kits.switched import CONTRACT, ROWS, graph

from quintet.contract import Contract
from quintet_publish.publisher import Publisher

__all__ = ["MODEL", "Asker", "Publishing", "publish"]

MODEL = "asked"
#: versions that are published at the same time, before the oldest is withdrawn
MOST = 2


class Publishing(Client):
    """Publishes versions, makes them live, and withdraws the oldest."""

    pause = 2.0

    def step(self) -> None:
        """One change; what was not answered, or was lost, is done again."""
        registry = self.world.stage.local.registry
        try:
            listed = registry.listed(MODEL)
        except Exception:  # the server may have ended
            return
        versions = sorted(one.version for one in listed if not one.withdrawn)
        self.world.known[MODEL] = versions
        if len(versions) > MOST:
            self._withdraw(publisher_to(registry), versions[0])
            return
        number = max((one.version for one in listed), default=0) + 1
        contract = replace(CONTRACT, name=MODEL, version=number)
        told = {"model": MODEL, "version": number}
        made = self.call("publish", lambda: publish(contract, registry), **told)
        if made.status == 200 and number > 1:
            publisher = publisher_to(registry)
            self.call("promote", lambda: publisher.promote(MODEL, number), **told)

    def _withdraw(self, publisher: Publisher, version: int) -> None:
        told = {"model": MODEL, "version": version}
        moment = "2026-01-01T00:00:00+00:00"
        self.call("withdraw", lambda: publisher.withdraw(MODEL, version, moment), **told)


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
