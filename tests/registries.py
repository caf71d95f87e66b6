"""A registry (bucket and table) on a moto server, for tests of publishing and loading."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import boto3
from moto.server import ThreadedMotoServer

from quintet.aws.artifacts import Artifacts
from quintet.aws.client import AwsClient
from quintet.aws.registry import Registry
from quintet_cli.publisher import Publisher
from quintet_cli.release import Release, prepare

_numbers = itertools.count(1)


@dataclass
class RegistryServer:
    """A bucket and a table of the registry's shape, empty at first."""

    url: str
    bucket: str
    table: str

    @property
    def environ(self) -> dict[str, str]:
        """What AwsClient needs to reach it."""
        return {
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.url,
        }

    def client(self, service: str) -> Any:
        """A boto3 client."""
        return _client(service, self.url)

    @property
    def registry(self) -> Registry:
        """What functions read routes with."""
        return Registry(AwsClient("dynamodb", environ=self.environ), self.table)

    def artifacts(self, cache: Path | None = None) -> Artifacts:
        """What functions load versions with."""
        client = AwsClient("s3", environ=self.environ)
        return Artifacts(client, self.bucket, cache=cache, threads=1)

    @property
    def publisher(self) -> Publisher:
        """What the command publishes with."""
        return Publisher(
            self.client("s3"), self.client("dynamodb"), bucket=self.bucket, table=self.table
        )

    def state(self, folder: Path) -> Path:
        """A state folder that makes this the stage `local`."""
        folder.mkdir(parents=True, exist_ok=True)
        outputs = {"RegistryBucketName": self.bucket, "RegistryTableName": self.table}
        local = {"api_url": self.url, "endpoint_url": self.url, "outputs": outputs}
        (folder / "local.json").write_text(json.dumps(local), encoding="utf-8")
        return folder

    def objects(self) -> dict[str, bytes]:
        """Everything in the bucket, by key."""
        s3 = self.client("s3")
        keys = [o["Key"] for o in s3.list_objects_v2(Bucket=self.bucket).get("Contents", [])]
        return {key: s3.get_object(Bucket=self.bucket, Key=key)["Body"].read() for key in keys}


@cache
def _client(service: str, url: str) -> Any:
    return boto3.client(
        service,  # type: ignore[call-overload]
        endpoint_url=url,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        region_name="us-east-1",
    )


@contextmanager
def moto_server() -> Iterator[str]:
    """The address of a moto server in this process."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def registry_on(url: str) -> RegistryServer:
    """A new registry on a moto server."""
    number = next(_numbers)
    made = RegistryServer(url, f"registry-{number}", f"registry-{number}")
    made.client("s3").create_bucket(Bucket=made.bucket)
    made.client("dynamodb").create_table(
        TableName=made.table,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[
            {"AttributeName": "model", "AttributeType": "S"},
            {"AttributeName": "item", "AttributeType": "S"},
        ],
        KeySchema=[
            {"AttributeName": "model", "KeyType": "HASH"},
            {"AttributeName": "item", "KeyType": "RANGE"},
        ],
    )
    return made


def release_of(folder: Path) -> Release:
    """The release of a package, made without a word."""
    return prepare(folder, lambda step, detail: None)
