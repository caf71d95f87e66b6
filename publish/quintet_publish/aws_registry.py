"""The registry on AWS: a bucket of files and a table of versions, through boto3."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from quintet.aws.registry import ROUTE, version_key
from quintet.manifest import Manifest, prefix
from quintet.rollouts.store import RolloutStore
from quintet_publish.registry import Claim, Listed

__all__ = ["AwsRegistry"]

#: why DynamoDB cancels a transaction that may be repeated after another look
REFUSED = {"ConditionalCheckFailed", "TransactionConflict"}


class AwsRegistry:
    """See `quintet_publish.registry.Registry`; every write is conditional."""

    def __init__(
        self, s3: Any, dynamodb: Any, *, bucket: str, table: str, routes: RolloutStore
    ) -> None:
        self.routes = routes
        self._s3 = s3
        self._dynamodb = dynamodb
        self._bucket = bucket
        self._table = table

    def add(self, key: str, content: bytes) -> bytes:
        """See `Files.add`."""
        try:
            self._s3.put_object(Bucket=self._bucket, Key=key, Body=content, IfNoneMatch="*")
        except ClientError as error:
            if _code(error) not in ("PreconditionFailed", "ConditionalRequestConflict"):
                raise
            stored: bytes = self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read()
            return stored
        return content

    # ---- versions -------------------------------------------------------------------------------

    def claim(self, model: str, version: int, digest: str) -> Claim:
        """See `Versions.claim`."""
        item = {"version": {"N": str(version)}, "digest": {"S": digest}}
        return _claim(self._add_item(model, version_key(version), item))

    def find(self, model: str, version: int) -> Claim | None:
        """See `Versions.find`."""
        item = self._get(model, version_key(version))
        return _claim(item) if item else None

    def seal(self, manifest: Manifest, seal: str, size: int) -> None:
        """See `Versions.seal`."""
        self._dynamodb.update_item(
            TableName=self._table,
            Key=_at(manifest.name, version_key(manifest.version)),
            UpdateExpression="SET seal = :seal, #size = :size, created = :created",
            ExpressionAttributeNames={"#size": "size"},  # a reserved word
            ExpressionAttributeValues={
                ":seal": {"S": seal},
                ":size": {"N": str(size)},
                ":created": {"S": manifest.created},
            },
        )

    def listed(self, model: str | None = None) -> list[Listed]:
        """See `Registry.listed`."""
        wanted: dict[str, Any] = {"TableName": self._table, "ConsistentRead": True}
        if model is not None:
            wanted["KeyConditionExpression"] = "#model = :model"
            wanted["ExpressionAttributeNames"] = {"#model": "model"}
            wanted["ExpressionAttributeValues"] = {":model": {"S": model}}
        pages = self._dynamodb.get_paginator("query" if model else "scan").paginate(**wanted)
        items = [item for page in pages for item in page["Items"]]
        live = {i["model"]["S"]: int(i["live"]["N"]) for i in items if i["item"]["S"] == ROUTE}
        return [
            Listed(
                model=item["model"]["S"],
                version=int(item["version"]["N"]),
                digest=item["digest"]["S"],
                size=int(item["size"]["N"]),
                created=item["created"]["S"],
                live=live.get(item["model"]["S"]) == int(item["version"]["N"]),
                withdrawn=item.get("withdrawn", {"S": ""})["S"],
                deleted=item.get("deleted", {"S": ""})["S"],
            )
            for item in items
            if "seal" in item or "deleted" in item
        ]

    # ---- retirement -----------------------------------------------------------------------------

    def withdraw(self, model: str, version: int, moment: str, revision: int) -> bool:
        """See `Retirement.withdraw`."""
        as_read = {
            "TableName": self._table,
            "Key": _at(model, ROUTE),
            "ConditionExpression": "revision = :revision",
            "ExpressionAttributeValues": {":revision": {"N": str(revision)}},
        }
        update = {
            "TableName": self._table,
            "Key": _at(model, version_key(version)),
            "UpdateExpression": "SET withdrawn = if_not_exists(withdrawn, :moment)",
            "ConditionExpression": "attribute_exists(created)",
            "ExpressionAttributeValues": {":moment": {"S": moment}},
        }
        return self._together({"ConditionCheck": as_read}, {"Update": update})

    def remove(self, model: str, version: int) -> int:
        """See `Retirement.remove`."""
        pages = self._s3.get_paginator("list_object_versions").paginate(
            Bucket=self._bucket, Prefix=prefix(model, version)
        )
        removed = 0
        for page in pages:
            found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
            for one in found:
                self._s3.delete_object(
                    Bucket=self._bucket, Key=one["Key"], VersionId=one["VersionId"]
                )
            removed += len(found)
        return removed

    def forget(self, model: str, version: int, moment: str) -> None:
        """See `Retirement.forget`."""
        self._dynamodb.update_item(
            TableName=self._table,
            Key=_at(model, version_key(version)),
            UpdateExpression="SET deleted = if_not_exists(deleted, :moment) REMOVE seal",
            ConditionExpression="attribute_exists(withdrawn)",
            ExpressionAttributeValues={":moment": {"S": moment}},
        )

    # ---- items ----------------------------------------------------------------------------------

    def _add_item(self, model: str, item: str, content: dict[str, Any]) -> dict[str, Any]:
        """Add an item unless its key exists; returns the stored item."""
        added = _at(model, item) | content
        try:
            self._dynamodb.put_item(
                TableName=self._table,
                Item=added,
                ConditionExpression="attribute_not_exists(#item)",
                ExpressionAttributeNames={"#item": "item"},
            )
        except ClientError as error:
            if _code(error) != "ConditionalCheckFailedException":
                raise
            return self._get(model, item)
        return added

    def _together(self, *items: dict[str, Any]) -> bool:
        """Write items in one transaction; False if a condition does not hold, or another writes."""
        try:
            self._dynamodb.transact_write_items(TransactItems=list(items))
        except ClientError as error:
            reasons = error.response.get("CancellationReasons", [])
            if not {reason.get("Code") for reason in reasons} & REFUSED:
                raise
            return False
        return True

    def _get(self, model: str, item: str) -> dict[str, Any]:
        found = self._dynamodb.get_item(
            TableName=self._table, Key=_at(model, item), ConsistentRead=True
        )
        stored: dict[str, Any] = found.get("Item", {})
        return stored


def _at(model: str, item: str) -> dict[str, Any]:
    return {"model": {"S": model}, "item": {"S": item}}


def _claim(item: dict[str, Any]) -> Claim:
    return Claim(item["digest"]["S"], "seal" in item, "withdrawn" in item)


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
