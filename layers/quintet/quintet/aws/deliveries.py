"""Deliveries: a job's as attributes of its item, one per channel; others as items of their own."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, cast

from quintet.aws.client import AwsClient
from quintet.aws.dynamodb import ConditionFailed, Table, text
from quintet.webhooks.delivery import Delivery, State

__all__ = ["EventDeliveries", "JobDeliveries"]


#: one day of attempts, 14 days in the dead-letter queue, and another day after a replay
KEPT_SECONDS = 16 * 86_400


class JobDeliveries:
    """Deliveries in the jobs table."""

    def __init__(self, client: AwsClient, table: str) -> None:
        self._table = Table(client, table)

    def get(self, job: str, channel: str) -> Delivery:
        """See `quintet.webhooks.delivery.Deliveries.get`."""
        item = self._table.item(
            {"job": text(job)},
            ProjectionExpression="#delivery",
            ExpressionAttributeNames={"#delivery": _attribute(channel)},
        )
        found = (item or {}).get(_attribute(channel))
        return _delivery(found["M"]) if found else Delivery()

    def put(self, job: str, channel: str, delivery: Delivery) -> None:
        """See `quintet.webhooks.delivery.Deliveries.put`."""
        # the condition also keeps a job that expired from coming back as a partial item
        condition = "attribute_exists(job) AND (attribute_not_exists(#delivery)"
        condition += " OR #delivery.#state <> :delivered)"
        with suppress(ConditionFailed):
            self._table.call(
                "UpdateItem",
                Key={"job": text(job)},
                UpdateExpression="SET #delivery = :delivery",
                ConditionExpression=condition,
                ExpressionAttributeNames={"#delivery": _attribute(channel), "#state": "state"},
                ExpressionAttributeValues={
                    ":delivery": {"M": _item(delivery)},
                    ":delivered": {"S": "delivered"},
                },
            )


class EventDeliveries:
    """Deliveries in the stream table: the key "delivery#<subject>", the channel as the part."""

    def __init__(self, client: AwsClient, table: str) -> None:
        self._table = Table(client, table)

    def get(self, subject: str, channel: str) -> Delivery:
        """See `quintet.webhooks.delivery.Deliveries.get`."""
        item = self._table.item(_key(subject, channel))
        return _delivery(item) if item else Delivery()

    def put(self, subject: str, channel: str, delivery: Delivery) -> None:
        """See `quintet.webhooks.delivery.Deliveries.put`."""
        expires = {"N": str(int(delivery.started) + KEPT_SECONDS)}
        with suppress(ConditionFailed):
            self._table.call(
                "PutItem",
                Item={**_key(subject, channel), **_item(delivery), "expires": expires},
                ConditionExpression="attribute_not_exists(#state) OR #state <> :delivered",
                ExpressionAttributeNames={"#state": "state"},
                ExpressionAttributeValues={":delivered": text("delivered")},
            )


def _key(subject: str, channel: str) -> dict[str, Any]:
    return {"key": {"S": f"delivery#{subject}"}, "part": {"S": channel}}


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
