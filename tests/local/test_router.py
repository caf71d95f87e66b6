"""A canary of two real versions on the local AWS: every path, and switches under load."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson
import pytest
import urllib3
from tests.kits.local_aws import LocalAws, eventually
from tests.kits.switched import METERS, NAME, Caller, Switches, ask, calling, publish

from quintet.rollouts import transitions
from quintet.rollouts.store import Cause
from quintet.serving.model_cache import ROUTE_SECONDS
from quintet.serving.routing import bucket

ROLLOUT = "router-1"
#: what a route's cache may keep a version that the table no longer names, and a request's time
SECONDS = 10.0


def version_of(meter: str, share: float = 0.5) -> int:
    return 2 if bucket(NAME, ROLLOUT, meter) < share else 1


@pytest.fixture(scope="module")
def local(local_aws: LocalAws) -> LocalAws:
    """The local AWS with version 1 live, and version 2 published."""
    publish(local_aws)
    return local_aws


@pytest.fixture
def callers(local: LocalAws) -> Iterator[list[Caller]]:
    """Two callers at work."""
    with calling(local, 2) as found:
        yield found


def test_no_request_is_lost_and_none_is_answered_by_a_version_that_is_gone(
    local: LocalAws, callers: list[Caller]
) -> None:
    """While a canary begins, grows, is rolled back, begins again, and is promoted."""
    routes, cause = local.registry.routes, Cause(at=1.0, by="test", reason="a test")
    switches = Switches()
    named = switches.named

    def change(made: Any, versions: set[int]) -> None:
        assert routes.write(made)
        switches.note(versions)

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
    answers = [one for caller in callers for one in list(caller.seen)]
    assert switches.overdue(answers, SECONDS) == []
    for one in answers:
        expected = [np.log(2.0 * version) for version in one.versions]
        assert one.values == pytest.approx(expected, rel=1e-5)
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
        found = urllib3.request("GET", f"{local.api_url}/jobs/{job}", timeout=30).json()
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
            urllib3.request("GET", f"{local.api_url}/scores/{NAME}/{meter}", timeout=30).json()
            for meter in METERS
        ]
        return found if all("version" in one for one in found) else None

    for one in eventually(scored):
        assert one["version"] in (1, 2)
        assert one["outputs"]["logs"][0] == pytest.approx(np.log(2.0 * one["version"]), rel=1e-5)
