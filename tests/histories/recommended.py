"""Clients that make candidates anew, and ask what users are shown of them."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from typing import Any
from urllib.parse import quote

from tests.histories.clients import Client, World
from tests.histories.stage import Stage
from tests.kits.local_aws import ROOT
from tests.kits.models import publish_graph
from typer.testing import CliRunner

from quintet_cli.app import app
from quintet_publish.kit import contract_of

__all__ = ["Nights", "Recommending", "publish_shop", "users"]

MADE, RANKER = "candidates", "shown"


@cache
def _golden() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "models/candidates/golden.json").read_text())
    return found


@cache
def users() -> dict[str, list[int]]:
    """The candidates of each user, the best first."""
    golden = _golden()
    return dict(zip(golden["entities"], golden["outputs"]["ids"], strict=True))


def publish_shop(stage: Stage) -> None:
    """Publish the example's candidates, and its ranker with time for a busy machine."""
    words = ["publish", str(ROOT / f"models/{MADE}"), "--state", str(stage.state)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    ranker = contract_of(ROOT / "models/ranker")
    assert ranker.recommend is not None
    rule = replace(ranker.recommend, budget_ms=10_000, explore=0.0)
    graph = (ROOT / "models/ranker/model.onnx").read_bytes()
    rows = json.loads((ROOT / "models/ranker/golden.json").read_text())["columns"]
    patient = replace(ranker, name=RANKER, recommend=rule)
    publish_graph(patient, graph, rows, stage.local.registry)


class Nights(Client):
    """Drops the users' purchases, from which a run makes their candidates."""

    pause = 20.0

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world, name)
        self.number = 0

    def step(self) -> None:
        """Drop them once more."""
        self.number += 1
        columns = _golden()["columns"]
        rows = [
            {"customer_id": user, "items": bought, "days": days}
            for user, bought, days in zip(users(), columns["items"], columns["days"], strict=True)
        ]
        body = "".join(json.dumps(row) + "\n" for row in rows).encode()
        local, key = self.world.stage.local, f"{MADE}/{self.number}.jsonl"
        given = {"Bucket": local.outputs["InboxBucketName"], "Key": key, "Body": body}

        def drop() -> None:
            local.client("s3").put_object(**given)

        self.call("make_candidates", drop)


class Recommending(Client):
    """Asks what a user is shown, often with items of a session."""

    def step(self) -> None:
        """Ask once."""
        user = self.draw.choice(list(users()))
        session = self.draw.sample(users()[user], self.draw.randrange(4))
        path = f"/models/{RANKER}/recommendations/{quote(user, safe='')}"
        body = {"items": session} if session else None
        method = "POST" if session else "GET"
        self.ask("recommend", method, path, body, tells=_shown, user=user, session=session)


def _shown(_: int, answer: Any, __: Any) -> dict[str, Any]:
    return {"step": answer["step"], "items": [one["item"] for one in answer["items"]]}
