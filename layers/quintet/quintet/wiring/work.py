"""Builds what `work` and `sweep` need, from their settings."""

from __future__ import annotations

import os
import time
from functools import cache
from typing import TYPE_CHECKING

from quintet.wiring import common

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from quintet.aws.client import AwsClient
    from quintet.jobs.messages import MessageResult, OutboxPublisher
    from quintet.jobs.store import Outbox
    from quintet.jobs.sweep import Swept
    from quintet.jobs.telemetry import JobsTelemetry
    from quintet.jobs.worker import Worker
    from quintet.settings import SweepSettings, WorkSettings

__all__ = ["sweeper", "telemetry", "trace", "worker"]

#: margin for clock differences, and for the last write of a stopped worker
LEASE_GRACE_SECONDS = 30


@cache
def telemetry() -> JobsTelemetry:
    """The log lines."""
    from quintet.jobs.telemetry import JobsTelemetry

    return JobsTelemetry(common.logger())


def trace(results: Sequence[MessageResult], started: float) -> None:
    """Send a span for each job of an invocation that `started` (epoch seconds), if sampled."""
    for result in results:
        with common.traced(result.traceparent, started) as span:
            if span is None:
                return
            span.about |= {"job": result.job, "result": result.event, "rows": result.rows}
            if result.model:
                span.about |= {"model": result.model, "version": result.version}
            if not result.acknowledged:
                span.failure = "fault"
            elif result.event == "failed":
                span.failure = "error"


@cache
def worker() -> Worker:
    """The worker. The last used models stay loaded between invocations."""
    from quintet.aws.jobs import JobTable
    from quintet.aws.payloads import PayloadBucket
    from quintet.aws.queues import DeadLetterQueue, QueueVisibility
    from quintet.jobs.captures import JobCaptures
    from quintet.jobs.transitions import JobTransitions
    from quintet.jobs.worker import Worker
    from quintet.settings import WorkSettings, read

    settings = read(WorkSettings, os.environ)
    sqs, days = common.client("sqs"), settings.job_retention_days
    jobs = JobTable(common.client("dynamodb"), settings.jobs_table, retention_days=days)
    blobs = PayloadBucket(common.client("s3"), settings.payloads_bucket)
    transitions = JobTransitions(
        leases=jobs,
        batches=jobs,
        blobs=blobs,
        publisher=_publisher(jobs, settings, sqs),
        letters=DeadLetterQueue(sqs, settings.work_dead_letters_url),
        clock=time.time,
        lease_seconds=settings.work_timeout_seconds + LEASE_GRACE_SECONDS,
    )
    return Worker(
        jobs=transitions,
        blobs=blobs,
        models=common.models(settings),
        features=common.features(settings.features_table),
        visibility=QueueVisibility(sqs, settings.work_queue_url),
        clock=time.time,
        captures=JobCaptures(seal=common.seal),
    )


@cache
def sweeper() -> Callable[[Callable[[], bool]], Swept]:
    """The sweep; its argument returns whether there is time left."""
    from quintet.aws.jobs import JobTable
    from quintet.aws.payloads import PayloadBucket
    from quintet.aws.queues import DeadLetterQueue
    from quintet.jobs.sweep import DeadLetterReconciler, sweep
    from quintet.settings import SweepSettings, read

    settings, sqs = read(SweepSettings, os.environ), common.client("sqs")
    days = settings.job_retention_days
    jobs = JobTable(common.client("dynamodb"), settings.jobs_table, retention_days=days)
    publisher = _publisher(jobs, settings, sqs)
    reconciler = DeadLetterReconciler(
        letters=DeadLetterQueue(sqs, settings.work_dead_letters_url),
        get=jobs.get,
        leases=jobs,
        blobs=PayloadBucket(common.client("s3"), settings.payloads_bucket),
        publisher=publisher,
        clock=time.time,
        quiet_seconds=settings.work_visibility_seconds,
    )
    return lambda has_time: sweep(jobs, publisher, reconciler.fail_dead_jobs, time.time(), has_time)


def _publisher(
    outbox: Outbox, settings: WorkSettings | SweepSettings, sqs: AwsClient
) -> OutboxPublisher:
    from quintet.aws.queues import JobEventQueue
    from quintet.jobs.messages import OutboxPublisher

    return OutboxPublisher(
        outbox,
        work=JobEventQueue(sqs, settings.work_queue_url),
        notify=JobEventQueue(sqs, settings.notify_queue_url),
    )
