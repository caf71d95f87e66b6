"""score_stream, from Lambda's event to what is stored and sent, on moto's services."""

from __future__ import annotations

import base64
import io
import itertools
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from arro3 import io as arrow_io
from tests import streamkit
from tests.functions.conftest import OnlineAws, fresh_handler
from tests.jobskit import table_properties
from tests.streamkit import NOW, data, event, reading, sequence

_numbers = itertools.count(1)


@dataclass
class StreamAws:
    """The stream's resources on moto, and the function in a fresh environment."""

    aws: OnlineAws
    environ: dict[str, str]
    handler: Any

    @property
    def bucket(self) -> str:
        return self.environ["QUINTET_STREAM_BUCKET"]

    def keys(self) -> list[str]:
        found = self.aws.client("s3").list_objects_v2(Bucket=self.bucket)
        return [item["Key"] for item in found.get("Contents", [])]

    def body(self, key: str) -> bytes:
        body: bytes = self.aws.client("s3").get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return body

    def predictions(self) -> list[dict[str, Any]]:
        """The rows of all predictions."""
        rows: list[dict[str, Any]] = []
        for key in self.keys():
            if key.startswith("predictions/"):
                found = arrow_io.read_parquet(io.BytesIO(self.body(key))).read_all()
                columns = {name: found[name].to_pylist() for name in found.column_names}
                values = zip(*columns.values(), strict=True)
                rows += [dict(zip(columns, row, strict=True)) for row in values]
        return rows

    def quarantine(self) -> list[dict[str, Any]]:
        """The lines of all quarantines."""
        return [
            json.loads(line)
            for key in self.keys()
            if key.startswith("quarantine/")
            for line in self.body(key).splitlines()
        ]


@pytest.fixture
def stream_aws(online_aws: OnlineAws, monkeypatch: pytest.MonkeyPatch) -> Iterator[StreamAws]:
    number = next(_numbers)
    names = {
        "QUINTET_REGISTRY_TABLE": f"stream-registry-{number}",
        "QUINTET_STREAM_BUCKET": f"stream-{number}",
        "QUINTET_STREAM_TABLE": f"stream-{number}",
        "QUINTET_SCORES_TABLE": f"scores-{number}",
        "QUINTET_FEATURES_TABLE": f"stream-features-{number}",
    }
    dynamodb, s3 = online_aws.client("dynamodb"), online_aws.client("s3")
    for resource in ("RegistryTable", "StreamTable", "ScoresTable", "FeaturesTable"):
        variable = f"QUINTET_{resource.removesuffix('Table').upper()}_TABLE"
        dynamodb.create_table(TableName=names[variable], **table_properties(resource))
    s3.create_bucket(Bucket=names["QUINTET_STREAM_BUCKET"])
    s3.create_bucket(Bucket=f"stream-registry-{number}")
    streamkit.publish(streamkit.METER, s3, dynamodb, f"stream-registry-{number}")
    sns = online_aws.client("sns")
    topic = sns.create_topic(Name=f"alerts-{number}")["TopicArn"]
    queue = online_aws.queue(f"alerts-{number}")
    sqs = online_aws.client("sqs")
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn["Attributes"]["QueueArn"])
    environ = {
        **online_aws.environ,
        **names,
        "QUINTET_REGISTRY_BUCKET": f"stream-registry-{number}",
        "QUINTET_MODEL_MEMORY_MB": "256",
        "QUINTET_ALERTS_TOPIC_ARN": topic,
        "QUINTET_STREAM_MODEL": "log",
        "ALERTS_QUEUE_URL": queue,
    }
    with fresh_handler(environ, monkeypatch, "score_stream") as handler:
        yield StreamAws(online_aws, environ, handler)


def test_a_batch_is_scored_kept_and_gathered(
    stream_aws: StreamAws, capsys: pytest.CaptureFixture[str]
) -> None:
    records = [data(reading(x=2.0)), data(reading("m2", 9.0), reading("m2", 3.0)), b"{broken"]
    answer = stream_aws.handler(event(records, window=NOW), None)
    assert answer["batchItemFailures"] == []
    place = "date=2027-01-15/hour=08/events.shardId-000000000000-"
    assert stream_aws.keys() == [
        f"predictions/log/{place}{sequence(0)}.parquet",
        f"quarantine/{place}{sequence(2)}.jsonl",
    ]
    rows = stream_aws.predictions()
    assert [(r["sequence"], r["row"], r["meter"], r["arrived"]) for r in rows] == [
        (sequence(0), 0, "m1", NOW),
        (sequence(1), 0, "m2", NOW),
        (sequence(1), 1, "m2", NOW),
    ]
    assert [r["logs_0"] for r in rows] == pytest.approx([math.log(x) for x in (2, 9, 3)], rel=1e-6)
    assert {r["model_version"] for r in rows} == {1}
    (line,) = stream_aws.quarantine()
    assert base64.b64decode(line.pop("data")) == b"{broken"
    reasons = line.pop("reasons")
    assert line == {
        "shard": "events/shardId-000000000000",
        "sequence": sequence(2),
        "row": None,
        "model": None,
        "partition_key": "key-2",
        "arrived": NOW,
    }
    assert [(r["field"], r["expected"]) for r in reasons] == [
        ("data", "JSON in UTF-8 with finite numbers")
    ]
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (scored,) = [line for line in lines if line.get("message") == "scored"]
    assert (scored["records"], scored["rows"]) == (3, {"log:1": 3})
