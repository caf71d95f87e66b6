"""moto's services, the template's tables and buckets in them, and the online kit's models."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests import onlinekit
from tests.aws_kit import client, create_table, environ, load_app, moto_server
from tests.jobskit import table_properties
from tests.registries import RegistryServer

from quintet.aws.features import entity_key
from quintet.contract import Contract
from quintet.wiring import jobs as _jobs
from quintet.wiring import predict as _predict
from quintet.wiring import stream as _stream


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
        tables = {"registry": ("model", "item"), "features": ("entity",), "breaker": ("id",)}
        for table, keys in tables.items():
            create_table(self.url, table, *keys)
        for table, resource in (("jobs", "JobsTable"), ("endpoints", "EndpointsTable")):
            self.client("dynamodb").create_table(TableName=table, **table_properties(resource))
        for bucket in ("registry-bucket", "payloads-bucket"):
            self.client("s3").create_bucket(Bucket=bucket)
        self.environ = {
            **environ(self.url),
            "QUINTET_STAGE": "test",
            "QUINTET_REGISTRY_BUCKET": "registry-bucket",
            "QUINTET_REGISTRY_TABLE": "registry",
            "QUINTET_FEATURES_TABLE": "features",
            "QUINTET_BREAKER_TABLE": "breaker",
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

    @property
    def registry(self) -> RegistryServer:
        """Its registry."""
        return RegistryServer(self.url, "registry-bucket", "registry")

    def publish(self, contract: Contract) -> None:
        """Publish a model of the kit."""
        onlinekit.publish(
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
        for contract in onlinekit.CONTRACTS.values():
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
    # Powertools keeps one logger a service, bound to the stdout of its first use
    logging.root.manager.loggerDict.pop(function, None)
    _forget_built()
    yield load_app(function).handler
    _forget_built()


def _forget_built() -> None:
    for module in (_predict, _jobs, _stream):
        for builder in vars(module).values():
            if hasattr(builder, "cache_clear"):
                builder.cache_clear()


Ask = Callable[..., onlinekit.Answer]
Predict = Ask


def _ask(handler: Handler) -> Ask:
    def ask(
        method: str,
        path: str,
        body: bytes | str = b"",
        headers: Mapping[str, str] | None = None,
        **context: Any,
    ) -> onlinekit.Answer:
        event = onlinekit.event(method, path, body, headers, **context)
        return onlinekit.Answer.of(handler(event, None))

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
