"""Two versions of a model on the local AWS, and callers who ask while its route is switched."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import orjson
import urllib3
from onnx import helper
from tests.kits import models
from tests.kits.local_aws import LocalAws
from tests.kits.streams import METER

__all__ = ["METERS", "NAME", "Caller", "Seen", "Switches", "ask", "calling", "publish"]

NAME = "routed"
#: without captures, nothing judges the rollouts, whose versions differ
CONTRACT = replace(METER, name=NAME, stream=None, alert=None)
ROWS = {**models.ROWS["log"], "meter": ["m1", "m1", "m1"]}
METERS = [f"m{number}" for number in range(8)]


def graph(factor: float) -> bytes:
    """The logarithms of `factor` times x + y, and of `factor` times x - y."""
    weights = np.array([[factor, factor], [factor, -factor]], dtype=np.float32)
    nodes = [
        helper.make_node("MatMul", ["XY", "weights"], ["both"]),
        helper.make_node("Log", ["both"], ["logs"]),
    ]
    return models.graph_of(CONTRACT, nodes, weights=weights)


def publish(local: LocalAws) -> None:
    """Publish versions 1, which is live, and 2."""
    for version in (1, 2):
        contract = replace(CONTRACT, version=version)
        models.publish_graph(contract, graph(float(version)), ROWS, local.registry)


@dataclass
class Seen:
    """When a request was sent and answered, and the version and value of each row."""

    asked: float
    answered: float
    versions: list[int]
    values: list[float]


@dataclass
class Caller:
    """Asks for the same meters again and again; `lost` are the statuses of other answers."""

    local: LocalAws
    seen: list[Seen] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Ask until `ended`."""
        with urllib3.PoolManager() as pool:
            while not self.ended.wait(0.1):
                asked = time.monotonic()
                answer = ask(self.local, pool=pool)
                if answer.status != 200:
                    self.lost.append(answer.status)
                    continue
                found = answer.json()
                versions = found.get("versions", [found["version"]] * len(METERS))
                values = [one["logs"][0] for one in found["predictions"]]
                self.seen.append(Seen(asked, time.monotonic(), versions, values))


def ask(local: LocalAws, pool: Any = urllib3, **headers: str) -> Any:
    url = f"{local.api_url}/models/{NAME}/predict"
    rows = [{"meter": meter, "x": 2.0} for meter in METERS]
    kind = {"Content-Type": "application/json"}
    body = orjson.dumps({"records": rows})
    return pool.request("POST", url, body=body, headers=kind | headers, retries=False)


@contextmanager
def calling(local: LocalAws, many: int) -> Iterator[list[Caller]]:
    """So many callers at work."""
    found = [Caller(local) for _ in range(many)]
    threads = [threading.Thread(target=one.run) for one in found]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        for one in found:
            one.ended.set()
        for thread in threads:
            thread.join()


@dataclass
class Switches:
    """The versions that the table named, each set from a moment on."""

    named: list[tuple[float, set[int]]] = field(default_factory=lambda: [(0.0, {1})])

    def note(self, versions: set[int]) -> None:
        """The table names these versions from now on."""
        self.named.append((time.monotonic(), versions))

    def overdue(self, seen: Sequence[Seen], seconds: float) -> list[Seen]:
        """The answers of a version that the table did not name any more for so long before they
        were asked for."""
        until = [*(at for at, _ in self.named[1:]), float("inf")]
        spans = [(since, end, vs) for (since, vs), end in zip(self.named, until, strict=True)]
        return [
            one
            for one in seen
            if not set(one.versions)
            <= set().union(
                *(
                    vs
                    for since, end, vs in spans
                    if since <= one.answered and end >= one.asked - seconds
                )
            )
        ]
