"""A registry (bucket and table) on a moto server, for tests of publishing and loading."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.kits.aws import client, create_table, environ

from quintet.aws.artifacts import Artifacts
from quintet.aws.client import AwsClient
from quintet.aws.registry import Registry
from quintet.aws.rollouts import Rollouts
from quintet_publish.aws_registry import AwsRegistry
from quintet_publish.publisher import Publisher
from quintet_publish.registry import Registry as PublishRegistry
from quintet_publish.release import Release, prepare

_numbers = itertools.count(1)
_releases: dict[tuple[tuple[str, bytes], ...], Release] = {}


@dataclass
class RegistryServer:
    """A bucket and a table of the registry's shape, empty at first."""

    url: str
    bucket: str
    table: str

    @property
    def environ(self) -> dict[str, str]:
        """What AwsClient needs to reach it."""
        return environ(self.url)

    def client(self, service: str) -> Any:
        """A boto3 client."""
        return client(service, self.url)

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
        return publisher_to(self.written)

    @property
    def written(self) -> AwsRegistry:
        """What publishing writes to."""
        return registry_at(
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


def registry_on(url: str) -> RegistryServer:
    """A new registry on a moto server."""
    number = next(_numbers)
    made = RegistryServer(url, f"registry-{number}", f"registry-{number}")
    made.client("s3").create_bucket(Bucket=made.bucket)
    create_table(url, made.table, "model", "item")
    return made


def registry_at(s3: Any, dynamodb: Any, *, bucket: str, table: str) -> AwsRegistry:
    """What publishing writes to, through boto3's clients of a local server."""
    routes = Rollouts(AwsClient("dynamodb", environ=environ(dynamodb.meta.endpoint_url)), table)
    return AwsRegistry(s3, dynamodb, bucket=bucket, table=table, routes=routes)


def publisher_to(registry: PublishRegistry) -> Publisher:
    """A publisher called "test", at the moment 1,000."""
    return Publisher(registry, author=lambda: "test", clock=lambda: 1_000.0)


def release_of(folder: Path) -> Release:
    """The release of a package, made without a word, and once for each content."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    content = tuple((str(path.relative_to(folder)), path.read_bytes()) for path in files)
    if content not in _releases:
        _releases[content] = prepare(folder, lambda step, detail: None)
    return _releases[content]
