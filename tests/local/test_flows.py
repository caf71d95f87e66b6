"""What flows between services: notifications, topics, state machines, settings of resources."""

from __future__ import annotations

import json
import re
import urllib.request
from typing import Any

from tests.kits.local_aws import LocalAws, eventually


def test_a_bucket_tells_its_queue_of_new_objects(stack: LocalAws) -> None:
    s3, sqs = stack.client("s3"), stack.client("sqs")
    bucket = stack.outputs["Inbox"]
    version = s3.put_object(Bucket=bucket, Key="in/a file+é.csv", Body=b"x")["VersionId"]
    s3.put_object(Bucket=bucket, Key="elsewhere/b.csv", Body=b"x")
    s3.put_object(Bucket=bucket, Key="in/last", Body=b"x")
    bodies: list[dict[str, Any]] = []

    def all_came() -> bool:
        answer = sqs.receive_message(QueueUrl=stack.outputs["NoticesUrl"], MaxNumberOfMessages=10)
        bodies.extend(json.loads(m["Body"]) for m in answer.get("Messages", []))
        return len(bodies) >= 3

    eventually(all_came)
    test, first, last = bodies
    assert (test["Event"], test["Bucket"]) == ("s3:TestEvent", bucket)
    (record,) = first["Records"]
    assert (record["eventName"], record["eventVersion"]) == ("ObjectCreated:Put", "2.1")
    item = record["s3"]["object"]
    assert re.fullmatch("[0-9A-F]{18}", item.pop("sequencer"))
    assert item == {
        "key": "in/a+file%2B%C3%A9.csv",
        "size": 1,
        "eTag": "9dd4e461268c8034f5c8564e155c67a6",
        "versionId": version,
    }
    # the object elsewhere is not told of
    assert last["Records"][0]["s3"]["object"]["key"] == "in/last"


def test_a_topic_calls_its_function(stack: LocalAws) -> None:
    stack.client("sns").publish(TopicArn=stack.outputs["News"], Message="hello", Subject="s")
    eventually(lambda: "END RequestId" in stack.logs("Reader"))


def test_a_distributed_map_calls_functions_and_retries_and_catches(stack: LocalAws) -> None:
    s3, states = stack.client("s3"), stack.client("stepfunctions")
    units: list[dict[str, Any]] = [{"run": "r1", "unit": unit} for unit in range(6)]
    units[4]["poison"] = True
    s3.put_object(
        Bucket=stack.outputs["Inbox"], Key="units/r1.json", Body=json.dumps(units).encode()
    )
    execution = states.start_execution(
        stateMachineArn=stack.outputs["Machine"],
        name="r1",
        input=json.dumps({"units": "units/r1.json"}),
    )["executionArn"]

    def ended() -> dict[str, Any] | None:
        found: dict[str, Any] = states.describe_execution(executionArn=execution)
        return found if found["status"] != "RUNNING" else None

    found = eventually(ended, 30)
    assert found["status"] == "SUCCEEDED"
    assert json.loads(found["output"]) == [
        {"unit": 0, "tries": 1},
        {"unit": 1, "tries": 2},
        {"unit": 2, "tries": 1},
        {"unit": 3, "tries": 2},
        {"unit": 4, "refused": True},
        {"unit": 5, "tries": 2},
    ]


def test_a_call_that_a_functions_role_does_not_allow_is_told(stack: LocalAws) -> None:
    payload = json.dumps({"run": "strange", "unit": 0}).encode()
    answer = stack.client("lambda").invoke(FunctionName="quintet-local-Unit", Payload=payload)
    assert "FunctionError" not in answer
    with urllib.request.urlopen(f"{stack.endpoint_url}/_quintet/health") as page:
        told = json.load(page)["not_allowed"]
    table = f"arn:aws:dynamodb:us-east-1:123456789012:table/{stack.outputs['Table']}"
    assert f"Unit: dynamodb:UpdateItem on {table}" in told


def test_executions_without_a_name_are_each_their_own(stack: LocalAws) -> None:
    states = stack.client("stepfunctions")
    started = {
        states.start_execution(
            stateMachineArn=stack.outputs["Machine"], input='{"units": "units/none"}'
        )["executionArn"]
        for _ in range(2)
    }
    assert len(started) == 2


def test_resources_have_the_settings_of_the_template(stack: LocalAws) -> None:
    s3, sqs, dynamodb = (stack.client(name) for name in ("s3", "sqs", "dynamodb"))
    assert s3.get_bucket_versioning(Bucket=stack.outputs["Inbox"])["Status"] == "Enabled"
    attributes = sqs.get_queue_attributes(
        QueueUrl=stack.outputs["JobsUrl"], AttributeNames=["VisibilityTimeout", "RedrivePolicy"]
    )["Attributes"]
    assert attributes["VisibilityTimeout"] == "4"
    assert json.loads(attributes["RedrivePolicy"])["maxReceiveCount"] == 2
    ttl = dynamodb.describe_time_to_live(TableName=stack.outputs["Table"])
    assert ttl["TimeToLiveDescription"]["AttributeName"] == "expires"
