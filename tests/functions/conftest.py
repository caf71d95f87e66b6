"""moto's services, the template's tables and buckets in them, and the online kit's models."""

from __future__ import annotations

import io
import itertools
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from arro3 import io as arrow_io
from tests.kits import models, streams
from tests.kits.aws import client, create_table, environ, forget_built, load_app, moto_server
from tests.kits.jobs import table_properties

from quintet.aws.client import AwsClient
from quintet.aws.features import entity_key
from quintet.aws.windows import WindowTable
from quintet.contract import Contract


@dataclass
class OnlineAws:
    """What `predict` needs of AWS, and its environment."""

    url: str
    environ: dict[str, str] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        """A boto3 client."""
        return client(service, self.url)

    def create(self) -> None:
        """Make the tables and the bucket, with the keys of template.yaml."""
        tables = {"registry": ("model", "item"), "features": ("entity",)}
        tables["candidates"] = ("user", "run")
        for table, keys in tables.items():
            create_table(self.url, table, *keys)
        for table, resource in (("jobs", "JobsTable"), ("endpoints", "EndpointsTable")):
            self.client("dynamodb").create_table(TableName=table, **table_properties(resource))
        for bucket in ("registry-bucket", "payloads-bucket", "captures-bucket"):
            self.client("s3").create_bucket(Bucket=bucket)
        self.environ = {
            **environ(self.url),
            "QUINTET_STAGE": "test",
            "QUINTET_AUTH": "none",
            "QUINTET_REGISTRY_BUCKET": "registry-bucket",
            "QUINTET_REGISTRY_TABLE": "registry",
            "QUINTET_FEATURES_TABLE": "features",
            "QUINTET_CANDIDATES_TABLE": "candidates",
            "QUINTET_JOBS_TABLE": "jobs",
            "QUINTET_ENDPOINTS_TABLE": "endpoints",
            "QUINTET_PAYLOADS_BUCKET": "payloads-bucket",
            "QUINTET_WORK_QUEUE_URL": self.queue("work"),
            "QUINTET_NOTIFY_QUEUE_URL": self.queue("notify"),
            "QUINTET_JOB_RETENTION_DAYS": "7",
            "POWERTOOLS_SERVICE_NAME": "predict",
            "POWERTOOLS_METRICS_NAMESPACE": "Quintet",
        }

    def queue(self, name: str) -> str:
        """A queue of that name; its URL."""
        url: str = self.client("sqs").create_queue(QueueName=name)["QueueUrl"]
        return url

    def publish(self, contract: Contract) -> None:
        """Publish a model of the kit."""
        models.publish(
            contract, self.client("s3"), self.client("dynamodb"), "registry-bucket", "registry"
        )

    def put_features(
        self, key: str, entity: str, values: Mapping[str, float], age: float = 60
    ) -> None:
        """Store features that are `age` seconds old."""
        item: dict[str, Any] = {"entity": {"S": entity_key(key, entity)}}
        for name, value in values.items():
            item[name] = {"N": str(value)}
            item[f"{name}@"] = {"N": str(time.time() - age)}
        self.client("dynamodb").put_item(TableName="features", Item=item)


@pytest.fixture(scope="session")
def online_aws() -> Iterator[OnlineAws]:
    """moto with the kit's models published."""
    with moto_server() as url:
        aws = OnlineAws(url)
        aws.create()
        for contract in models.CONTRACTS.values():
            aws.publish(contract)
        yield aws


Handler = Callable[[dict[str, Any], object], dict[str, Any]]


@contextmanager
def fresh_handler(
    environ: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, function: str = "predict"
) -> Iterator[Handler]:
    """A function's handler as a new execution environment has it."""
    for name in [name for name in os.environ if name.startswith(("QUINTET_", "AWS_"))]:
        monkeypatch.delenv(name)
    for name, value in {**environ, "POWERTOOLS_SERVICE_NAME": function}.items():
        monkeypatch.setenv(name, value)
    forget_built(function)
    yield load_app(function).handler
    forget_built(function)


Ask = Callable[..., models.Answer]
Predict = Ask


def _ask(handler: Handler) -> Ask:
    def ask(
        method: str,
        path: str,
        body: bytes | str = b"",
        headers: Mapping[str, str] | None = None,
        **context: Any,
    ) -> models.Answer:
        event = models.event(method, path, body, headers, **context)
        return models.Answer.of(handler(event, None))

    return ask


@pytest.fixture
def predict(online_aws: OnlineAws, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ask]:
    """predict's handler in a fresh environment: call it with method, path, body, headers."""
    with fresh_handler(online_aws.environ, monkeypatch) as handler:
        yield _ask(handler)


@pytest.fixture
def submit(online_aws: OnlineAws, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ask]:
    """submit's handler in a fresh environment."""
    with fresh_handler(online_aws.environ, monkeypatch, "submit") as handler:
        yield _ask(handler)


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

    def objects(self) -> list[str]:
        found = self.aws.client("s3").list_objects_v2(Bucket=self.bucket)
        return [item["Key"] for item in found.get("Contents", [])]

    def body(self, key: str) -> bytes:
        body: bytes = self.aws.client("s3").get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return body

    def predictions(self) -> list[dict[str, Any]]:
        """The rows of all predictions."""
        rows: list[dict[str, Any]] = []
        for key in self.objects():
            if key.startswith("predictions/"):
                found = arrow_io.read_parquet(io.BytesIO(self.body(key))).read_all()
                columns = {name: found[name].to_pylist() for name in found.column_names}
                values = zip(*columns.values(), strict=True)
                rows += [dict(zip(columns, row, strict=True)) for row in values]
        return rows

    def latest(self, meter: str) -> dict[str, Any]:
        """The item of a meter's latest score."""
        dynamodb, table = self.aws.client("dynamodb"), self.environ["QUINTET_SCORES_TABLE"]
        key = {"entity": {"S": f"log#meter#{meter}"}}
        item: dict[str, Any] = dynamodb.get_item(TableName=table, Key=key)["Item"]
        return item

    def publish(self, contract: Contract) -> None:
        """Publish another model of the kits."""
        bucket, table = (self.environ[f"QUINTET_REGISTRY_{name}"] for name in ("BUCKET", "TABLE"))
        models.publish(contract, self.aws.client("s3"), self.aws.client("dynamodb"), bucket, table)

    def windows(self) -> WindowTable:
        """The windows that are stored."""
        tables = (self.environ[f"QUINTET_{name}_TABLE"] for name in ("STREAM", "FEATURES"))
        return WindowTable(AwsClient("dynamodb"), *tables)

    def alerts(self) -> list[dict[str, Any]]:
        """What was published to the topic."""
        sqs, url = self.aws.client("sqs"), self.environ["ALERTS_QUEUE_URL"]
        found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        return [json.loads(json.loads(message["Body"])["Message"]) for message in found]

    def quarantine(self) -> list[dict[str, Any]]:
        """The lines of all quarantines."""
        return [
            json.loads(line)
            for key in self.objects()
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
        "QUINTET_CAPTURES_BUCKET": f"captures-{number}",
        "QUINTET_COMPARE_QUEUE_URL": online_aws.queue(f"compare-{number}"),
    }
    dynamodb, s3 = online_aws.client("dynamodb"), online_aws.client("s3")
    for resource in ("RegistryTable", "StreamTable", "ScoresTable", "FeaturesTable"):
        variable = f"QUINTET_{resource.removesuffix('Table').upper()}_TABLE"
        dynamodb.create_table(TableName=names[variable], **table_properties(resource))
    s3.create_bucket(Bucket=names["QUINTET_STREAM_BUCKET"])
    s3.create_bucket(Bucket=names["QUINTET_CAPTURES_BUCKET"])
    s3.create_bucket(Bucket=f"stream-registry-{number}")
    streams.publish(streams.METER, s3, dynamodb, f"stream-registry-{number}")
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
