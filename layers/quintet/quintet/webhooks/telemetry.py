"""The log line and the metrics of an attempt to deliver a webhook or an SNS notification."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quintet.webhooks.delivery import Delivery, State
from quintet.webhooks.notifier import Notification

if TYPE_CHECKING:
    from aws_lambda_powertools.logging import Logger

    from quintet.telemetry.powertools import MetricsWriter

__all__ = ["DeliveryTelemetry"]

_COUNTS: dict[State, str] = {
    "delivered": "callbacks_delivered_count",
    "waiting": "callbacks_retried_count",
    "given_up": "callbacks_given_up_count",
    "stopped": "callbacks_stopped_count",
}


class DeliveryTelemetry:
    """Writes one log line and one document of metrics for each attempt."""

    def __init__(self, logger: Logger, metrics: MetricsWriter) -> None:
        self._logger = logger
        self._metrics = metrics

    def attempted(
        self, notification: Notification, channel: str, delivery: Delivery, now: float
    ) -> None:
        """Write the line and metrics of an attempt. Ages count from the time of the event.

        The line omits the URL, which may hold a token, and logs only the status of the answer.
        """
        level = self._logger.info if delivery.state == "delivered" else self._logger.warning
        subject: dict[str, Any] = {notification.type: notification.subject}
        level(
            "announced",
            **subject,
            model=notification.model,
            channel=channel,
            endpoint=notification.endpoint if channel == "webhook" else None,
            state=delivery.state,
            attempts=delivery.attempts,
            last=delivery.last,
        )
        self._count(delivery, notification.model, channel, notification.at)
        self._wait(delivery, notification.at, now)

    def _count(self, delivery: Delivery, model: str, channel: str, begun: float) -> None:
        values = {_COUNTS[delivery.state]: 1.0}
        if delivery.delivered is not None:
            values["callback_age_seconds"] = delivery.delivered - begun
        self._metrics.write({"model": model, "channel": channel}, values)

    def _wait(self, delivery: Delivery, begun: float, now: float) -> None:
        """Write the metric of `CallbackAgeAlarm`, without a model: alarms match all dimensions."""
        if delivery.state == "waiting":
            self._metrics.write({}, {"callback_waiting_seconds": now - begun})
