"""Builds what `notify` needs, from its settings."""

from __future__ import annotations

import math
import os
import random
import time
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

from quintet.wiring import common

if TYPE_CHECKING:
    from quintet.settings import NotifySettings
    from quintet.webhooks.channel import WebhookChannel
    from quintet.webhooks.delivery import Deliveries, Delivery
    from quintet.webhooks.notifier import Notification, Notifier
    from quintet.webhooks.telemetry import DeliveryTelemetry

__all__ = ["bury", "notify", "postpone"]

#: SQS can hide a message for at most 12 hours after it was received
MAX_SECONDS = 43_200 - 60


@cache
def _settings() -> NotifySettings:
    from quintet.settings import NotifySettings, read

    return read(NotifySettings, os.environ)


@cache
def _telemetry() -> DeliveryTelemetry:
    from quintet.webhooks.telemetry import DeliveryTelemetry

    return DeliveryTelemetry(common.logger(), common.metrics())


def notify(message: str, receives: int) -> float | None:
    """Handle a message about a job, an alert, or the end of a run. See `Notifier`."""
    from quintet.webhooks.events import message_type

    notifier = _job_notifier() if message_type(message) == "job" else _event_notifier()
    return notifier(message, receives)


@cache
def _job_notifier() -> Notifier:
    """The notifier of callers whose jobs are settled."""
    from quintet.aws.deliveries import JobDeliveries
    from quintet.aws.jobs import JobTable
    from quintet.aws.topics import TopicChannel
    from quintet.webhooks.notifier import JobReader

    settings = _settings()
    dynamodb = common.client("dynamodb")
    jobs = JobTable(dynamodb, settings.jobs_table, retention_days=settings.job_retention_days)
    topic = TopicChannel(common.client("sns"), settings.jobs_topic_arn)
    deliveries = JobDeliveries(dynamodb, settings.jobs_table)
    return _notifier(JobReader(jobs.get, _webhooks(), topic), deliveries)


@cache
def _event_notifier() -> Notifier:
    """The notifier of endpoints about alerts and ended runs."""
    from quintet.aws.deliveries import EventDeliveries
    from quintet.webhooks.notifier import EventReader

    deliveries = EventDeliveries(common.client("dynamodb"), _settings().stream_table)
    return _notifier(EventReader(_webhooks()), deliveries)


def _notifier(read: Callable[[str], Notification | None], deliveries: Deliveries) -> Notifier:
    from quintet.webhooks.notifier import Notifier

    def report(notification: Notification, channel: str, delivery: Delivery, now: float) -> None:
        _telemetry().attempted(notification, channel, delivery, now)
        with common.traced(notification.traceparent, now) as span:
            if span is not None:
                span.about[notification.type] = notification.subject.removeprefix("run/")
                span.about |= {"channel": channel, "model": notification.model}
                span.about |= {"result": delivery.state, "answer": delivery.last}
                span.failure = None if delivery.state == "delivered" else "error"

    return Notifier(read, deliveries, clock=time.time, random=random.random, report=report)


def _webhooks() -> WebhookChannel:
    from quintet.aws.endpoints import EndpointTable
    from quintet.aws.slots import EndpointSlots
    from quintet.aws.webhooks import HttpWebhooks
    from quintet.webhooks.channel import WebhookChannel
    from quintet.webhooks.slots import slots_of

    settings, dynamodb = _settings(), common.client("dynamodb")
    bound = slots_of(settings.notify_max_concurrency)
    return WebhookChannel(
        EndpointTable(dynamodb, settings.endpoints_table, settings.endpoint_secrets_table),
        HttpWebhooks("loopback" if settings.callback_hosts == "loopback" else "public"),
        EndpointSlots(dynamodb, settings.stream_table, bound),
    )


def bury(body: str) -> None:
    """Send a message to the dead-letter queue. Raises Transient."""
    from quintet.aws.queues import DeadLetterQueue

    DeadLetterQueue(common.client("sqs"), _settings().notify_dead_letters_url).put(body)


def postpone(receipt: str, seconds: float) -> None:
    """Set the seconds until a message is retried.

    Best effort: else it returns after the queue's visibility timeout, and is postponed again.
    """
    from quintet.aws.queues import QueueVisibility
    from quintet.errors import Transient

    queue = QueueVisibility(common.client("sqs"), _settings().notify_queue_url)
    try:
        queue.postpone(receipt, min(math.ceil(seconds), MAX_SECONDS))
    except Transient as error:
        common.logger().warning("not postponed", error=str(error))
