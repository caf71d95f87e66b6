"""capture and compare over moto's services: from log lines to evidence and shadow captures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from tests.functions.conftest import Handler, OnlineAws, fresh_handler
from tests.kits.captures import delivery, records
from tests.kits.comparing import CANDIDATE, LIVE, fragile_graph, lines_of
from tests.kits.models import NOW, ROWS, publish_graph, shop_graph
from tests.kits.registries import registry_at

from quintet.aws.captures import CaptureBucket
from quintet.aws.client import AwsClient
from quintet.aws.rollouts import Rollouts
from quintet.captures.queries import find, load
from quintet.rollouts.evidence import Evidence
from quintet.rollouts.evidence_store import EvidenceObjects
from quintet.rollouts.store import Cause
from quintet.rollouts.transitions import roll_back, start

#: the model "shop" under a name of its own: other tests publish versions of "shop"
NAME = "compared"
CONTRACTS = {one.version: replace(one, name=NAME) for one in (LIVE, CANDIDATE)}
GRAPHS = {3: shop_graph(), 4: fragile_graph()}


@dataclass
class World:
    """The functions, and what they share."""

    aws: OnlineAws
    environ: dict[str, str]
    monkeypatch: pytest.MonkeyPatch

    def call(self, function: str, event: dict[str, Any]) -> Any:
        """Call a function, as a new execution environment has it."""
        with fresh_handler(self.environ, self.monkeypatch, function) as handler:
            made: Handler = handler
            return made(event, None)

    def messages(self) -> list[dict[str, Any]]:
        """The messages in the queue, as Lambda hands them to a function."""
        sqs, url = self.aws.client("sqs"), self.environ["QUINTET_COMPARE_QUEUE_URL"]
        found: list[dict[str, Any]] = []
        while some := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            found += some
        return [message(one["Body"], one["ReceiptHandle"]) for one in found]

    def rollouts(self) -> Rollouts:
        return Rollouts(AwsClient("dynamodb", environ=self.environ), "registry")

    def bucket(self) -> CaptureBucket:
        name = self.environ["QUINTET_CAPTURES_BUCKET"]
        return CaptureBucket(AwsClient("s3", environ=self.environ), name)

    def evidence(self, rollout: str) -> Evidence:
        return EvidenceObjects(self.bucket(), self.bucket()).read(NAME, rollout)


def message(body: str, receipt: str = "none", receives: int = 1) -> dict[str, Any]:
    attributes = {"ApproximateReceiveCount": str(receives)}
    return {"messageId": body, "receiptHandle": receipt, "body": body, "attributes": attributes}


@pytest.fixture
def world(online_aws: OnlineAws, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    s3, dynamodb = online_aws.client("s3"), online_aws.client("dynamodb")
    registry = registry_at(s3, dynamodb, bucket="registry-bucket", table="registry")
    for version, contract in CONTRACTS.items():
        publish_graph(contract, GRAPHS[version], ROWS["shop"] | {"visits": [0.0]}, registry)
    s3.create_bucket(Bucket="compared-captures")
    environ = {
        **online_aws.environ,
        "QUINTET_CAPTURES_BUCKET": "compared-captures",
        "QUINTET_COMPARE_QUEUE_URL": online_aws.queue("compare"),
        "QUINTET_COMPARE_DEAD_LETTERS_URL": online_aws.queue("compare-dead"),
        "QUINTET_COMPARE_TIMEOUT_SECONDS": "30",
        "QUINTET_MODEL_MEMORY_MB": "64",
        "QUINTET_ANSWER_TIMEOUTS": "30,60",
    }
    made = World(online_aws, environ, monkeypatch)
    yield made
    stored = made.rollouts().read(NAME)
    if stored.rollout is not None:
        made.rollouts().write(roll_back(stored, Cause(at=NOW, by="test")))


def begin(world: World, rollout: str) -> None:
    stored = world.rollouts().read(NAME)
    cause = Cause(at=NOW - 60, by="test")
    assert world.rollouts().write(start(stored, 4, cause, id=rollout, steps=(0.1, 1.0)))


def captured(event: str, rollout: str, amounts: list[float]) -> list[str]:
    rows = [{"customer": "c1", "amount": amount} for amount in amounts]
    route = f"{rollout}#-1"
    return lines_of(CONTRACTS[3], GRAPHS[3], event, rows, route="live", rollout=route)


def test_captures_in_shadow_become_evidence_and_captures_of_the_candidate(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    begin(world, "r1")
    lines = [*captured("e1", "r1", [100, 0]), *captured("e2", "r1", [5])]
    world.call("capture", delivery(lines))
    world.call("capture", delivery(lines))  # CloudWatch Logs delivers twice
    messages = world.messages()
    assert len(messages) == 2
    capsys.readouterr()
    answer = world.call("compare", {"Records": [*messages, message("no key", receives=21)]})
    assert answer == {"batchItemFailures": []}
    logged = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (line,) = (one for one in logged if one.get("message") == "compared")
    assert (line["compared_rows_count"], line["paired_rows_count"]) == (3, 3)
    found = world.evidence("r1")
    assert found.event.tolist() == ["e1", "e1", "e2"]
    assert found.paired.tolist() == [True] * 3
    assert found.candidate_failed.tolist() == [False, True, False]
    names = ("event", "row", "version", "route", "outcome")
    tables = load(world.bucket(), find(world.bucket(), NAME))
    assert sorted(row for rows in tables for row in records(rows, *names)) == [
        ("e1", 0, 3, "live", "scored"),
        ("e1", 0, 4, "shadow", "scored"),
        ("e1", 1, 3, "live", "scored"),
        ("e1", 1, 4, "shadow", "failed"),
        ("e2", 0, 3, "live", "scored"),
        ("e2", 0, 4, "shadow", "scored"),
    ]
    dead = world.environ["QUINTET_COMPARE_DEAD_LETTERS_URL"]
    (letter,) = world.aws.client("sqs").receive_message(QueueUrl=dead)["Messages"]
    assert letter["Body"] == "no key"


def test_the_beginnings_of_requests_are_evidence_without_a_comparison(world: World) -> None:
    line = {"capture": 1, "begun": 1, "event": "b1", "event_time": NOW, "request_id": "q"}
    line |= {"model": NAME, "version": 4, "route": "canary", "rollout": "r2#0", "entity": "0f"}
    world.call("capture", delivery([json.dumps(line)]))
    assert world.messages() == []
    found = world.evidence("r2")
    assert (found.event.tolist(), found.begun.tolist(), found.entity.tolist()) == (
        ["b1"],
        [True],
        [15],
    )


def test_captures_without_a_rollout_cost_no_message(world: World) -> None:
    lines = lines_of(CONTRACTS[3], GRAPHS[3], "e3", [{"customer": "c1", "amount": 1}])
    world.call("capture", delivery(lines))
    assert world.messages() == []


def test_what_cannot_be_compared_now_is_returned(world: World) -> None:
    begin(world, "r4")
    world.call("capture", delivery(captured("e4", "r4", [1])))
    messages = world.messages()
    world.environ["QUINTET_REGISTRY_TABLE"] = "no-such-table"
    answer = world.call("compare", {"Records": messages})
    assert answer == {
        "batchItemFailures": [{"itemIdentifier": one["messageId"]} for one in messages]
    }
