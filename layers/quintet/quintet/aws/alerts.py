"""Alerts on AWS: each entity's last alert in the stream table, the topic, and the notify queue.

The item of an alert has the key "alert#<model>#<entity>" and the part "-".
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from quintet.aws.client import AwsClient
from quintet.aws.dynamodb import ConditionFailed, Table, attributes
from quintet.aws.queues import JobEventQueue
from quintet.aws.topics import publish
from quintet.errors import Transient
from quintet.streaming.alert import Alert, content, of_content, sns_message
from quintet.streaming.alerts import LastAlert
from quintet.webhooks.events import WebhookMessage

__all__ = ["AlertTable", "AlertTopic", "AlertWebhooks"]

_PREFIX = "alert#"
#: how long an item outlives its cool-down, to cover retries and late reads
KEPT_SECONDS = 7 * 86_400


class AlertTable:
    """Stores the last alert of each entity; see `quintet.streaming.alerts.AlertState`."""

    def __init__(self, client: AwsClient, table: str) -> None:
        self._table = Table(client, table)

    def last(self, model: str, entity: str) -> LastAlert | None:
        """See `AlertState.last`."""
        item = self._table.item(_key(model, entity))
        return _raised(item) if item else None

    def put(self, alert: Alert, before: LastAlert | None) -> bool:
        """See `AlertState.put`."""
        condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(id)"}
        if before is not None:
            condition = {
                "ConditionExpression": "id = :before",
                "ExpressionAttributeValues": attributes({":before": before.alert.id}),
            }
        item = {
            **_key(alert.model, alert.entity),
            **attributes(
                {
                    "id": alert.id,
                    "at": alert.at,
                    "sent": False,
                    "alert": json.dumps(content(alert)),
                    "expires": int(alert.at + alert.cooldown) + KEPT_SECONDS,
                }
            ),
        }
        try:
            self._table.call("PutItem", Item=item, **condition)
        except ConditionFailed:
            return False
        return True

    def sent(self, alert: Alert) -> None:
        """See `AlertState.sent`."""
        with suppress(ConditionFailed):  # a later alert has replaced it
            self._table.call(
                "UpdateItem",
                Key=_key(alert.model, alert.entity),
                UpdateExpression="SET sent = :true",
                ConditionExpression="id = :id",
                ExpressionAttributeValues=attributes({":true": True, ":id": alert.id}),
            )


class AlertTopic:
    """Publishes alerts; see `quintet.streaming.alerts.AlertChannel`. `client` is for `sns`."""

    def __init__(self, client: AwsClient, arn: str) -> None:
        self._client = client
        self._arn = arn

    def send(self, alert: Alert) -> None:
        """See `AlertChannel.send`."""
        subject, message, attributes = sns_message(alert)
        response = publish(self._client, self._arn, message, subject=subject, attributes=attributes)
        if response.status != 200:
            raise Transient(f"sns answered {response.status} to an alert")


class AlertWebhooks:
    """Queues alerts for `notify` to post; see `quintet.streaming.alerts.AlertChannel`."""

    def __init__(self, client: AwsClient, queue_url: str, endpoint: str) -> None:
        self._queue = JobEventQueue(client, queue_url)
        self._endpoint = endpoint

    def send(self, alert: Alert) -> None:
        """See `AlertChannel.send`."""
        self._queue.send(WebhookMessage(alert, self._endpoint))


def _key(model: str, entity: str) -> dict[str, Any]:
    return attributes({"key": f"{_PREFIX}{model}#{entity}", "part": "-"})


def _raised(item: dict[str, Any]) -> LastAlert:
    return LastAlert(of_content(json.loads(item["alert"]["S"])), item["sent"]["BOOL"])
