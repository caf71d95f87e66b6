"""The stream's event source at work: real streams, real functions, and what they get."""

from __future__ import annotations

import base64
import json
import random
import re
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from tests.kits.local_aws import LocalAws, LocalAwsFailed, eventually, start_local_aws

from quintet_local.faults import FaultError, parse, stream_fate
from quintet_local.sources.kinesis import (
    Call,
    Condition,
    Discard,
    Finished,
    Lane,
    Record,
    Wait,
    Window,
    answered,
    decide,
    gathered,
    not_called,
    room,
)
from quintet_local.sources.kinesis_answers import Answer
from quintet_local.sources.kinesis_config import Config
from quintet_local.sources.kinesis_events import Source, event, failure_record
from quintet_local.sources.kinesis_metrics import Metrics

STREAM_ARN = "arn:aws:kinesis:us-east-1:123456789012:stream/s"
SOURCE = Source("mapping", STREAM_ARN, "function-arn", "role-arn", window=30)
RECORD = Record("7", "key", b"\x00\xffdata", 1607497475.25)
IN_LAMBDAS_FORM = {
    "kinesis": {
        "kinesisSchemaVersion": "1.0",
        "partitionKey": "key",
        "sequenceNumber": "7",
        "data": "AP9kYXRh",
        "approximateArrivalTimestamp": 1607497475.25,
    },
    "eventSource": "aws:kinesis",
    "eventVersion": "1.0",
    "eventID": "shardId-000000000006:7",
    "eventName": "aws:kinesis:record",
    "invokeIdentityArn": "role-arn",
    "awsRegion": "us-east-1",
    "eventSourceARN": STREAM_ARN,
}


def test_the_event_has_lambdas_form() -> None:
    assert event(SOURCE, "shardId-000000000006", (RECORD,)) == {"Records": [IN_LAMBDAS_FORM]}


def test_the_event_of_a_window_has_lambdas_form() -> None:
    window = Window(1607497470, {"1": 282})
    assert event(SOURCE, "shardId-000000000006", (RECORD,), window) == {
        "Records": [IN_LAMBDAS_FORM],
        "window": {"start": "2020-12-09T07:04:30Z", "end": "2020-12-09T07:05:00Z"},
        "state": {"1": 282},
        "shardId": "shardId-000000000006",
        "eventSourceARN": STREAM_ARN,
        "isFinalInvokeForWindow": False,
        "isWindowTerminatedEarly": False,
    }


@pytest.mark.parametrize("early", [False, True])
def test_the_last_event_of_a_window_says_why_it_is(early: bool) -> None:
    found = event(SOURCE, "s", (), Window(0, {}, early=early), final=True)
    assert found["Records"] == []
    flags = found["isFinalInvokeForWindow"], found["isWindowTerminatedEarly"]
    assert flags == (not early, early)


def discard(
    answer: Answer | None, condition: Condition = "RetryAttemptsExhausted"
) -> dict[str, Any]:
    given = Discard((RECORD,), condition, 3, answer, None)
    found = failure_record(SOURCE, "shard", given, 1607497476.5, full=False)
    assert re.fullmatch(r"[0-9a-f-]{36}", found["requestContext"].pop("requestId"))
    return found


def test_the_record_of_a_failure_has_lambdas_form() -> None:
    assert discard(Answer(b"{}", error=True)) == {
        "requestContext": {
            "functionArn": "function-arn",
            "condition": "RetryAttemptsExhausted",
            "approximateInvokeCount": 3,
        },
        "responseContext": {
            "statusCode": 200,
            "executedVersion": "$LATEST",
            "functionError": "Unhandled",
        },
        "version": "1.0",
        "timestamp": "2020-12-09T07:04:36.500Z",
        "KinesisBatchInfo": {
            "shardId": "shard",
            "startSequenceNumber": "7",
            "endSequenceNumber": "7",
            "approximateArrivalOfFirstRecord": "2020-12-09T07:04:35.250Z",
            "approximateArrivalOfLastRecord": "2020-12-09T07:04:35.250Z",
            "batchSize": 1,
            "streamArn": STREAM_ARN,
        },
    }


@pytest.mark.parametrize("window", [None, Window(1607497470, {"1": 282})])
def test_the_document_in_s3_has_the_whole_event_as_text_beside_what_others_are_told(
    window: Window | None,
) -> None:
    """https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html."""
    given = Discard((RECORD,), "RetryAttemptsExhausted", 3, Answer(b"{}", error=True), window)
    whole, told = (
        failure_record(SOURCE, "shard", given, 1607497476.5, full=full) for full in (True, False)
    )
    for document in (whole, told):
        del document["requestContext"]["requestId"]
    assert whole == {**told, "payload": json.dumps(event(SOURCE, "shard", (RECORD,), window))}


def test_the_record_of_failures_that_were_reported_has_no_function_error() -> None:
    """As recorded from AWS: https://github.com/localstack/localstack/tree/main/tests/aws."""
    assert discard(Answer(b"{}"))["responseContext"] == {
        "statusCode": 200,
        "executedVersion": "$LATEST",
        "functionError": None,
    }


def test_the_record_of_what_was_too_old_has_no_response() -> None:
    """As recorded from AWS: https://github.com/localstack/localstack/tree/main/tests/aws."""
    found = discard(Answer(b"{}", error=True), "RecordAgeExceeded")
    assert "responseContext" not in found
    assert found["requestContext"]["approximateInvokeCount"] == 1


@pytest.mark.parametrize("seed", range(60))
def test_whatever_fails_every_record_is_done_or_given_up_and_in_order(seed: int) -> None:
    chance = random.Random(seed)
    config = Config(
        batch_size=chance.choice([1, 3, 10]),
        batch_window=chance.choice([0, 2]),
        bisect=chance.random() < 0.5,
        partial=chance.random() < 0.7,
        retries=chance.choice([0, 2, 5]),
        window=chance.choice([0, 5]),
    )
    left = [Record(str(n), "k", b"", n // 3) for n in range(60)]
    lane, now, done, given_up, sums = Lane(), 0.0, [], [], 0
    while True:
        new: list[Record] = []
        while left and left[0].arrived <= now and len(new) < room(config, lane):
            new.append(left.pop(0))
        lane = gathered(lane, tuple(new), now, 0.0 if new else now, not left)
        lane, action = decide(config, lane, now)
        if isinstance(action, Finished):
            break
        if isinstance(action, Wait):
            now += 0.5
        elif isinstance(action, Discard):
            given_up += [record.sequence for record in action.records]
        elif chance.random() < 0.1:
            lane = not_called(config, lane, action, now)
        else:
            names = [record.sequence for record in action.records]
            answer, successes = some_answer(chance, config, action, names)
            lane = answered(config, lane, action, answer, now)
            done += names[:successes]
            if action.final and successes == 0 and not answer.error:
                assert action.window is not None
                sums += action.window.state.get("count", 0)
    names = [str(n) for n in range(60)]
    assert sorted([*done, *given_up], key=int) == names
    assert done == sorted(done, key=int)
    if config.window:
        # what the windows had summed up at their ends is what was done
        assert sums == len(done)


def some_answer(
    chance: random.Random, config: Config, call: Call, names: list[str]
) -> tuple[Answer, int]:
    """An answer, and how many of the records are done with it."""
    if chance.random() < 0.3:
        return Answer(b"{}", error=True), 0
    failed = len(names)
    if config.partial and names and chance.random() < 0.4:
        failed = chance.randrange(len(names))
    count = call.window.state.get("count", 0) if call.window else 0
    items = [{"itemIdentifier": name} for name in names[failed:]]
    body = {"state": {"count": count + failed}, "batchItemFailures": items}
    return Answer(json.dumps(body).encode()), failed


# the fault plan


def test_a_share_of_the_batches_fails_and_another_comes_twice() -> None:
    plan = parse({"seed": 5, "streams": {"failures": 0.2, "duplicates": 0.1}})
    found = Counter(stream_fate(plan, "shard", number) for number in range(10_000))
    shares = {fate: round(count / 10_000, 2) for fate, count in found.items()}
    assert shares == {None: 0.7, "not_called": 0.1, "answer_lost": 0.1, "twice": 0.1}
    assert {stream_fate(parse({}), "shard", number) for number in range(100)} == {None}


def test_shares_of_a_stream_are_at_most_one_together() -> None:
    with pytest.raises(FaultError, match="streams: expected shares of at most 1 together"):
        parse({"streams": {"failures": 0.7, "duplicates": 0.7}})


# moto's Kinesis


def read_all(kinesis: Any, stream: str, shard: str) -> tuple[list[bytes], bool]:
    """What a shard has, and whether it is read to its end."""
    given = {"StreamName": stream, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"}
    iterator, found = kinesis.get_shard_iterator(**given)["ShardIterator"], []
    while iterator:
        answer = kinesis.get_records(ShardIterator=iterator, Limit=7)
        found += answer["Records"]
        iterator = answer.get("NextShardIterator")
        if not answer["MillisBehindLatest"] and not answer["Records"]:
            break
    numbers = [int(record["SequenceNumber"]) for record in found]
    assert numbers == sorted(set(numbers))
    return [record["Data"] for record in found], iterator is None


def test_records_that_are_put_at_the_same_time_are_all_kept(stack: LocalAws) -> None:
    kinesis = stack.client("kinesis")
    kinesis.create_stream(StreamName="busy", ShardCount=1)
    entries = [{"Data": b"x", "PartitionKey": "k"}] * 25
    with ThreadPoolExecutor(8) as pool:
        put = lambda _: kinesis.put_records(StreamName="busy", Records=entries)  # noqa: E731
        answers = list(pool.map(put, range(40)))
    numbers = {record["SequenceNumber"] for answer in answers for record in answer["Records"]}
    assert len(numbers) == 1000
    assert {len(number) for number in numbers} == {56}
    assert len(read_all(kinesis, "busy", "shardId-000000000000")[0]) == 1000


def test_a_split_leaves_the_records_where_they_are_and_ends_the_shard(stack: LocalAws) -> None:
    kinesis = stack.client("kinesis")
    kinesis.create_stream(StreamName="split", ShardCount=1)
    keys = [str(n) for n in range(20)]
    put = [{"Data": key.encode(), "PartitionKey": key} for key in keys]
    kinesis.put_records(StreamName="split", Records=put)
    half = str(2**127)
    given = {"StreamName": "split", "ShardToSplit": "shardId-000000000000"}
    kinesis.split_shard(**given, NewStartingHashKey=half)
    kinesis.put_records(StreamName="split", Records=put)
    names = [shard["ShardId"] for shard in kinesis.list_shards(StreamName="split")["Shards"]]
    parent, *children = (read_all(kinesis, "split", name) for name in names)
    assert parent == ([key.encode() for key in keys], True)
    assert sorted(int(d) for data, _ in children for d in data) == list(range(20))
    assert [ended for _, ended in children] == [False, False]
    arn = kinesis.describe_stream_summary(StreamName="split")["StreamDescriptionSummary"]
    given = {"ShardId": names[0], "ShardIteratorType": "TRIM_HORIZON"}
    iterator = kinesis.get_shard_iterator(StreamARN=arn["StreamARN"], **given)["ShardIterator"]
    assert len(kinesis.get_records(ShardIterator=iterator)["Records"]) == 20
    kinesis.merge_shards(StreamName="split", ShardToMerge=names[1], AdjacentShardToMerge=names[2])
    kinesis.put_records(StreamName="split", Records=put[:3])
    assert read_all(kinesis, "split", names[1])[1]
    assert read_all(kinesis, "split", "shardId-000000000003") == ([b"0", b"1", b"2"], False)


# the driver


class Seen:
    """What the functions of the stack have kept of their events."""

    def __init__(self, stack: LocalAws) -> None:
        self._s3 = stack.client("s3")
        self._bucket = stack.outputs["Seen"]

    def events(self, name: str) -> list[dict[str, Any]]:
        """The events of a function in the order of its calls."""
        return [json.loads(self.object(key))["event"] for key in self.keys(f"{name}/")]

    def keys(self, prefix: str) -> list[str]:
        pages = self._s3.get_paginator("list_objects_v2")
        found = pages.paginate(Bucket=self._bucket, Prefix=prefix)
        return [item["Key"] for page in found for item in page.get("Contents", [])]

    def object(self, key: str) -> bytes:
        body: bytes = self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        return body

    def data(self, name: str, key: str) -> list[bytes]:
        """The data of the records of a partition key, in the order of the calls."""
        return [
            base64.b64decode(record["kinesis"]["data"])
            for found in self.events(name)
            for record in found["Records"]
            if record["kinesis"]["partitionKey"] == key
        ]


@pytest.fixture(scope="module")
def seen(stack: LocalAws) -> Seen:
    return Seen(stack)


def put(stack: LocalAws, stream: str, key: str, *data: bytes) -> list[str]:
    entries = [{"Data": item, "PartitionKey": key} for item in data]
    answer = stack.client("kinesis").put_records(StreamName=stack.outputs[stream], Records=entries)
    return [record["SequenceNumber"] for record in answer["Records"]]


def test_a_poison_record_is_given_up_alone_and_stored_whole(stack: LocalAws, seen: Seen) -> None:
    data = [b"one", b"two", b"raise", b"four"]
    numbers = put(stack, "Events", "poison", *data)

    def stored() -> list[Any]:
        found = [json.loads(seen.object(key)) for key in seen.keys("aws/lambda/")]
        batches = [f for f in found if "KinesisBatchInfo" in f]
        return [f for f in batches if f["KinesisBatchInfo"]["startSequenceNumber"] == numbers[2]]

    (failure,) = eventually(stored)
    assert failure["requestContext"]["condition"] == "RetryAttemptsExhausted"
    (record,) = json.loads(failure["payload"])["Records"]
    assert base64.b64decode(record["kinesis"]["data"]) == b"raise"
    assert failure["KinesisBatchInfo"]["batchSize"] == 1
    shard = failure["KinesisBatchInfo"]["shardId"]
    pattern = rf"aws/lambda/[0-9a-f-]{{36}}/{shard}/\d{{4}}/\d\d/\d\d/[\dT.-]+-[0-9a-f-]{{36}}"
    assert any(re.fullmatch(pattern, key) for key in seen.keys("aws/lambda/"))
    eventually(lambda: seen.data("plain", "poison")[-1] == b"four")
    found = Counter(seen.data("plain", "poison"))
    assert found[b"raise"] >= 3
    assert set(found) == set(data)


def test_with_a_parallelization_factor_each_key_stays_in_order(stack: LocalAws, seen: Seen) -> None:
    keys = [f"parallel-{n}" for n in range(4)]
    data = [b"%d" % n for n in range(6)]
    for item in data:
        for key in keys:
            put(stack, "Events", key, item)
    eventually(lambda: all(len(seen.data("parallel", key)) == 6 for key in keys))
    assert [seen.data("parallel", key) for key in keys] == [data] * 4


def test_after_a_reshard_children_follow_their_parent(stack: LocalAws, seen: Seen) -> None:
    kinesis, stream = stack.client("kinesis"), stack.outputs["Events"]
    before = [b"%d" % n for n in range(20)]
    put(stack, "Events", "reshard", *before)
    shards = kinesis.list_shards(StreamName=stream)["Shards"]
    shard = max(shards, key=lambda s: int(s["HashKeyRange"]["StartingHashKey"]))
    middle = str(2**127 + 2**126)
    kinesis.split_shard(StreamName=stream, ShardToSplit=shard["ShardId"], NewStartingHashKey=middle)
    after = [b"%d" % n for n in range(20, 40)]
    put(stack, "Events", "reshard", *after)
    eventually(lambda: len(seen.data("plain", "reshard")) >= 40)
    assert seen.data("plain", "reshard") == [*before, *after]


def windows(seen: Seen, key: str) -> list[dict[str, Any]]:
    """The events from the first record of a key on, up to the end of the last window."""
    found = seen.events("windowed")
    first = next(
        (n for n, e in enumerate(found) if any(key == k for k in partition_keys(e))), len(found)
    )
    return found[first:]


def partition_keys(found: dict[str, Any]) -> list[str]:
    return [record["kinesis"]["partitionKey"] for record in found["Records"]]


def test_a_window_ends_on_time_with_the_state_of_all_its_batches(
    stack: LocalAws, seen: Seen
) -> None:
    put(stack, "Sums", "sums", *[b"x"] * 250)
    eventually(lambda: sum(finals(seen, "sums")) == 250)
    found = windows(seen, "sums")
    starts = [e["window"]["start"] for e in found]
    assert starts == sorted(starts)
    for e in found:
        stamps = [record["kinesis"]["approximateArrivalTimestamp"] for record in e["Records"]]
        start = datetime.fromisoformat(e["window"]["start"]).timestamp()
        assert all(start <= stamp < start + 1 for stamp in stamps)
    assert max(len(e["Records"]) for e in found) == 100


def finals(seen: Seen, key: str) -> list[int]:
    return [e["state"].get("count", 0) for e in windows(seen, key) if e["isFinalInvokeForWindow"]]


def test_too_much_state_ends_a_window_early(stack: LocalAws, seen: Seen) -> None:
    put(stack, "Sums", "grow", b"grow")
    eventually(lambda: any(e["isWindowTerminatedEarly"] for e in windows(seen, "grow")))
    early = next(e for e in windows(seen, "grow") if e["isWindowTerminatedEarly"])
    assert early["Records"] == []
    assert (early["state"]["count"], len(early["state"]["large"])) == (1, 1_100_000)


def test_a_queue_is_told_of_what_was_given_up_without_the_records(
    stack: LocalAws, seen: Seen
) -> None:
    numbers = put(stack, "Sums", "told", b"raise")
    url = stack.outputs["FailuresUrl"]
    sqs = stack.client("sqs")

    def told() -> Any:
        for message in sqs.receive_message(QueueUrl=url).get("Messages", []):
            body = json.loads(message["Body"])
            if body.get("KinesisBatchInfo", {}).get("startSequenceNumber") == numbers[0]:
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                return body
        return None

    body = eventually(told)
    assert "payload" not in body
    assert body["requestContext"]["approximateInvokeCount"] == 2


def metric(stack: LocalAws, name: str, dimension: str, value: str) -> dict[str, float]:
    """Sum, count and maximum of a metric so far, once it is there."""
    now, wanted = time.time(), ["Sum", "SampleCount", "Maximum"]

    def points() -> Any:
        return stack.client("cloudwatch").get_metric_statistics(
            Namespace="AWS/Lambda",
            MetricName=name,
            Dimensions=[{"Name": dimension, "Value": value}],
            StartTime=now - 600,
            EndTime=now + 600,
            Period=1200,
            Statistics=wanted,
        )["Datapoints"]

    (point, *_) = eventually(points)
    return {name: point[name] for name in wanted}


def test_the_age_of_the_iterator_is_measured(stack: LocalAws, seen: Seen) -> None:
    put(stack, "Events", "measured", b"x")
    eventually(lambda: seen.data("plain", "measured"))
    point = metric(stack, "IteratorAge", "FunctionName", "quintet-local-Plain")
    assert point["SampleCount"] >= 1
    assert 0 <= point["Maximum"] < 600_000


def test_records_are_counted_where_that_is_wanted(stack: LocalAws, seen: Seen) -> None:
    put(stack, "Events", "counted", b"raise")
    mapping = stack.outputs["PlainMapping"]
    delivered = "OnFailureDestinationDeliveredEventCount"
    dimension = "EventSourceMappingUUID"
    assert metric(stack, delivered, dimension, mapping)["Sum"] >= 1
    assert metric(stack, "DroppedEventCount", dimension, mapping)["Sum"] >= 1
    invoked = metric(stack, "InvokedEventCount", dimension, mapping)["Sum"]
    assert invoked > metric(stack, "FailedInvokeEventCount", dimension, mapping)["Sum"] >= 2


def test_the_metrics_of_a_mapping_are_cloudwatchs() -> None:
    metrics = Metrics("id", "f", {"MetricsConfig": {"Metrics": ["EventCount"]}})
    metrics.polled(3)
    metrics.called(3, 0, 1.5)
    function = [{"Name": "FunctionName", "Value": "f"}]
    mapping = [{"Name": "EventSourceMappingUUID", "Value": "id"}]
    age = {"MetricName": "IteratorAge", "Values": [1500.0], "Unit": "Milliseconds"}
    assert metrics.take() == [
        {**age, "Dimensions": function},
        {"MetricName": "PolledEventCount", "Dimensions": mapping, "Value": 3, "Unit": "Count"},
        {"MetricName": "InvokedEventCount", "Dimensions": mapping, "Value": 3, "Unit": "Count"},
    ]
    assert metrics.take() == []
    uncounted = Metrics("id", "f", {})
    uncounted.polled(3)
    assert uncounted.take() == []


def test_a_mapping_that_lambda_refuses_stops_the_start(tmp_path: Path) -> None:
    template = tmp_path / "template.yaml"
    template.write_text(
        """
Transform: AWS::Serverless-2016-10-31
Resources:
  S: {Type: AWS::Kinesis::Stream, Properties: {ShardCount: 1}}
  F:
    Type: AWS::Serverless::Function
    Properties:
      {Runtime: python3.13, Handler: index.handler, InlineCode: "handler = print", Events: {S: {
        Type: Kinesis, Properties: {Stream: !GetAtt S.Arn, StartingPosition: LATEST,
        ParallelizationFactor: 2, TumblingWindowInSeconds: 5}}}}
"""
    )
    with pytest.raises(LocalAwsFailed, match="FS: ParallelizationFactor: must be 1"):
        start_local_aws(tmp_path / "state", template)
