"""Registered endpoints in two tables: one that the API may read, one with URLs and secrets.

API functions check an endpoint's id and callers; only `notify` may read its URL and secrets.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from quintet.aws.client import AwsClient
from quintet.aws.dynamodb import ConditionFailed, Table
from quintet.webhooks.endpoints import Endpoint, Secret, UnknownEndpoint, changed

__all__ = ["EndpointTable"]


class EndpointTable:
    """Reads and writes the endpoint tables; an endpoint is in both tables or in neither."""

    def __init__(self, client: AwsClient, table: str, secrets: str) -> None:
        self._table = Table(client, table, resend_writes=False)
        self._secrets = Table(client, secrets, resend_writes=False)

    def get(self, endpoint: str) -> Endpoint:
        """See `quintet.webhooks.endpoints.Endpoints.get`."""
        item = self._table.item(_key(endpoint))
        secret = None if item is None else self._secrets.item(_key(endpoint))
        if item is None or secret is None:
            raise UnknownEndpoint(endpoint)
        return _endpoint(item, secret)

    def put(self, endpoint: Endpoint, before: Endpoint | None) -> None:
        """See `quintet.webhooks.endpoints.Endpoints.put`."""
        public = secret = {"ConditionExpression": "attribute_not_exists(endpoint)"}
        if before is not None:
            public = _still(_item(before), "disabled")
            secret = _still(_secret_item(before), "secrets")
        writes = (
            (self._table, _item(endpoint), public),
            (self._secrets, _secret_item(endpoint), secret),
        )
        try:
            self._write(
                {"Put": {"TableName": table.name, "Item": item, **condition}}
                for table, item, condition in writes
            )
        except ConditionFailed as error:
            raise changed(endpoint.id, before) from error

    def disable(self, endpoint: str, reason: str) -> None:
        """See `quintet.webhooks.endpoints.Endpoints.disable`."""
        with suppress(ConditionFailed):  # no such endpoint
            self._table.call(
                "UpdateItem",
                Key=_key(endpoint),
                UpdateExpression="SET disabled = :reason",
                ConditionExpression="attribute_exists(endpoint)",
                ExpressionAttributeValues={":reason": {"S": reason}},
            )

    def remove(self, endpoint: str) -> None:
        """Delete an endpoint and its secrets.

        Raises:
            UnknownEndpoint: no endpoint has that id.
            Transient: it could not be written.
        """
        there = {"ConditionExpression": "attribute_exists(endpoint)"}
        try:
            self._write(
                {"Delete": {"TableName": table.name, "Key": _key(endpoint), **condition}}
                for table, condition in ((self._table, there), (self._secrets, {}))
            )
        except ConditionFailed as error:
            raise UnknownEndpoint(endpoint) from error

    def all(self) -> list[Endpoint]:
        """Return all endpoints, ordered by id.

        Raises:
            Transient: the tables could not be read.
        """
        items, secrets = (
            {item["endpoint"]["S"]: item for item in table.pages("Scan", ConsistentRead=True)}
            for table in (self._table, self._secrets)
        )
        return [_endpoint(items[name], secrets[name]) for name in sorted(items.keys() & secrets)]

    def _write(self, writes: Iterable[dict[str, Any]]) -> None:
        self._table.send("TransactWriteItems", {"TransactItems": list(writes)})


def _key(endpoint: str) -> dict[str, Any]:
    return {"endpoint": {"S": endpoint}}


def _still(item: dict[str, Any], name: str) -> dict[str, Any]:
    """The condition that an attribute has not changed since it was read."""
    return {
        "ConditionExpression": f"{name} = :{name}",
        "ExpressionAttributeValues": {f":{name}": item[name]},
    }


def _item(endpoint: Endpoint) -> dict[str, Any]:
    item: dict[str, Any] = {
        **_key(endpoint.id),
        "created": {"S": endpoint.created},
        "disabled": {"S": endpoint.disabled},
    }
    if endpoint.callers:
        item["callers"] = {"SS": list(endpoint.callers)}
    return item


def _secret_item(endpoint: Endpoint) -> dict[str, Any]:
    """The URL, which may hold a token, and the signing secrets."""
    secrets: list[Any] = []
    for secret in endpoint.secrets:
        item = {"secret": {"S": secret.text}}
        if secret.expires is not None:
            item["expires"] = {"N": repr(secret.expires)}
        secrets.append({"M": item})
    return {**_key(endpoint.id), "url": {"S": endpoint.url}, "secrets": {"L": secrets}}


def _endpoint(item: dict[str, Any], secret: dict[str, Any]) -> Endpoint:
    secrets = [one["M"] for one in secret["secrets"]["L"]]
    return Endpoint(
        id=item["endpoint"]["S"],
        url=secret["url"]["S"],
        created=item["created"]["S"],
        disabled=item["disabled"]["S"],
        secrets=tuple(
            Secret(s["secret"]["S"], float(s["expires"]["N"]) if "expires" in s else None)
            for s in secrets
        ),
        callers=tuple(sorted(item["callers"]["SS"])) if "callers" in item else (),
    )
