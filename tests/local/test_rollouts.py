"""A rollout by hand on the local AWS: answers follow the route, and a rollback leaves no trace."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from urllib.request import Request, urlopen

from tests.kits import models
from tests.kits.aws import environ
from tests.kits.local_aws import LocalAws, eventually
from typer.testing import CliRunner

from quintet.aws.captures import CaptureBucket
from quintet.aws.client import AwsClient
from quintet.contract import Capture
from quintet.rollouts import transitions
from quintet.rollouts.evidence import Evidence
from quintet.rollouts.evidence_store import EvidenceObjects
from quintet.rollouts.store import Cause
from quintet_cli.app import app

NAME = "handrolled"
CONTRACT = replace(models.LOG, name=NAME, capture=Capture())
CAUSE = Cause(at=1_000.0, by="test", reason="by hand")


def quintet(local: LocalAws, *words: str) -> str:
    """The output of a `quintet rollout` command."""
    ran = CliRunner().invoke(app, ["rollout", *words, "--state", str(local.state)])
    assert ran.exit_code == 0, ran.output
    return ran.output


def route_item(local: LocalAws) -> dict[str, Any]:
    """The stored item of the route."""
    found: dict[str, Any] = local.client("dynamodb").get_item(
        TableName=local.outputs["RegistryTableName"],
        Key={"model": {"S": NAME}, "item": {"S": "route"}},
        ConsistentRead=True,
    )["Item"]
    return found


def answered_by(local: LocalAws, version: str) -> bool | None:
    """True if that version alone answers a request now; every request is answered."""
    body = json.dumps({"records": [{"x": 2.0}]}).encode()
    request = Request(f"{local.api_url}/models/{NAME}/predict", body)
    with urlopen(request, timeout=30) as answer:
        assert answer.status == 200
        return str(answer.headers["X-Quintet-Version"]) == version or None


def evidence_of_a_record(local: LocalAws) -> Evidence | None:
    """The evidence of a record of the stream that began and ended during the rollout."""
    data = json.dumps({"model": NAME, "records": [{"x": 2.0}]}).encode()
    stream = local.outputs["EventsStreamName"]
    local.client("kinesis").put_record(StreamName=stream, PartitionKey="one", Data=data)
    client = AwsClient("s3", environ=environ(local.endpoint_url))
    bucket = CaptureBucket(client, local.outputs["CapturesBucketName"])
    known = EvidenceObjects(bucket, bucket).read(NAME, "r1")
    for event in {one for one in known.event.tolist() if "shardId" in one}:
        found = known.take(known.event == event)
        if sorted(found.begun.tolist()) == [False, True]:
            return found
    return None


def test_answers_follow_the_route_and_a_rollback_leaves_the_item_as_it_was(
    local_aws: LocalAws,
) -> None:
    routes = local_aws.registry.routes
    for version in (1, 2):
        contract = replace(CONTRACT, version=version)
        rows = models.ROWS["log"]
        models.publish_graph(contract, models.log_graph(), rows, local_aws.registry)
    before = route_item(local_aws)
    assert answered_by(local_aws, "1")
    begun = transitions.start(
        routes.read(NAME), 2, CAUSE, id="r1", steps=[1.0], shadow=False, overrides={"ann": 1}
    )
    assert routes.write(begun)
    assert eventually(lambda: answered_by(local_aws, "2"), 10)
    assert "version 2 as canary at 100 %, step 1 of 1" in quintet(local_aws, "status", NAME)
    found = eventually(lambda: evidence_of_a_record(local_aws))
    assert (found.candidate.tolist(), found.step.tolist()) == ([True, True], [0, 0])
    quintet(local_aws, "pause", NAME)
    quintet(local_aws, "rollback", NAME, "--reason", "seen enough")
    assert route_item(local_aws) == {**before, "revision": {"N": "4"}}
    assert eventually(lambda: answered_by(local_aws, "1"), 10)
    found = json.loads(quintet(local_aws, "history", NAME, "--json"))
    assert [(one["event"], one["cause"]["reason"]) for one in found] == [
        ("published", ""),
        ("started", "by hand"),
        ("paused", ""),
        ("rolled back", "seen enough"),
    ]
    assert json.loads(quintet(local_aws, "status", NAME, "--json")) == {
        "route": {"live": 1, "revision": 4},
        "rollout": None,
        "verdict": None,
        "promise": None,
        "running": None,
    }
