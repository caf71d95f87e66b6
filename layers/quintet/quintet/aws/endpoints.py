"""The endpoints table: one item for each registered endpoint, its secrets within."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from quintet.aws.client import AwsClient
from quintet.aws.dynamodb import ConditionFailed, Table
from quintet.webhooks.endpoints import Endpoint, Secret, UnknownEndpoint, changed

__all__ = ["EndpointTable"]


class EndpointTable:
    """Reads and writes the endpoints table."""

    def __init__(self, client: AwsClient, table: str) -> None:
        self._table = Table(client, table, resend_writes=False)

    def get(self, endpoint: str) -> Endpoint:
        """See `quintet.webhooks.endpoints.Endpoints.get`."""
        item = self._table.item(_key(endpoint))
        if item is None:
            raise UnknownEndpoint(endpoint)
        return _endpoint(item)

    def put(self, endpoint: Endpoint, before: Endpoint | None) -> None:
        """See `quintet.webhooks.endpoints.Endpoints.put`."""
        condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(endpoint)"}
        if before is not None:
            stored = _item(before)
            values = {f":{name}": stored[name] for name in ("secrets", "disabled")}
            condition = {
                "ConditionExpression": "secrets = :secrets AND disabled = :disabled",
                "ExpressionAttributeValues": values,
            }
        try:
            self._table.call("PutItem", Item=_item(endpoint), **condition)
        except ConditionFailed as error:
            raise changed(endpoint.id, before) from error

    def disable(self, endpoint: str, reason: str) -> None:
        """See `quintet.webhooks.endpoints.Endpoints.disable`."""
        with suppress(ConditionFailed):  # there is none
            self._table.call(
                "UpdateItem",
                Key=_key(endpoint),
                UpdateExpression="SET disabled = :reason",
                ConditionExpression="attribute_exists(endpoint)",
                ExpressionAttributeValues={":reason": {"S": reason}},
            )

    def remove(self, endpoint: str) -> None:
        """Forget an endpoint and its secrets.

        Raises:
            UnknownEndpoint: there is none.
            Transient: it could not be written.
        """
        there = "attribute_exists(endpoint)"
        try:
            self._table.call("DeleteItem", Key=_key(endpoint), ConditionExpression=there)
        except ConditionFailed as error:
            raise UnknownEndpoint(endpoint) from error

    def all(self) -> list[Endpoint]:
        """Every endpoint, by id.

        Raises:
            Transient: the table could not be read.
        """
        found = map(_endpoint, self._table.pages("Scan", ConsistentRead=True))
        return sorted(found, key=lambda endpoint: endpoint.id)


def _key(endpoint: str) -> dict[str, Any]:
    return {"endpoint": {"S": endpoint}}


def _item(endpoint: Endpoint) -> dict[str, Any]:
    item: dict[str, Any] = {
        "endpoint": {"S": endpoint.id},
        "url": {"S": endpoint.url},
        "created": {"S": endpoint.created},
        "disabled": {"S": endpoint.disabled},
        "secrets": {"L": [{"M": _secret_item(secret)} for secret in endpoint.secrets]},
    }
    if endpoint.callers:
        item["callers"] = {"SS": list(endpoint.callers)}
    return item


def _secret_item(secret: Secret) -> dict[str, Any]:
    item: dict[str, Any] = {"secret": {"S": secret.text}}
    if secret.expires is not None:
        item["expires"] = {"N": repr(secret.expires)}
    return item


def _endpoint(item: dict[str, Any]) -> Endpoint:
    secrets = [secret["M"] for secret in item["secrets"]["L"]]
    return Endpoint(
        id=item["endpoint"]["S"],
        url=item["url"]["S"],
        created=item["created"]["S"],
        disabled=item["disabled"]["S"],
        secrets=tuple(
            Secret(s["secret"]["S"], float(s["expires"]["N"]) if "expires" in s else None)
            for s in secrets
        ),
        callers=tuple(sorted(item["callers"]["SS"])) if "callers" in item else (),
    )
