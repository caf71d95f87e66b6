"""The endpoints table: one item for each registered endpoint, its secrets within."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quintet.aws.boto import calling
from quintet.aws.client import ConditionFailed
from quintet.callbacks.endpoints import Endpoint, Secret, UnknownEndpoint, changed

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

__all__ = ["EndpointTable"]


class EndpointTable:
    """Reads and writes the endpoints table."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def get(self, endpoint: str) -> Endpoint:
        """See `quintet.callbacks.endpoints.Endpoints.get`."""
        answer = self._call("get_item", Key=_key(endpoint), ConsistentRead=True)
        if "Item" not in answer:
            raise UnknownEndpoint(endpoint)
        return _endpoint(answer["Item"])

    def put(self, endpoint: Endpoint, before: Endpoint | None) -> None:
        """See `quintet.callbacks.endpoints.Endpoints.put`."""
        condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(endpoint)"}
        if before is not None:
            stored = _item(before)
            condition = {
                "ConditionExpression": "secrets = :secrets AND disabled = :disabled",
                "ExpressionAttributeValues": {
                    ":secrets": stored["secrets"],
                    ":disabled": stored["disabled"],
                },
            }
        try:
            self._call("put_item", Item=_item(endpoint), **condition)
        except ConditionFailed as error:
            raise changed(endpoint.id, before) from error

    def disable(self, endpoint: str, reason: str) -> None:
        """See `quintet.callbacks.endpoints.Endpoints.disable`."""
        try:
            self._call(
                "update_item",
                Key=_key(endpoint),
                UpdateExpression="SET disabled = :reason",
                ConditionExpression="attribute_exists(endpoint)",
                ExpressionAttributeValues={":reason": {"S": reason}},
            )
        except ConditionFailed:
            return

    def remove(self, endpoint: str) -> None:
        """Forget an endpoint and its secrets.

        Raises:
            UnknownEndpoint: there is none.
            Transient: it could not be written.
        """
        try:
            self._call(
                "delete_item",
                Key=_key(endpoint),
                ConditionExpression="attribute_exists(endpoint)",
            )
        except ConditionFailed as error:
            raise UnknownEndpoint(endpoint) from error

    def all(self) -> list[Endpoint]:
        """Every endpoint, by id.

        Raises:
            Transient: the table could not be read.
        """
        found: list[Endpoint] = []
        start: dict[str, Any] = {}
        while True:
            answer = self._call("scan", ConsistentRead=True, **start)
            found += [_endpoint(item) for item in answer["Items"]]
            if "LastEvaluatedKey" not in answer:
                return sorted(found, key=lambda endpoint: endpoint.id)
            start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    def _call(self, operation: str, **arguments: Any) -> Any:
        with calling("the endpoints table"):
            return getattr(self._client, operation)(TableName=self._table, **arguments)


def _key(endpoint: str) -> dict[str, Any]:
    return {"endpoint": {"S": endpoint}}


def _item(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "endpoint": {"S": endpoint.id},
        "url": {"S": endpoint.url},
        "created": {"S": endpoint.created},
        "disabled": {"S": endpoint.disabled},
        "secrets": {"L": [{"M": _secret_item(secret)} for secret in endpoint.secrets]},
    }


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
    )
