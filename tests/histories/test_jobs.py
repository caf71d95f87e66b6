"""What a client of jobs and their endpoint record."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from standardwebhooks import Webhook
from tests.histories.history import Operation, Recorder
from tests.histories.jobs import Jobs, Listener

SECRET = "whsec_aGlzdG9yaWVz"
AGO = 100


def test_a_webhook_counts_as_of_when_it_was_signed(tmp_path: Path) -> None:
    """However late this process gets to it: its server may have been killed meanwhile."""
    recorder = Recorder(tmp_path / "history.jsonl")
    listener = Listener(recorder)
    listener.secrets.append(SECRET)
    body = json.dumps({"data": {"job": "j1", "state": "FAILED"}})
    signed = int(time.time()) - AGO
    signature = Webhook(SECRET).sign("w1", datetime.fromtimestamp(signed, UTC), body)
    headers = {
        "webhook-id": "w1",
        "webhook-timestamp": str(signed),
        "webhook-signature": signature,
    }
    assert listener.take(headers, body.encode()) == 204
    recorder.close()
    (heard,) = recorder.operations
    assert heard.ended - heard.began >= AGO
    assert (heard.told["job"], heard.told["verified"], listener.heard) == ("j1", True, {"j1"})


class Scripted(Jobs):
    """A client that is answered so, one after the other."""

    def __init__(self, *statuses: int) -> None:
        world: Any = SimpleNamespace(seed=1)
        super().__init__(world, "ann")
        self.rows["k1"] = [2.0, 1.0]
        self._statuses = list(statuses)
        self.asked: list[str] = []

    def ask(self, does: str, *_: Any, **__: Any) -> Operation:
        status = self._statuses.pop(0)
        self.asked.append(does)
        told = {202: {"job": "j1"}, 200: {"state": "DONE"}}.get(status, {})
        return Operation(does, self.name, 10, 11, status, told)


def test_a_submission_that_was_not_accepted_is_repeated_at_the_end() -> None:
    """It may have made a job, also of a key from before the last kill: its webhook comes."""
    client = Scripted(502, 503, 202, 200)
    client._submit("k1")
    assert not client.settle(since=20)
    assert client.settle(since=20)
    assert client.asked == ["submit", "submit", "submit", "look"]
    assert client.settle(since=20)
