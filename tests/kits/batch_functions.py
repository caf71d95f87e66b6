"""The batch functions' handlers over moto's services, with the tiny model published."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from tests.kits.aws import (
    ROOT,
    client,
    create_table,
    environ,
    forget_built,
    load_app,
    moto_server,
)
from tests.kits.batch import publish
from tests.kits.registries import publisher_to, registry_at

from quintet.aws.client import AwsClient

MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:batch"

Handler = Callable[[dict[str, Any], object], dict[str, Any]]


@dataclass(frozen=True)
class BatchAws:
    """Buckets, the registry's table and a state machine."""

    url: str

    def client(self, service: str) -> Any:
        """A boto3 client."""
        return client(service, self.url)

    def signed(self, service: str) -> AwsClient:
        """The functions' own client."""
        return AwsClient(service, environ=environ(self.url), sleep=lambda seconds: None)

    def create(self) -> None:
        """Make what the functions need."""
        s3 = self.client("s3")
        for bucket in ("inbox", "scores", "batch-registry"):
            s3.create_bucket(Bucket=bucket)
        s3.put_bucket_versioning(Bucket="inbox", VersioningConfiguration={"Status": "Enabled"})
        self.client("sqs").create_queue(QueueName="drop-dead")
        dynamodb = self.client("dynamodb")
        for table, keys in (
            ("batch-registry", ("model", "item")),
            ("batch-features", ("entity",)),
            ("batch-endpoints", ("endpoint",)),
            ("batch-candidates", ("user", "run")),
        ):
            # moto keeps its state for the process: another module's tests may have made it
            with contextlib.suppress(dynamodb.exceptions.ResourceInUseException):
                create_table(self.url, table, *keys)
        waits = {"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 60, "End": True}}}
        self.client("stepfunctions").create_state_machine(
            name="batch", definition=json.dumps(waits), roleArn="arn:aws:iam::123456789012:role/r"
        )

    def dead_letters(self, name: str) -> list[str]:
        """The bodies of the messages on a queue; they are taken away."""
        sqs, found = self.client("sqs"), []
        url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
        while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                found.append(message["Body"])
        return found

    def publish(self) -> None:
        """Publish the tiny model."""
        registry = registry_at(
            self.client("s3"),
            self.client("dynamodb"),
            bucket="batch-registry",
            table="batch-registry",
        )
        publish(publisher_to(registry))

    def objects(self, prefix: str) -> dict[str, bytes]:
        """What the scores bucket holds under a prefix."""
        s3 = self.client("s3")
        listed = s3.list_objects_v2(Bucket="scores", Prefix=prefix).get("Contents", [])
        return {
            found["Key"]: s3.get_object(Bucket="scores", Key=found["Key"])["Body"].read()
            for found in listed
        }


@contextmanager
def serving() -> Iterator[BatchAws]:
    """moto, with what the functions need."""
    with moto_server() as url:
        aws = BatchAws(url)
        aws.create()
        yield aws


@contextmanager
def function(name: str, aws: BatchAws, monkeypatch: pytest.MonkeyPatch) -> Iterator[Handler]:
    """A function's handler as a new execution environment has it."""
    for variable in [v for v in os.environ if v.startswith(("QUINTET_", "AWS_"))]:
        monkeypatch.delenv(variable)
    variables = {
        **environ(aws.url),
        "POWERTOOLS_SERVICE_NAME": name,
        "POWERTOOLS_METRICS_NAMESPACE": "Quintet",
        "QUINTET_STAGE": "test",
        "QUINTET_AUTH": "none",
        "QUINTET_REGISTRY_BUCKET": "batch-registry",
        "QUINTET_REGISTRY_TABLE": "batch-registry",
        "QUINTET_INBOX_BUCKET": "inbox",
        "QUINTET_SCORES_BUCKET": "scores",
        "QUINTET_CAPTURES_BUCKET": "captures",
        "QUINTET_FEATURES_TABLE": "batch-features",
        "QUINTET_CANDIDATES_TABLE": "batch-candidates",
        "QUINTET_ENDPOINTS_TABLE": "batch-endpoints",
        "QUINTET_STATE_MACHINE_ARN": MACHINE,
        "QUINTET_DROP_DEAD_LETTERS_URL": f"{aws.url}/123456789012/drop-dead",
        "QUINTET_UNIT_BYTES": "400",
        "QUINTET_UNIT_MEMORY_MB": "1769",
        "QUINTET_SCORES_DATABASE": "quintet_test",
    }
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    forget_built(name)
    yield load_app(name).handler
    forget_built(name)


def event(name: str) -> dict[str, Any]:
    """One of the events of events/."""
    found: dict[str, Any] = json.loads((ROOT / "events" / f"{name}.json").read_text())
    return found
