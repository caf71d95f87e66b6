"""Submitting jobs: a request is checked before it is accepted, not later by a worker."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

from quintet.errors import BadInput, Transient
from quintet.jobs.job import Content, Job
from quintet.jobs.store import INLINE_REQUEST, Blobs, IdempotencyKey, JobEvent, JobSubmissions
from quintet.protocols.http import Request
from quintet.protocols.registry import Asked, WireProtocol, kept_headers
from quintet.scoring import Model
from quintet.serving import Online, RequestContext
from quintet.serving.checking import check_values

__all__ = ["TTL_SECONDS", "CallbackEndpoints", "JobOptions", "Submitter"]

#: seconds until a job that no worker has begun expires, unless the request says otherwise
TTL_SECONDS = 21_600
CALLBACK = "x-quintet-callback"
KEY = "idempotency-key"

Target = tuple[str, int | None]


@dataclass(frozen=True, slots=True)
class JobOptions:
    """What SageMaker's callers may ask of a job.

    An `inference_id` makes the job one of SageMaker's, notified and stored as SageMaker does; an
    empty one stands for the job's id. A `stored` input is in S3 already, for a worker to read.
    `folders` and `file` name a result in S3; `run_limit` bounds the run that scores it, in seconds.
    """

    ttl: float = TTL_SECONDS
    inference_id: str | None = None
    stored: Content | None = None
    folders: str = ""
    file: str = ""
    run_limit: int | None = None

    def output(self, job: str) -> str:
        """The key of the result, empty without a name. It holds the job's id, so it is unique."""
        parts = [part for part in ("results", self.folders, job, self.file) if part]
        return "/".join(parts) if len(parts) > 2 else ""


NO_OPTIONS = JobOptions()


class CallbackEndpoints(Protocol):
    """The registered endpoints for callbacks."""

    def check(self, endpoint: str, caller: str) -> None:
        """Refuse an endpoint that a caller may not name.

        Raises:
            NotFound: it is not registered, or not for this caller.
            BadInput: it is not served.
            Transient: the table does not answer.
        """
        ...


@dataclass(frozen=True)
class Submitter:
    """Accepts jobs. `ids` makes a new job's id."""

    store: JobSubmissions
    blobs: Blobs
    endpoints: CallbackEndpoints
    publish: Callable[[JobEvent], None]
    clock: Callable[[], float]
    ids: Callable[[], str]

    def submit(
        self,
        online: Online,
        request: Request,
        context: RequestContext,
        protocol: WireProtocol,
        *,
        target: Target,
        options: JobOptions = NO_OPTIONS,
    ) -> Job:
        """Accept a request as a job, or return the earlier job of its idempotency key.

        Raises:
            QuintetError: it is refused, or could not be stored.
        """
        model = online.route(context, *target).model
        content = options.stored or _checked(model, request, context, protocol)
        job = self._job(model, request, content, protocol.name, options)
        key = _key(request, job, target, options)
        accepted, event = self.store.accept(self._without_large_body(job), key)
        if event is not None:
            with suppress(Transient):  # it stays in the outbox for the sweep
                self.publish(event)
        context.job = accepted.id
        return accepted

    def _job(
        self, model: Model, request: Request, content: Content, form: str, options: JobOptions
    ) -> Job:
        endpoint = request.headers.get(CALLBACK)
        if endpoint is not None:
            self.endpoints.check(endpoint, request.caller)
        now = math.floor(self.clock() * 1e6) / 1e6  # as the store keeps it
        identity, inference_id = self.ids(), options.inference_id
        return Job(
            id=identity,
            owner=request.caller,
            model=model.contract.name,
            version=model.contract.version,
            form=form,
            request=content,
            created=now,
            updated=now,
            deadline=now + options.ttl,
            inference_id=inference_id or ("" if inference_id is None else identity),
            endpoint=endpoint,
            notify_topic=inference_id is not None,
            output=options.output(identity),
            run_limit=options.run_limit,
        )

    def _without_large_body(self, job: Job) -> Job:
        """The job with a large body moved to S3."""
        content = job.request
        if content.body is None or content.size <= INLINE_REQUEST:
            return job
        place = self.blobs.put(f"payloads/{job.id}", content.body, "application/octet-stream")
        return replace(job, request=replace(content, body=None, place=place))


def _checked(
    model: Model, request: Request, context: RequestContext, protocol: WireProtocol
) -> Content:
    """The request's content, once it is found valid."""
    asked: Asked = protocol.decode(model.contract, request)
    context.rows = asked.batch.rows
    context.lap("decode_ms")
    if not asked.partial:
        check_values(model, asked.batch)
    body = request.content(model.contract.limits.bytes)
    return Content(request.media_type, len(body), body, headers=kept_headers(request))


def _key(request: Request, job: Job, target: Target, options: JobOptions) -> IdempotencyKey | None:
    """The request's idempotency key, with the SHA-256 of all that the job depends on."""
    text = request.headers.get(KEY)
    if text is None:
        return None
    if not (0 < len(text) <= 255 and text.isascii() and text.isprintable()):
        raise BadInput.of("Idempotency-Key", "1 to 255 visible ASCII characters", "others")
    content = job.request
    asked = (target, options.folders, options.file, options.run_limit)
    headers = sorted(content.headers.items())
    subject = (asked, job.form, job.endpoint, content.content_type, content.place, headers)
    digest = hashlib.sha256(repr(subject).encode())
    digest.update(content.body or b"")
    return IdempotencyKey(hashlib.sha256(text.encode()).hexdigest(), digest.hexdigest())
