"""LocalStack with the template deployed, once for the session that asks for it."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from tests.kits.local_aws import ROOT, eventually
from tests.localstack import adapt
from tests.localstack.kit import STAGE, Localstack, running, said

from quintet_cli.stage import Stage

BUILD = ROOT / ".aws-sam/x86_64/build"
PROBE = Path(__file__).with_name("probe.py")
ROLE = "arn:aws:iam::000000000000:role/probe"
SECONDS = 120


@pytest.fixture(scope="session")
def localstack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Localstack]:
    """LocalStack, nothing deployed."""
    with running(tmp_path_factory.mktemp("localstack")) as started:
        yield started


@dataclass(frozen=True)
class Deployed:
    """The stage, and the template that was deployed."""

    at: Localstack
    stage: Stage
    template: Path


@pytest.fixture(scope="session")
def deployed(localstack: Localstack) -> Iterator[Deployed]:
    """The built template in LocalStack, deployed by sam deploy with samconfig.toml's stage."""
    template = adapt.write(BUILD)
    ran = localstack.deploy(template)
    assert ran.returncode == 0, said(ran)
    with pytest.MonkeyPatch.context() as patched:
        for name, value in localstack.environ.items():
            patched.setenv(name, value)
        # boto3 keeps a session of its own, made from the environment
        patched.setattr(boto3, "DEFAULT_SESSION", None)
        yield Deployed(localstack, Stage.open(STAGE), template)


@dataclass(frozen=True)
class Probe:
    """The function that tells a queue of its calls."""

    at: Localstack
    name: str
    queue: str

    def told(self, calls: int) -> list[dict[str, Any]]:
        """What it was called with, once it was called so many times."""
        sqs, found = self.at.client("sqs"), list[dict[str, Any]]()

        def look() -> list[dict[str, Any]] | None:
            received = sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10)
            for message in received.get("Messages", []):
                found.append(json.loads(message["Body"]))
                sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"])
            return found if len(found) >= calls else None

        return eventually(look, SECONDS)

    def read(self, stream: str, records: int, poison: int, **mapping: Any) -> None:
        """Have it read a new stream, in one batch of records."""
        kinesis = self.at.client("kinesis")
        kinesis.create_stream(StreamName=stream, ShardCount=1)
        kinesis.get_waiter("stream_exists").wait(StreamName=stream)
        keys = ["poison" if n == poison else "good" for n in range(records)]
        entries = [{"Data": b"{}", "PartitionKey": key} for key in keys]
        kinesis.put_records(StreamName=stream, Records=entries)
        self.at.client("lambda").create_event_source_mapping(
            FunctionName=self.name,
            EventSourceArn=kinesis.describe_stream(StreamName=stream)["StreamDescription"][
                "StreamARN"
            ],
            StartingPosition="TRIM_HORIZON",
            **mapping,
        )


@pytest.fixture
def probe(localstack: Localstack, request: pytest.FixtureRequest) -> Iterator[Probe]:
    """A function of this test alone."""
    name = request.node.name.replace("_", "-")[:60]
    queue = localstack.client("sqs").create_queue(QueueName=name)["QueueUrl"]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.write(PROBE, "probe.py")
    client = localstack.client("lambda")
    client.create_function(
        FunctionName=name,
        Runtime="python3.13",
        Handler="probe.handler",
        Role=ROLE,
        Code={"ZipFile": packed.getvalue()},
        Timeout=30,
        Environment={"Variables": {"QUEUE_URL": queue}},
    )
    client.get_waiter("function_active_v2").wait(FunctionName=name)
    yield Probe(localstack, name, queue)
    client.delete_function(FunctionName=name)
