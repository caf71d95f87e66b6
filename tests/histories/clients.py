"""Clients of a local AWS, each a thread that asks, and records what it was told."""

from __future__ import annotations

import random
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
import urllib3
from tests.histories.history import Operation, Recorder
from tests.histories.stage import Stage

__all__ = ["Client", "Clock", "World", "run_all"]

Clock = Callable[[], float]
TIMEOUT = urllib3.Timeout(connect=5, read=30)


@dataclass
class World:
    """What clients share: the stage, the record, and when they end."""

    stage: Stage
    recorder: Recorder
    seed: int
    ended: threading.Event = field(default_factory=threading.Event)
    #: what clients learn and others use: versions by model
    known: dict[str, list[int]] = field(default_factory=dict)


class Client:
    """Does something again and again; `step` is one round."""

    #: seconds between two rounds
    pause = 0.1

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.draw = random.Random(f"{world.seed} {name}")
        self._pool = urllib3.PoolManager(timeout=TIMEOUT, retries=False)

    def run(self) -> None:
        """Go on until the world ends; while no server answers, wait."""
        while not self.world.ended.is_set():
            if self.world.stage.up.wait(0.2):
                self._step()
            self.world.ended.wait(self.pause * self.draw.uniform(0.5, 1.5))

    def _step(self) -> None:
        """One round, that fails only by an answer that is none."""
        began = time.monotonic()
        try:
            self.step()
        except Exception:
            told = {"problem": traceback.format_exc()[-2000:]}
            broken = Operation("broken", self.name, began, time.monotonic(), None, told)
            self.world.recorder.add(broken)

    def step(self) -> None:
        """One round."""
        raise NotImplementedError

    def ask(
        self,
        does: str,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        *,
        tells: Callable[[int, Any, Mapping[str, str]], dict[str, Any]] = lambda *_: {},
        **told: Any,
    ) -> Operation:
        """Ask the API once and record it; `tells` is what an answer below 300 tells beside."""
        began, status, servers = time.monotonic(), None, self.world.stage.servers
        kind = {"Content-Type": "application/json", **(headers or {})}
        try:
            answer = self._pool.request(
                method,
                self.world.stage.local.api_url + path,
                body=None if body is None else orjson.dumps(body),
                headers=kind,
            )
            status = answer.status
            ended = time.monotonic()
            if status < 300:
                told |= tells(status, orjson.loads(answer.data), answer.headers)
            else:
                told["problem"] = answer.data.decode("utf-8", "replace")[:300]
        except (urllib3.exceptions.HTTPError, OSError):
            ended = time.monotonic()
        return self._record(Operation(does, self.name, began, ended, status, told), servers)

    def call(self, does: str, action: Callable[[], Any], **told: Any) -> Operation:
        """Do something through an AWS client, and record whether it was done."""
        began, status, servers = time.monotonic(), None, self.world.stage.servers
        try:
            found = action()
            status = 200
            if isinstance(found, Mapping):
                told |= found
        except Exception as error:  # the server may have ended at any moment
            told["problem"] = f"{type(error).__name__}: {error}"[:300]
        ended = time.monotonic()
        return self._record(Operation(does, self.name, began, ended, status, told), servers)

    def _record(self, operation: Operation, servers: int) -> Operation:
        """Record it; as not answered if another server has been started since it began.

        A thread that had no processor for so long may have asked either of them.
        """
        if self.world.stage.servers != servers:
            operation = replace(operation, status=None)
        return self.world.recorder.add(operation)


def run_all(clients: list[Client]) -> list[threading.Thread]:
    """Start them, each in a thread; `World.ended` ends them."""
    threads = [threading.Thread(target=one.run, name=one.name, daemon=True) for one in clients]
    for thread in threads:
        thread.start()
    return threads
