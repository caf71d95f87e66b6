"""Clients that submit jobs under keys, look at them, and hear of their ends."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from typing import Any

from tests.histories.clients import Client, World
from tests.histories.history import Operation, Recorder
from tests.histories.job_rules import SETTLED

from quintet_cli.receiver import Received, Receiver

__all__ = ["ENDPOINT", "MODEL", "Jobs", "Listener"]

MODEL = "worked"
ENDPOINT = "history"
#: open jobs of a client before it looks only
MOST_OPEN = 30


class Jobs(Client):
    """Submits a job under a key until an answer has the job's id, and some jobs again."""

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world, name)
        self.number = 0
        #: of each key: its row, when it was first submitted, and its job
        self.rows: dict[str, list[float]] = {}
        self.first: dict[str, float] = {}
        self.jobs: dict[str, str] = {}
        #: keys of jobs that have not ended
        self.open: set[str] = set()
        #: keys whose latest submission was not accepted: it may have made a job all the same
        self.unsure: set[str] = set()

    def step(self) -> None:
        """Submit one, submit an earlier one again, or look."""
        drawn = self.draw.random()
        if drawn < 0.4 and len(self.open) < MOST_OPEN:
            self.number += 1
            key = f"{self.name}-{self.number}"
            self.rows[key] = [2.0 + self.draw.randrange(50), 1.0]
            self._submit(key)
        elif drawn < 0.55 and self.rows:
            self._submit(self.draw.choice(list(self.rows)))
        elif self.jobs:
            some = list(self.open) if self.open and drawn < 0.9 else list(self.jobs)
            self._look(self.draw.choice(some))

    def settle(self, since: float) -> bool:
        """Look at the jobs that were first submitted since then; whether all have ended.

        Whatever job a webhook may come of is known then, too.
        """
        keys = {key for key, at in self.first.items() if at > since}
        for key in sorted(keys | self.unsure):
            if key not in self.jobs or key in self.unsure:
                self._submit(key)
            if key in self.open:
                self._look(key)
        ended = all(key in self.jobs and key not in self.open for key in keys)
        return ended and not self.unsure

    def _submit(self, key: str) -> None:
        x, y = self.rows[key]
        headers = {
            "Prefer": "respond-async",
            "Idempotency-Key": key,
            "X-Quintet-Callback": ENDPOINT,
        }
        body = {"records": [{"meter": "m", "x": x, "y": y}]}
        path = f"/models/{MODEL}/predict"
        done = self.ask("submit", "POST", path, body, headers, tells=_accepted, key=key)
        self.first.setdefault(key, done.began)
        self.unsure.add(key)
        if done.status == 202:
            self.unsure.discard(key)
            if self.jobs.get(key) != done.told["job"]:
                self.open.add(key)
            self.jobs[key] = done.told["job"]

    def _look(self, key: str) -> Operation:
        row, job = self.rows[key], self.jobs[key]
        done = self.ask("look", "GET", f"/jobs/{job}", tells=_state, job=job, key=key, row=row)
        if done.told.get("state") in SETTLED or done.status == 404:
            self.open.discard(key)
        if done.status == 404:  # a kill has taken it: submit it again
            self.jobs.pop(key, None)
        return done


def _accepted(_: int, answer: Any, __: Mapping[str, str]) -> dict[str, Any]:
    return {"job": answer["id"]}


def _state(_: int, answer: Any, __: Mapping[str, str]) -> dict[str, Any]:
    return {"state": answer["state"], **_scored(answer.get("result", {}).get("body"))}


def _scored(result: Any) -> dict[str, Any]:
    """The version and outputs of a result in the records form."""
    if not isinstance(result, Mapping):
        return {}
    return {"version": result["version"], "outputs": result["predictions"][0]["logs"]}


class Listener(Receiver):
    """An endpoint that records what it hears, as of when it was signed.

    A webhook may be under way, or wait for this busy process, while its server is killed: what it
    tells is not what the next server knows.
    """

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(answer=self._hear)
        self._recorder = recorder
        self.heard: set[str] = set()

    def _hear(self, received: Received) -> int:
        status = 204 if received.verified else 401
        now, signed = time.monotonic(), int(received.headers["webhook-timestamp"])
        data = received.content["data"]
        told = {
            "id": received.id,
            "job": data["job"],
            "state": data["state"],
            "verified": received.verified,
            "body": hashlib.sha256(received.body).hexdigest(),
            **_scored(data.get("result")),
        }
        self.heard.add(data["job"])
        began = now - max(0.0, time.time() - signed)
        self._recorder.add(Operation("webhook", "listener", began, now, status, told))
        return status
