"""A canary of two real versions on the local AWS: every path, and switches under load."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import orjson
import pytest
import urllib3
from onnx import helper
from tests.kits import models
from tests.kits.local_aws import LocalAws, eventually
from tests.kits.streams import METER

from quintet.contract import Capture
from quintet.rollouts import transitions
from quintet.rollouts.store import Cause
from quintet.serving.model_cache import ROUTE_SECONDS
from quintet.serving.routing import bucket

NAME, ROLLOUT = "routed", "router-1"
CONTRACT = replace(METER, name=NAME, capture=Capture(), stream=None, alert=None)
ROWS = {**models.ROWS["log"], "meter": ["m1"]}
METERS = [f"m{number}" for number in range(8)]
#: what a route's cache may keep a version that the table no longer names, and a request's time
SECONDS = 10.0


def graph(factor: float) -> bytes:
    """The logarithms of `factor` times x + y, and of `factor` times x - y."""
    weights = np.array([[factor, factor], [factor, -factor]], dtype=np.float32)
    nodes = [
        helper.make_node("MatMul", ["XY", "weights"], ["both"]),
        helper.make_node("Log", ["both"], ["logs"]),
    ]
    return models.graph_of(CONTRACT, nodes, weights=weights)


def version_of(meter: str, share: float = 0.5) -> int:
    return 2 if bucket(NAME, ROLLOUT, meter) < share else 1


@pytest.fixture(scope="module")
def local(local_aws: LocalAws) -> Iterator[LocalAws]:
    """The local AWS with version 1 live, and version 2 published."""
    for version in (1, 2):
        contract = replace(CONTRACT, version=version)
        models.publish_graph(contract, graph(float(version)), ROWS, local_aws.registry)
    yield local_aws


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


@pytest.fixture
def callers(local: LocalAws) -> Iterator[list[Caller]]:
    """Two callers at work."""
    found = [Caller(local) for _ in range(2)]
    threads = [threading.Thread(target=one.run) for one in found]
    for thread in threads:
        thread.start()
    yield found
    for one in found:
        one.ended.set()
    for thread in threads:
        thread.join()


def test_no_request_is_lost_and_none_is_answered_by_a_version_that_is_gone(
    local: LocalAws, callers: list[Caller]
) -> None:
    """While a canary begins, grows, is rolled back, begins again, and is promoted."""
    routes, cause = local.registry.routes, Cause(at=1.0, by="test", reason="a test")
    named: list[tuple[float, set[int]]] = [(0.0, {1})]

    def change(made: Any, versions: set[int]) -> None:
        assert routes.write(made)
        named.append((time.monotonic(), versions))

    def all_say(expected: list[int]) -> None:
        eventually(lambda: ask(local).json().get("versions") == expected or None, SECONDS)

    def begin(rollout: str) -> None:
        begun = transitions.start(
            routes.read(NAME), 2, cause, id=rollout, steps=[0.5, 1.0], shadow=False
        )
        change(begun, {1, 2})

    begin(ROLLOUT)
    all_say([version_of(meter) for meter in METERS])
    # an environment that read the route before accepts jobs without the rollout
    answered = eventually(lambda: versions_of_job(local))
    assert answered == [version_of(meter) for meter in METERS]
    send_records(local)
    change(transitions.advance(routes.read(NAME), cause), {1, 2})
    all_say([2] * len(METERS))
    change(transitions.roll_back(routes.read(NAME), cause), {1})
    gone = time.monotonic() + ROUTE_SECONDS + 1
    eventually(lambda: len([one for one in callers[0].seen if one.asked > gone]) > 3 or None)
    begin("router-2")
    change(transitions.promote(routes.read(NAME), cause, verdict="", force=True), {2})
    eventually(lambda: ask(local).json()["version"] == 2 or None, SECONDS)

    assert [one.lost for one in callers] == [[], []]
    until = [*(at for at, _ in named[1:]), float("inf")]
    for one in [answer for caller in callers for answer in list(caller.seen)]:
        expected = [np.log(2.0 * version) for version in one.versions]
        assert one.values == pytest.approx(expected, rel=1e-5)
        earliest = one.asked - SECONDS
        allowed = [
            versions
            for (since, versions), end in zip(named, until, strict=True)
            if since <= one.answered and end >= earliest
        ]
        assert set(one.versions) <= set().union(*allowed)
        if one.answered < named[2][0]:  # at half: an entity's version, or the one before
            for meter, version in zip(METERS, one.versions, strict=True):
                assert version in (1, version_of(meter))
        if gone < one.asked and one.answered < named[4][0]:
            assert set(one.versions) == {1}
    check_stream(local)


def versions_of_job(local: LocalAws) -> list[int] | None:
    """The versions that answered the rows of a job that is accepted now; None without a rollout."""
    job = ask(local, Prefer="respond-async").json()["id"]

    def done() -> Any:
        found = urllib3.request("GET", f"{local.api_url}/jobs/{job}").json()
        return found if found["state"] == "DONE" else None

    result = eventually(done)["result"]["body"]
    versions: list[int] | None = result.get("versions")
    expected = [np.log(2.0 * version) for version in versions or [1] * len(METERS)]
    assert [p["logs"][0] for p in result["predictions"]] == pytest.approx(expected, rel=1e-5)
    return versions


def send_records(local: LocalAws) -> None:
    """Put a record of each meter into the stream."""
    rows = [{"meter": meter, "x": 2.0} for meter in METERS]
    local.client("kinesis").put_record(
        StreamName=local.outputs["EventsStreamName"],
        PartitionKey="one",
        Data=orjson.dumps({"model": NAME, "records": rows}),
    )


def check_stream(local: LocalAws) -> None:
    """Each row has the score of the version that it names."""

    def scored() -> Any:
        found = [
            urllib3.request("GET", f"{local.api_url}/scores/{NAME}/{meter}").json()
            for meter in METERS
        ]
        return found if all("version" in one for one in found) else None

    for one in eventually(scored):
        assert one["version"] in (1, 2)
        assert one["outputs"]["logs"][0] == pytest.approx(np.log(2.0 * one["version"]), rel=1e-5)
