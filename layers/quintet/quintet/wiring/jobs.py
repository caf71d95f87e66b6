"""Builds what accepting and showing jobs needs: for `submit`, and lazily for `predict`."""

from __future__ import annotations

import os
import time
import uuid
from functools import cache
from typing import TYPE_CHECKING

from quintet.settings import AcceptSettings, SubmitSettings, read
from quintet.wiring import common

if TYPE_CHECKING:
    from quintet.api.jobs import JobsApi
    from quintet.aws.jobs import JobTable
    from quintet.jobs.submit import Submitter
    from quintet.protocols.http import Request, Response
    from quintet.protocols.registry import WireProtocol
    from quintet.serving import Online, RequestContext

__all__ = ["accept", "api", "contracts", "submit_settings", "submitter"]


@cache
def submit_settings() -> SubmitSettings:
    """The settings of `submit`."""
    return read(SubmitSettings, os.environ)


@cache
def _accept_settings() -> AcceptSettings:
    return read(AcceptSettings, os.environ)


@cache
def _jobs() -> JobTable:
    from quintet.aws.jobs import JobTable

    settings = _accept_settings()
    days = settings.job_retention_days
    return JobTable(common.client("dynamodb"), settings.jobs_table, retention_days=days)


@cache
def submitter() -> Submitter:
    """Accepts jobs."""
    from quintet.aws.payloads import PayloadBucket
    from quintet.aws.queues import JobEventQueue
    from quintet.aws.targets import EndpointIds
    from quintet.jobs.messages import OutboxPublisher
    from quintet.jobs.submit import Submitter

    settings = _accept_settings()
    work = JobEventQueue(common.client("sqs"), settings.work_queue_url)
    return Submitter(
        store=_jobs(),
        blobs=PayloadBucket(common.client("s3"), settings.payloads_bucket),
        endpoints=EndpointIds(common.client("dynamodb"), settings.endpoints_table),
        publish=OutboxPublisher(_jobs(), work=work, notify=work).publish,
        clock=time.time,
        ids=lambda: uuid.uuid4().hex,
    )


def accept(
    protocol: WireProtocol, online: Online, request: Request, context: RequestContext
) -> Response:
    """Answer a prediction request with a job."""
    from quintet.api.submit import answer

    return answer(submitter(), protocol, online, request, context)


@cache
def contracts() -> Online:
    """The published models with their contracts only; they cannot be run."""
    from quintet.features import MemoryFeatures
    from quintet.serving import Online, PredictionCache

    settings = submit_settings()
    models, index = common.contracts(settings), common.registry(settings.registry_table).models
    cache = PredictionCache(clock=time.monotonic)
    return Online(models, index, MemoryFeatures(), cache, time.time)


@cache
def api() -> JobsApi:
    """The resource /jobs."""
    from quintet.api.jobs import JobsApi
    from quintet.aws.payloads import presigner
    from quintet.aws.queues import JobEventQueue
    from quintet.jobs.messages import OutboxPublisher

    sqs, settings = common.client("sqs"), submit_settings()
    publisher = OutboxPublisher(
        _jobs(),
        work=JobEventQueue(sqs, settings.work_queue_url),
        notify=JobEventQueue(sqs, settings.notify_queue_url),
    )

    return JobsApi(_jobs(), publisher.publish, presigner(common.client("s3")), time.time)
