"""What `notify` is built of, from its settings."""

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
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient

    from quintet.settings import NotifySettings
    from quintet.webhooks.callouts import CalloutNotifier, Outgoing
    from quintet.webhooks.delivery import WebhookChannel
    from quintet.webhooks.notifier import Notifier
    from quintet.webhooks.telemetry import DeliveryTelemetry

__all__ = ["notify", "postpone"]

#: SQS holds a message back for 12 hours at most, from when it was received
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
    """Handle a message of the queue: of a job, an alert, or the end of a run. See `Notifier`."""
    from quintet.streaming.alert import is_callout
    from quintet.webhooks.runs import is_run_end

    if is_callout(message):
        return _alert_notifier()(message, receives)
    return (_run_notifier() if is_run_end(message) else _notifier())(message, receives)


@cache
def _notifier() -> Notifier:
    """What tells callers that their jobs are settled."""
    from quintet.aws.deliveries import DeliveryRecords
    from quintet.aws.jobs import JobTable
    from quintet.aws.topics import TopicChannel
    from quintet.webhooks.notifier import Notifier

    settings = _settings()
    dynamodb = common.client("dynamodb")
    jobs = JobTable(dynamodb, settings.jobs_table, retention_days=settings.job_retention_days)
    return Notifier(
        jobs.get,
        DeliveryRecords(dynamodb, settings.jobs_table),
        {"webhook": _webhooks(), "sns": TopicChannel(_sns, settings.jobs_topic_arn)},
        clock=time.time,
        random=random.random,
        tell=_telemetry().announced,
    )


@cache
def _alert_notifier() -> CalloutNotifier:
    """What calls alerts out."""
    from quintet.webhooks.alerts import alert_call

    return _callouts(alert_call)


@cache
def _run_notifier() -> CalloutNotifier:
    """What calls the ends of runs out."""
    from quintet.webhooks.runs import run_call

    return _callouts(run_call)


def _callouts(read: Callable[[str], Outgoing]) -> CalloutNotifier:
    from quintet.aws.deliveries import CalloutDeliveries
    from quintet.webhooks.callouts import CalloutNotifier

    return CalloutNotifier(
        read,
        CalloutDeliveries(common.client("dynamodb"), _settings().stream_table),
        _webhooks(),
        clock=time.time,
        random=random.random,
        tell=_telemetry().called_out,
    )


def _webhooks() -> WebhookChannel:
    from quintet.aws.endpoints import EndpointTable
    from quintet.aws.webhooks import HttpWebhooks
    from quintet.webhooks.delivery import WebhookChannel

    settings = _settings()
    return WebhookChannel(
        EndpointTable(common.client("dynamodb"), settings.endpoints_table),
        HttpWebhooks("loopback" if settings.callback_hosts == "loopback" else "public"),
    )


@cache
def _sns() -> SNSClient:
    import boto3

    return boto3.client("sns")


@cache
def _sqs() -> SQSClient:
    import boto3

    return boto3.client("sqs")


def postpone(receipt: str, seconds: float) -> None:
    """Let a message come back after so many seconds.

    It is a wish: else it comes back when the queue's own time is over, and waits again.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        _sqs().change_message_visibility(
            QueueUrl=_settings().notify_queue_url,
            ReceiptHandle=receipt,
            VisibilityTimeout=min(math.ceil(seconds), MAX_SECONDS),
        )
    except (BotoCoreError, ClientError) as error:
        common.logger().warning("not postponed", error=type(error).__name__)
