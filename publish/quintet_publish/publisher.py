"""Putting a release into the registry: immutable files, then the manifest, then the table.

Everything is conditional, so that publishers may race, die in the middle and come again:
the first to claim a version's number fixes its digest; files are only ever added; a version
is seen once its item holds the manifest's seal, which is the last write.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from quintet.errors import Conflict, NotFound, Refusal
from quintet.manifest import (
    GRAPH,
    MANIFEST,
    File,
    Manifest,
    manifest_from_json,
    prefix,
    sha256,
)
from quintet_publish.release import Release

__all__ = ["Listed", "Published", "Publisher"]


@dataclass(frozen=True, slots=True)
class Published:
    """What publishing came to: `new` is False where the version was there already."""

    new: bool
    live: int


@dataclass(frozen=True, slots=True)
class Listed:
    """A version in the list of models."""

    model: str
    version: int
    digest: str
    size: int
    created: str
    live: bool


class Publisher:
    """Writes to a registry, through boto3's clients of S3 and DynamoDB."""

    def __init__(self, s3: Any, dynamodb: Any, *, bucket: str, table: str) -> None:
        self._s3 = s3
        self._dynamodb = dynamodb
        self._bucket = bucket
        self._table = table

    def publish(self, release: Release, created: str) -> Published:
        """Store and register a release; the first version of a model becomes live by itself.

        Raises:
            Conflict: the version's number stands for other content.
        """
        model, version = release.contract.name, release.contract.version
        item = self._claim(release)
        new = "seal" not in item
        if new:
            self._complete(release, self._store(release, created))
        return Published(new, self._first_route(model, version))

    def promote(self, model: str, version: int) -> int:
        """Make a version live; returns the one that was.

        Raises:
            NotFound: there is no such version.
            Conflict: another change of the route came first.
        """
        item = self._get(model, _key(version))
        route = self._get(model, "route")
        if "seal" not in item or not route:
            raise NotFound.of("version", f"a published version of {model}", str(version))
        try:
            self._dynamodb.update_item(
                TableName=self._table,
                Key={"model": {"S": model}, "item": {"S": "route"}},
                UpdateExpression="SET live = :live, revision = revision + :one",
                ConditionExpression="revision = :revision",
                ExpressionAttributeValues={
                    ":live": {"N": str(version)},
                    ":one": {"N": "1"},
                    ":revision": route["revision"],
                },
            )
        except ClientError as error:
            if _code(error) != "ConditionalCheckFailedException":
                raise
            # a reply that was lost on its way makes boto3 send twice: then it is our own doing
            if self._get(model, "route")["live"] != {"N": str(version)}:
                raise _conflict("the route as it was read", "another change; try again") from error
        return int(route["live"]["N"])

    def models(self) -> list[Listed]:
        """All published versions, by model and number."""
        pages = self._dynamodb.get_paginator("scan").paginate(TableName=self._table)
        items = [item for page in pages for item in page["Items"]]
        live = {
            item["model"]["S"]: int(item["live"]["N"])
            for item in items
            if item["item"]["S"] == "route"
        }
        listed = [
            Listed(
                model=item["model"]["S"],
                version=int(item["version"]["N"]),
                digest=item["digest"]["S"],
                size=int(item["size"]["N"]),
                created=item["created"]["S"],
                live=live.get(item["model"]["S"]) == int(item["version"]["N"]),
            )
            for item in items
            if "seal" in item
        ]
        return sorted(listed, key=lambda found: (found.model, found.version))

    # ---- the steps of publishing ----------------------------------------------------------------

    def _claim(self, release: Release) -> dict[str, Any]:
        """Take the version's number for this digest; its item, whoever claimed it first."""
        model, version = release.contract.name, release.contract.version
        claim = {
            "model": {"S": model},
            "item": {"S": _key(version)},
            "version": {"N": str(version)},
            "digest": {"S": release.digest},
        }
        if self._put_item(claim):
            return claim
        item = self._get(model, _key(version))
        if item["digest"]["S"] != release.digest:
            raise _conflict(
                f"the content that was published as version {version} of {model}",
                "other content; raise `version` in model.yaml",
            )
        return item

    def _store(self, release: Release, created: str) -> bytes:
        """Add the files that are not there yet, then the manifest; returns what stands there."""
        model, version = release.contract.name, release.contract.version
        stored = {
            path: self._put_object(prefix(model, version) + path, content)
            for path, content in release.files.items()
        }
        for path, content in stored.items():
            if sha256(content) != release.sources.get(path, sha256(content)):
                raise _conflict(f"{path} as it is in the package", "other bytes in the registry")
        manifest = Manifest(
            name=model,
            version=version,
            digest=release.digest,
            created=created,
            sources=release.sources,
            files={path: File(sha256(body), len(body)) for path, body in stored.items()},
            contract=json.loads(stored["contract.json"]),
            golden=release.golden,
        )
        return self._put_object(prefix(model, version) + MANIFEST, manifest.to_json())

    def _complete(self, release: Release, content: bytes) -> None:
        """Seal the version's item: from here on the version is seen."""
        manifest = manifest_from_json(content)
        if manifest.digest != release.digest:
            raise _conflict("the manifest of this package", "another in the registry")
        self._dynamodb.update_item(
            TableName=self._table,
            Key={"model": {"S": manifest.name}, "item": {"S": _key(manifest.version)}},
            UpdateExpression="SET seal = :seal, #size = :size, created = :created",
            ExpressionAttributeNames={"#size": "size"},  # a reserved word
            ExpressionAttributeValues={
                ":seal": {"S": sha256(content)},
                ":size": {"N": str(manifest.files[GRAPH].size)},
                ":created": {"S": manifest.created},
            },
        )

    def _first_route(self, model: str, version: int) -> int:
        """The version that is live: this one, where the model had none."""
        route = {
            "model": {"S": model},
            "item": {"S": "route"},
            "live": {"N": str(version)},
            "revision": {"N": "1"},
        }
        if not self._put_item(route):
            route = self._get(model, "route")
        return int(route["live"]["N"])

    # ---- conditional writes ---------------------------------------------------------------------

    def _put_item(self, item: dict[str, Any]) -> bool:
        """Add an item; False where there is one."""
        try:
            self._dynamodb.put_item(
                TableName=self._table,
                Item=item,
                ConditionExpression="attribute_not_exists(#item)",
                ExpressionAttributeNames={"#item": "item"},
            )
        except ClientError as error:
            if _code(error) != "ConditionalCheckFailedException":
                raise
            return False
        return True

    def _get(self, model: str, item: str) -> dict[str, Any]:
        found = self._dynamodb.get_item(
            TableName=self._table,
            Key={"model": {"S": model}, "item": {"S": item}},
            ConsistentRead=True,
        )
        stored: dict[str, Any] = found.get("Item", {})
        return stored

    def _put_object(self, key: str, content: bytes) -> bytes:
        """Add an object; the content that is there afterwards."""
        try:
            self._s3.put_object(Bucket=self._bucket, Key=key, Body=content, IfNoneMatch="*")
        except ClientError as error:
            if _code(error) not in ("PreconditionFailed", "ConditionalRequestConflict"):
                raise
            stored: bytes = self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read()
            return stored
        return content


def _key(version: int) -> str:
    return f"version#{version:08d}"


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _conflict(expected: str, got: str) -> Conflict:
    return Conflict([Refusal(None, "version", expected, got)])
