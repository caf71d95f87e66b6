"""What accepts and shows jobs, from the settings: for `submit`, and for `predict` when asked."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

from quintet.settings import AcceptSettings, SubmitSettings, read

if TYPE_CHECKING:
    from quintet.api.jobs import JobsApi
    from quintet.api.predict import Family
    from quintet.aws.jobs import JobTable
    from quintet.jobs.submit import Submitter
    from quintet.protocols.http import Request, Response
    from quintet.serving import Online, RequestContext
    from quintet.telemetry import Telemetry

__all__ = ["accept", "api", "contracts", "submit_settings", "submit_telemetry", "submitter"]


@cache
def submit_settings() -> SubmitSettings:
    """The settings of `submit`."""
    return read(SubmitSettings, os.environ)


@cache
def submit_telemetry() -> Telemetry:
    """The logs and metrics of `submit`."""
    from quintet.telemetry import Telemetry

    return Telemetry(submit_settings().stage)


@cache
def _accept_settings() -> AcceptSettings:
    return read(AcceptSettings, os.environ)


@cache
def _jobs() -> JobTable:
    from quintet.aws.client import AwsClient
    from quintet.aws.jobs import JobTable

    settings = _accept_settings()
    client = AwsClient("dynamodb")
    return JobTable(client, settings.jobs_table, retention_days=settings.job_retention_days)


@cache
def submitter() -> Submitter:
    """What accepts jobs."""
    from quintet.aws.client import AwsClient
    from quintet.aws.payloads import PayloadBucket
    from quintet.aws.queues import JobEventQueue
    from quintet.aws.targets import EndpointIds
    from quintet.jobs.dispatch import OutboxPublisher
    from quintet.jobs.submit import Submitter

    settings = _accept_settings()
    work = JobEventQueue(AwsClient("sqs"), settings.work_queue_url)
    return Submitter(
        store=_jobs(),
        blobs=PayloadBucket(AwsClient("s3"), settings.payloads_bucket),
        targets=EndpointIds(AwsClient("dynamodb"), settings.endpoints_table),
        publish=OutboxPublisher(_jobs(), work=work, notify=work).publish,
        clock=time.time,
        ids=lambda: uuid.uuid4().hex,
    )


def accept(family: Family, online: Online, request: Request, context: RequestContext) -> Response:
    """Answer a request for predictions with a job."""
    from quintet.jobs.submit import answer

    return answer(submitter(), family, online, request, context)


@cache
def contracts() -> Online:
    """The published models, known by their contracts: none of them can be run."""
    from quintet.aws.artifacts import Artifacts
    from quintet.aws.client import AwsClient
    from quintet.aws.contracts import Contracts
    from quintet.aws.registry import Registry
    from quintet.features import MemoryFeatures
    from quintet.serving import Online, PredictionCache
    from quintet.serving.model_cache import ModelCache

    settings = submit_settings()
    registry = Registry(AwsClient("dynamodb"), settings.registry_table)
    loader = Contracts(Artifacts(AwsClient("s3"), settings.registry_bucket))
    models = ModelCache(registry, loader, memory=2**62, clock=time.monotonic)
    cache = PredictionCache(clock=time.monotonic)
    return Online(models, registry.models, MemoryFeatures(), cache, time.time)


@cache
def api() -> JobsApi:
    """What shows and cancels jobs."""
    from quintet.api.jobs import JobsApi
    from quintet.aws.client import AwsClient
    from quintet.aws.queues import JobEventQueue
    from quintet.jobs.dispatch import OutboxPublisher

    sqs, settings = AwsClient("sqs"), submit_settings()
    publisher = OutboxPublisher(
        _jobs(),
        work=JobEventQueue(sqs, settings.work_queue_url),
        notify=JobEventQueue(sqs, settings.notify_queue_url),
    )

    def link(place: str) -> str:  # boto3 is for those results alone that are large
        return _presigner()(place)

    return JobsApi(_jobs(), publisher.publish, link, time.time)


@cache
def _presigner() -> Callable[[str], str]:
    from quintet.aws.payloads import presigner

    return presigner()
