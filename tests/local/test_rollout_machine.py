"""Whole rollouts on the local AWS, by `quintet rollout start` and traffic: up to their ends."""

from __future__ import annotations

import itertools
import json
import re
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import urllib3
from onnx import helper
from tests.kits import models
from tests.kits.local_aws import LocalAws, eventually
from typer.testing import CliRunner

from quintet.contract import Capture, Feature, Gates, Limits, RolloutRule
from quintet.rollouts.store import Change
from quintet_cli.app import app

NAME = "judged"
ROWS = 500
#: one second and a fifth a step, by the gates that compare both versions row by row
RULE = RolloutRule(
    steps=(0.5, 1.0),
    minutes=0.02,
    max_minutes=5.0,
    watch_minutes=0.02,
    gates=Gates(crashes="off", errors="off", latency="off"),
)
CONTRACT = replace(
    models.LOG,
    name=NAME,
    entity="who",
    features=(*models.LOG.features, Feature(name="who", dtype="string", source="request")),
    limits=Limits(rows=ROWS),
    capture=Capture(),
    rollout=RULE,
)


def broken_graph() -> bytes:
    """The logarithms of x + y - 30 and of x - y - 30, which some rows have not."""
    weights = np.array([[1, 1], [1, -1]], dtype=np.float32)
    nodes = [
        helper.make_node("MatMul", ["XY", "weights"], ["both"]),
        helper.make_node("Sub", ["both", "thirty"], ["less"]),
        helper.make_node("Log", ["less"], ["logs"]),
    ]
    return models.graph_of(CONTRACT, nodes, weights=weights, thirty=np.float32(30))


@pytest.fixture(scope="module")
def stage(local_aws: LocalAws) -> LocalAws:
    """The local AWS with a model of five versions: 3 fails on some rows, 5 does not load."""
    rows = {"x": [100.0, 200.0]}
    for version in (1, 2, 3, 4, 5):
        contract, graph = replace(CONTRACT, version=version), models.log_graph()
        if version in (3, 5):
            gates = replace(RULE.gates, errors="on")
            contract = replace(contract, rollout=replace(RULE, gates=gates))
        if version == 3:
            graph = broken_graph()
        models.publish_graph(contract, graph, rows, local_aws.registry)
    return local_aws


def quintet(local: LocalAws, *words: str) -> str:
    ran = CliRunner().invoke(app, ["rollout", *words, "--state", str(local.state)])
    assert ran.exit_code == 0, ran.output
    return ran.output


_entities = itertools.count()


def ask(local: LocalAws, rows: int) -> urllib3.BaseHTTPResponse:
    """The answer to a request of rows of new entities."""
    records = [{"who": f"w{next(_entities)}", "x": 1 + n % 100} for n in range(rows)]
    url = f"{local.api_url}/models/{NAME}/predict"
    return urllib3.request("POST", url, json={"records": records}, timeout=30)


def served(local: LocalAws) -> set[int]:
    """The versions that answer the rows of a request; none where the candidate fails."""
    answer = ask(local, ROWS)
    found: Any = answer.json()
    if answer.status != 200:
        return set()
    return {found["version"]} if "version" in found else set(found["versions"])


def history(local: LocalAws) -> list[Change]:
    return local.registry.routes.history(NAME)


def until_its_end(
    local: LocalAws, before: int, rows: int = ROWS, statuses: tuple[int, ...] = (200, 424)
) -> list[Change]:
    """Traffic until the rollout that is in progress ends; the changes after the first `before`.

    No request is lost: each is answered, if only with a failure of the candidate (424).
    """

    def look() -> list[Change] | None:
        assert ask(local, rows).status in statuses
        time.sleep(0.2)
        found = history(local)[before:]
        return found if found and found[-1].rollout is None else None

    return eventually(look, 60)


def all_answered_by(local: LocalAws, version: int) -> None:
    """The version alone answers within the seconds for which a route is cached."""
    assert eventually(lambda: served(local) == {version}, 10)


def test_a_good_version_is_promoted(stage: LocalAws) -> None:
    all_answered_by(stage, 1)
    before = len(history(stage))
    quintet(stage, "start", NAME, "2")
    found = until_its_end(stage, before)
    assert [(one.event, one.after["live"], one.after.get("canary_share")) for one in found] == [
        ("started", 1, None),
        ("advanced", 1, 0.5),
        ("advanced", 1, 1.0),
        ("promoted", 2, None),
        ("finished", 2, None),
    ]
    all_answered_by(stage, 2)
    assert eventually(lambda: executions(stage, found[0].after["rollout"]) == ["SUCCEEDED"])


def executions(local: LocalAws, rollout: str) -> list[str]:
    """The statuses of the executions that look at a rollout; other tests start some too."""
    client, machine = local.client("stepfunctions"), local.outputs["RolloutStateMachineArn"]
    listed = client.list_executions(stateMachineArn=machine)["executions"]
    described = (client.describe_execution(executionArn=one["executionArn"]) for one in listed)
    return [one["status"] for one in described if json.loads(one["input"])["rollout"] == rollout]


@pytest.mark.parametrize("how", [(), ("--skip-shadow",)])
def test_a_version_that_fails_on_some_rows_is_rolled_back(
    stage: LocalAws, how: tuple[str, ...]
) -> None:
    before, live = len(history(stage)), stage.registry.routes.read(NAME).route.live
    quintet(stage, "start", NAME, "3", *how)
    start, end = until_its_end(stage, before, 1 if how else ROWS)
    assert (start.event, end.event, end.cause.by) == ("started", "rolled back", "gates")
    # of requests of one row, a busy machine may see enough failures of either kind first
    first = ("errors: 1 against 0, ", "failures: 1 against 0, ")
    assert end.cause.reason.startswith(first if how else "failures: 0.3 against 0, ")
    assert {**end.after, "revision": 0} == {"live": live, "revision": 0}
    all_answered_by(stage, live)


def test_a_version_that_does_not_load_is_rolled_back_and_nobody_gets_its_failures(
    stage: LocalAws,
) -> None:
    s3, bucket = stage.client("s3"), stage.outputs["RegistryBucketName"]
    found = s3.list_objects_v2(Bucket=bucket, Prefix=f"models/{NAME}/")["Contents"]
    (graph,) = (one["Key"] for one in found if re.search(r"/0*5/.*onnx$", one["Key"]))
    s3.put_object(Bucket=bucket, Key=graph, Body=b"no graph")
    before, live = len(history(stage)), stage.registry.routes.read(NAME).route.live
    quintet(stage, "start", NAME, "5", "--skip-shadow")
    start, end = until_its_end(stage, before, 1, (200,))
    assert (start.event, end.event, end.cause.by) == ("started", "rolled back", "gates")
    assert end.cause.reason.startswith("errors: 1 against 0, ")
    all_answered_by(stage, live)


def short_lived(local: LocalAws) -> str:
    """The ARN of a state machine like the stack's, whose executions go on after one look."""
    client, own = local.client("stepfunctions"), local.outputs["RolloutStateMachineArn"]
    found = client.describe_state_machine(stateMachineArn=own)
    definition = json.loads(found["definition"])
    definition["States"]["IsHistoryLong"]["Choices"][0]["NumericGreaterThanEquals"] = 1
    text, role = json.dumps(definition), found["roleArn"]
    made = client.create_state_machine(name="short-lived", definition=text, roleArn=role)
    return str(made["stateMachineArn"])


def test_an_alarm_rolls_back_and_executions_that_go_on_as_others_end(stage: LocalAws) -> None:
    client, machine = stage.client("stepfunctions"), short_lived(stage)
    live = stage.registry.routes.read(NAME).route.live
    quintet(stage, "start", NAME, "4", "--override", "ann", "--overrides-only")
    rollout = stage.registry.routes.read(NAME).route.rollout
    given = json.dumps({"model": NAME, "rollout": rollout})
    client.start_execution(stateMachineArn=machine, input=given)

    def statuses() -> list[str]:
        found = client.list_executions(stateMachineArn=machine)["executions"]
        return [one["status"] for one in found]

    assert eventually(lambda: len(statuses()) > 2)
    detail = {"alarmName": "Errors", "state": {"value": "ALARM", "reason": "3 errors"}}
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2))
    event = {"source": "aws.cloudwatch", "time": moment, "detail": detail}
    queue = stage.outputs["RolloutQueueUrl"]
    stage.client("sqs").send_message(QueueUrl=queue, MessageBody=json.dumps(event))
    last = eventually(lambda: history(stage)[-1] if not stored_rollout(stage) else None)
    assert (last.event, last.cause.by, last.cause.reason, last.after["live"]) == (
        "rolled back",
        "alarm",
        "Errors rings: 3 errors",
        live,
    )
    assert eventually(lambda: set(statuses()) == {"SUCCEEDED"})


def stored_rollout(local: LocalAws) -> str:
    return local.registry.routes.read(NAME).route.rollout
