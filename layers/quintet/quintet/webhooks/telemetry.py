"""The log line and the metrics of an attempt to deliver a webhook or a notice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quintet.jobs.job import Job
from quintet.webhooks.callouts import Outgoing
from quintet.webhooks.delivery import Delivery, State

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

    def announced(self, job: Job, channel: str, delivery: Delivery) -> None:
        """An attempt to deliver a job's notice. The age is from the job's end."""
        endpoint = job.endpoint if channel == "webhook" else None
        self._log(delivery, job=job.id, model=job.model, channel=channel, endpoint=endpoint)
        self._count(delivery, job.model, channel, job.updated)

    def called_out(self, call: Outgoing, delivery: Delivery) -> None:
        """An attempt to deliver an alert or the end of a run. The age is from when it happened."""
        about = {call.kind: call.subject, "model": call.model, "endpoint": call.endpoint}
        self._log(delivery, channel="webhook", **about)
        self._count(delivery, call.model, "webhook", call.at)

    def _log(self, delivery: Delivery, **subject: Any) -> None:
        """The line: no URL, which may hold a token, and of the answer only its status."""
        level = self._logger.info if delivery.state == "delivered" else self._logger.warning
        level(
            "announced",
            **subject,
            state=delivery.state,
            attempts=delivery.attempts,
            last=delivery.last,
        )

    def _count(self, delivery: Delivery, model: str, channel: str, begun: float) -> None:
        values = {_COUNTS[delivery.state]: 1.0}
        if delivery.delivered is not None:
            values["callback_age_seconds"] = delivery.delivered - begun
        self._metrics.write({"model": model, "channel": channel}, values)
