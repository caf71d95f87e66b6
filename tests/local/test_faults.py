"""A fault plan at work: each fault happens when the seed says so, and shows as it does on AWS."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.kits.local_aws import FREE_PORTS, ROOT, LocalAws, eventually, start_local_aws

from quintet_local.faults import call_fate, kill_after, late_by, parse

CALLS = 24
SERVICES = {"dynamodb": "UpdateItem", "s3": "PUT", "sqs": "SendMessage"}
RATES = {"errors": 0.2, "throttles": 0.2, "lost_replies": 0.2}
GIVEN: dict[str, Any] = {
    "seed": 11,
    "calls": dict.fromkeys(SERVICES, RATES),
    "duplicates": 0.5,
    "kills": {"share": 0.5, "functions": ["Victim"]},
    "streams": {"failures": 0.4, "duplicates": 0.2},
}
PLAN = parse(GIVEN)
#: what botocore makes of each fate
SHOWN = {
    ("dynamodb", "error"): "InternalServerError",
    ("dynamodb", "throttle"): "ProvisionedThroughputExceededException",
    ("s3", "error"): "InternalError",
    ("s3", "throttle"): "SlowDown",
    ("sqs", "error"): "InternalError",
    ("sqs", "throttle"): "RequestThrottled",
}

TEMPLATE = """
Transform: AWS::Serverless-2016-10-31
Globals: {Function: {Runtime: python3.13, Handler: index.handler, Timeout: 20}}
Resources:
  Caller:
    Type: AWS::Serverless::Function
    Properties:
      Environment: {Variables: {TABLE: !Ref Table, BUCKET: !Ref Bucket, QUEUE: !Ref Sent}}
      InlineCode: |
        import os
        import boto3
        from botocore.config import Config
        from botocore.exceptions import ClientError, ConnectionClosedError
        once = Config(retries={"max_attempts": 0})
        dynamodb, s3, sqs = (boto3.client(s, config=once) for s in ("dynamodb", "s3", "sqs"))
        def dynamodb_call(number):
            add = {"UpdateExpression": "ADD calls :one"}
            values = {":one": {"N": "1"}}
            dynamodb.update_item(TableName=os.environ["TABLE"], Key={"id": {"S": "a"}},
                                 ExpressionAttributeValues=values, **add)
        def s3_call(number):
            s3.put_object(Bucket=os.environ["BUCKET"], Key=str(number), Body=b"x" * 100_000)
        def sqs_call(number):
            sqs.send_message(QueueUrl=os.environ["QUEUE"], MessageBody="x")
        def handler(event, context):
            shown = []
            for number in range(event["calls"]):
                try:
                    globals()[event["service"] + "_call"](number)
                    shown.append(None)
                except ClientError as error:
                    shown.append(error.response["Error"]["Code"])
                except ConnectionClosedError:
                    shown.append("lost_reply")
            return shown
  Taker:
    Type: AWS::Serverless::Function
    Properties:
      InlineCode: |
        def handler(event, context):
            for record in event["Records"]:
                print("took", record["messageId"])
      Events: {Taken: {Type: SQS, Properties: {Queue: !GetAtt Taken.Arn, BatchSize: 2}}}
  Victim:
    Type: AWS::Serverless::Function
    Properties:
      InlineCode: |
        import time
        def handler(event, context):
            time.sleep(0.6)
            return "alive"
  Summed:
    Type: AWS::Serverless::Function
    Properties:
      InlineCode: |
        def handler(event, context):
            count = event["state"].get("count", 0) + len(event["Records"])
            if event["isFinalInvokeForWindow"]:
                print("sum", event["window"]["start"], count)
            for record in event["Records"]:
                print("got", record["kinesis"]["sequenceNumber"])
            return {"state": {"count": count}}
      Events: {Read: {Type: Kinesis, Properties: {Stream: !GetAtt Read.Arn, BatchSize: 10,
        StartingPosition: TRIM_HORIZON, TumblingWindowInSeconds: 1,
        BisectBatchOnFunctionError: true}}}
  Read: {Type: AWS::Kinesis::Stream, Properties: {ShardCount: 1}}
  Table:
    Type: AWS::DynamoDB::Table
    Properties:
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{AttributeName: id, AttributeType: S}]
      KeySchema: [{AttributeName: id, KeyType: HASH}]
  Bucket: {Type: AWS::S3::Bucket}
  Sent: {Type: AWS::SQS::Queue}
  Taken: {Type: AWS::SQS::Queue, Properties: {QueueName: taken}}
Outputs:
  Table: {Value: !Ref Table}
  Bucket: {Value: !Ref Bucket}
  SentUrl: {Value: !Ref Sent}
  TakenUrl: {Value: !Ref Taken}
  Read: {Value: !Ref Read}
"""


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    folder = tmp_path_factory.mktemp("faulty")
    (folder / "template.yaml").write_text(TEMPLATE)
    (folder / "plan.json").write_text(json.dumps(GIVEN))
    options = (*FREE_PORTS, "--faults", str(folder / "plan.json"))
    local = start_local_aws(folder / "state", folder / "template.yaml", options=options)
    yield local
    local.stop()


def invoke(local: LocalAws, function: str, event: Any) -> tuple[Any, str | None]:
    """What a call gives, and the error that Lambda tells of."""
    client = local.client("lambda")
    answer = client.invoke(
        FunctionName=f"quintet-local-{function}", Payload=json.dumps(event).encode()
    )
    return json.load(answer["Payload"]), answer.get("FunctionError")


def fates(service: str) -> list[str | None]:
    return [call_fate(PLAN, service, SERVICES[service], n) for n in range(1, CALLS + 1)]


def happened(local: LocalAws) -> dict[str, int]:
    with urllib.request.urlopen(f"{local.endpoint_url}/_quintet/health") as answer:
        counts: dict[str, int] = json.load(answer)["faults"]["happened"]
    return counts


@pytest.mark.parametrize("service", SERVICES)
def test_calls_of_functions_meet_the_plans_fates_in_order(faulty: LocalAws, service: str) -> None:
    shown, error = invoke(faulty, "Caller", {"service": service, "calls": CALLS})
    assert error is None
    assert shown == [SHOWN.get((service, fate or ""), fate) for fate in fates(service)]
    assert {*fates(service)} == {None, "error", "throttle", "lost_reply"}
    counts = happened(faulty)
    for fate in ("error", "throttle", "lost_reply"):
        assert counts[f"{service}.{fate}"] == fates(service).count(fate)
    # a lost reply's call was carried out; one that failed was not
    carried_out = sum(fate in (None, "lost_reply") for fate in fates(service))
    assert COUNT[service](faulty) == carried_out


def _items(local: LocalAws) -> int:
    key, table = {"id": {"S": "a"}}, local.outputs["Table"]
    item = local.client("dynamodb").get_item(TableName=table, Key=key)["Item"]
    return int(item["calls"]["N"])


def _objects(local: LocalAws) -> int:
    listed = local.client("s3").list_objects_v2(Bucket=local.outputs["Bucket"])
    return int(listed["KeyCount"])


def _messages(local: LocalAws) -> int:
    name = "ApproximateNumberOfMessages"
    got = local.client("sqs").get_queue_attributes(
        QueueUrl=local.outputs["SentUrl"], AttributeNames=[name]
    )
    return int(got["Attributes"][name])


COUNT = {"dynamodb": _items, "s3": _objects, "sqs": _messages}


def test_calls_from_outside_are_left_alone(faulty: LocalAws) -> None:
    before = happened(faulty)
    for _ in range(CALLS):
        faulty.client("s3").list_objects_v2(Bucket=faulty.outputs["Bucket"])
        faulty.client("dynamodb").describe_table(TableName=faulty.outputs["Table"])
    assert happened(faulty) == before


def test_messages_come_a_second_time(faulty: LocalAws) -> None:
    sqs, url = faulty.client("sqs"), faulty.outputs["TakenUrl"]
    sent = [sqs.send_message(QueueUrl=url, MessageBody="x")["MessageId"] for _ in range(10)]
    twice = sum(late_by(PLAN, "taken", n) is not None for n in range(1, 11))
    assert 0 < twice < 10

    def took() -> Counter[str]:
        words = [line.split() for line in faulty.logs("Taker").splitlines() if "took" in line]
        return Counter(line[-1] for line in words)

    eventually(lambda: took().total() == 10 + twice)
    assert set(took()) == {*sent}
    assert Counter(took().values()) == {1: 10 - twice, 2: twice}
    assert happened(faulty)["sqs.duplicate"] == twice


def test_batches_of_a_stream_fail_and_come_twice_but_its_windows_are_exact(
    faulty: LocalAws,
) -> None:
    entries = [{"Data": b"x", "PartitionKey": "k"}] * 300
    put = faulty.client("kinesis").put_records(StreamName=faulty.outputs["Read"], Records=entries)

    def said(what: str) -> list[list[str]]:
        lines = [line.split() for line in faulty.logs("Summed").splitlines()]
        return [line[line.index(what) :] for line in lines if what in line]

    # the last call of a window may be repeated, with the same state
    eventually(lambda: sum(int(n) for n in {w: n for _, w, n in said("sum")}.values()) == 300)
    assert len({(window, count) for _, window, count in said("sum")}) == len(
        {window for _, window, _ in said("sum")}
    )
    got = Counter(number for _, number in said("got"))
    assert set(got) == {record["SequenceNumber"] for record in put["Records"]}
    assert max(got.values()) > 1
    counts = happened(faulty)
    assert all(counts[f"kinesis.{fate}"] for fate in ("not_called", "answer_lost", "twice"))


def test_environments_are_killed_in_the_middle_of_calls(faulty: LocalAws) -> None:
    outcomes = [invoke(faulty, "Victim", {}) for _ in range(6)]
    killed = [kill_after(PLAN, "Victim", n) is not None for n in range(1, 7)]
    assert {*killed} == {True, False}
    assert [error is not None for _, error in outcomes] == killed
    for answer, error in outcomes:
        if error is None:
            assert answer == "alive"
        else:
            assert answer["errorType"] == "Runtime.ExitError"
            assert answer["errorMessage"].endswith("Runtime exited with error: signal: killed")
    assert happened(faulty)["kill"] == sum(killed)


@pytest.mark.parametrize(
    ("plan", "text"),
    [
        ('{"duplicates": 2}', "duplicates: expected a share from 0 to 1, got 2"),
        (
            '{"kills": {"share": 0.1, "functions": ["Nobody"]}}',
            "the fault plan kills Nobody: no such function",
        ),
    ],
)
def test_a_plan_that_cannot_be_followed_ends_the_start(
    tmp_path: Path, plan: str, text: str
) -> None:
    (tmp_path / "template.yaml").write_text(TEMPLATE)
    (tmp_path / "plan.json").write_text(plan)
    command = [sys.executable, "-m", "quintet_local", *FREE_PORTS]
    for option, name in (("state", "s"), ("template", "template.yaml"), ("faults", "plan.json")):
        command += [f"--{option}", str(tmp_path / name)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 1
    assert ran.stderr.startswith("error: ")
    said = ran.stderr.splitlines()
    assert said[0].endswith(text)
    assert said[1:] == []  # `quintet up` says its own words again
