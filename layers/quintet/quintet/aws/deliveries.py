"""Deliveries, recorded on their job's item: one attribute for each channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from quintet.aws.boto import calling
from quintet.aws.client import ConditionFailed
from quintet.callbacks.delivery import Delivery, State

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

__all__ = ["DeliveryRecords"]


class DeliveryRecords:
    """Deliveries in the jobs table."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def get(self, job: str, channel: str) -> Delivery:
        """See `quintet.callbacks.delivery.Deliveries.get`."""
        answer = self._call(
            "get_item",
            Key={"job": {"S": job}},
            ConsistentRead=True,
            ProjectionExpression="#delivery",
            ExpressionAttributeNames={"#delivery": _attribute(channel)},
        )
        item = answer.get("Item", {}).get(_attribute(channel))
        return _delivery(item["M"]) if item else Delivery()

    def put(self, job: str, channel: str, delivery: Delivery) -> None:
        """See `quintet.callbacks.delivery.Deliveries.put`."""
        try:
            self._call(
                "update_item",
                Key={"job": {"S": job}},
                UpdateExpression="SET #delivery = :delivery",
                # a job that its time to live has removed does not come back as half an item
                ConditionExpression="attribute_exists(job) AND (attribute_not_exists(#delivery)"
                " OR #delivery.#state <> :delivered)",
                ExpressionAttributeNames={"#delivery": _attribute(channel), "#state": "state"},
                ExpressionAttributeValues={
                    ":delivery": {"M": _item(delivery)},
                    ":delivered": {"S": "delivered"},
                },
            )
        except ConditionFailed:
            return

    def _call(self, operation: str, **arguments: Any) -> Any:
        with calling("the jobs table"):
            return getattr(self._client, operation)(TableName=self._table, **arguments)


def _attribute(channel: str) -> str:
    return f"delivery_{channel}"


def _item(delivery: Delivery) -> dict[str, Any]:
    item: dict[str, Any] = {
        "state": {"S": delivery.state},
        "attempts": {"N": str(delivery.attempts)},
        "last": {"S": delivery.last},
        "started": {"N": repr(delivery.started)},
        "next": {"N": repr(delivery.next)},
    }
    if delivery.delivered is not None:
        item["delivered"] = {"N": repr(delivery.delivered)}
    return item


def _delivery(item: dict[str, Any]) -> Delivery:
    return Delivery(
        state=cast(State, item["state"]["S"]),
        attempts=int(item["attempts"]["N"]),
        last=item["last"]["S"],
        started=float(item["started"]["N"]),
        next=float(item["next"]["N"]),
        delivered=float(item["delivered"]["N"]) if "delivered" in item else None,
    )
