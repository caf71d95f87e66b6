"""What `work` and `sweep` are built of, from their settings."""

from __future__ import annotations

import os
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from aws_lambda_powertools.logging import Logger

    from quintet.aws.client import AwsClient
    from quintet.jobs.dispatch import OutboxPublisher
    from quintet.jobs.store import Outbox
    from quintet.jobs.sweeping import Swept
    from quintet.jobs.worker import Worker
    from quintet.settings import SweepSettings, WorkSettings

__all__ = ["logger", "sweeper", "worker"]

#: clocks differ, and a worker that is stopped may have sent its last write
LEASE_GRACE_SECONDS = 30


@cache
def logger() -> Logger:
    """The logger of `work` or `sweep`."""
    from quintet.telemetry import make_logger

    return make_logger(os.environ.get("QUINTET_STAGE", ""))


@cache
def worker() -> Worker:
    """What works on jobs. The models used last stay loaded between invocations."""
    from quintet.aws.artifacts import Artifacts
    from quintet.aws.client import AwsClient
    from quintet.aws.features import FeatureTable
    from quintet.aws.jobs import JobTable
    from quintet.aws.payloads import PayloadBucket
    from quintet.aws.queues import QueueVisibility
    from quintet.aws.registry import Registry
    from quintet.jobs.worker import Worker
    from quintet.serving.model_cache import ModelCache
    from quintet.settings import WorkSettings, read

    settings = read(WorkSettings, os.environ)
    dynamodb, s3, sqs = AwsClient("dynamodb"), AwsClient("s3"), AwsClient("sqs")
    jobs = JobTable(dynamodb, settings.jobs_table, retention_days=settings.job_retention_days)
    cache_folder = Path(tempfile.gettempdir()) / "quintet-models"
    return Worker(
        leases=jobs,
        together=jobs,
        blobs=PayloadBucket(s3, settings.payloads_bucket),
        models=ModelCache(
            Registry(dynamodb, settings.registry_table),
            Artifacts(s3, settings.registry_bucket, cache=cache_folder),
            memory=settings.model_memory_mb * 1_000_000,
            clock=time.monotonic,
        ),
        features=FeatureTable(dynamodb, settings.features_table, clock=time.time),
        publisher=_publisher(jobs, settings, sqs),
        visibility=QueueVisibility(sqs, settings.work_queue_url),
        clock=time.time,
        lease_seconds=settings.work_timeout_seconds + LEASE_GRACE_SECONDS,
    )


@cache
def sweeper() -> Callable[[Callable[[], bool]], Swept]:
    """What sweeps the outbox, for as long as there is time."""
    from quintet.aws.client import AwsClient
    from quintet.aws.jobs import JobTable
    from quintet.aws.payloads import PayloadBucket
    from quintet.aws.queues import DeadLetterQueue
    from quintet.jobs.burying import DeadLetterReconciler
    from quintet.jobs.sweeping import sweep
    from quintet.settings import SweepSettings, read

    settings, sqs = read(SweepSettings, os.environ), AwsClient("sqs")
    days = settings.job_retention_days
    jobs = JobTable(AwsClient("dynamodb"), settings.jobs_table, retention_days=days)
    publisher = _publisher(jobs, settings, sqs)
    reconciler = DeadLetterReconciler(
        letters=DeadLetterQueue(sqs, settings.work_dead_letters_url),
        get=jobs.get,
        leases=jobs,
        blobs=PayloadBucket(AwsClient("s3"), settings.payloads_bucket),
        publisher=publisher,
        clock=time.time,
        quiet_seconds=settings.work_visibility_seconds,
    )
    return lambda has_time: sweep(jobs, publisher, reconciler.fail_dead_jobs, time.time(), has_time)


def _publisher(
    outbox: Outbox, settings: WorkSettings | SweepSettings, sqs: AwsClient
) -> OutboxPublisher:
    from quintet.aws.queues import JobEventQueue
    from quintet.jobs.dispatch import OutboxPublisher

    return OutboxPublisher(
        outbox,
        work=JobEventQueue(sqs, settings.work_queue_url),
        notify=JobEventQueue(sqs, settings.notify_queue_url),
    )
