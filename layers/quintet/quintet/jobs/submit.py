"""Accepting jobs: what is wrong with a request is said now, not by a worker later."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol

from quintet.errors import BadInput, Transient
from quintet.jobs.job import Content, Job
from quintet.jobs.store import INLINE_REQUEST, Blobs, IdempotencyKey, JobEvent, JobSubmissions
from quintet.protocols.http import RETRY_AFTER, Request, Response, json_body
from quintet.protocols.registry import Asked, WireProtocol, kept_headers
from quintet.scoring import Model
from quintet.serving import Online, RequestContext
from quintet.serving.checking import check_values

__all__ = ["NAMES", "CallbackEndpoints", "ResultName", "Submitter", "answer", "location"]

#: seconds until a job that nobody has begun expires, unless the request says otherwise
TTL_SECONDS = 21_600
CALLBACK = "x-quintet-callback"
KEY = "idempotency-key"


@dataclass(frozen=True, slots=True)
class ResultName:
    """What a caller wants a result in S3 to be called: folders before it, and a file name."""

    folders: str = ""
    file: str = ""

    def key(self, job: str) -> str:
        """The key; empty without a wish. The job's id is in it, so none is written over."""
        parts = [part for part in ("results", self.folders, job, self.file) if part]
        return "/".join(parts) if len(parts) > 2 else ""


NAMES = ResultName()


class CallbackEndpoints(Protocol):
    """Where endpoints for callbacks are registered."""

    def check(self, endpoint: str, caller: str) -> None:
        """Refuse an endpoint that is not there, not the caller's to name, or not served.

        Raises:
            NotFound: it is not there, or not for this caller.
            BadInput: it is not served.
            Transient: the table does not answer.
        """
        ...


@dataclass(frozen=True)
class Submitter:
    """Everything that accepting takes. `ids` makes a new job's id."""

    store: JobSubmissions
    blobs: Blobs
    targets: CallbackEndpoints
    publish: Callable[[JobEvent], None]
    clock: Callable[[], float]
    ids: Callable[[], str]

    def accept(
        self,
        online: Online,
        request: Request,
        context: RequestContext,
        *,
        protocol: WireProtocol,
        target: tuple[str, int | None],
        ttl: float = TTL_SECONDS,
        inference_id: str | None = None,
        stored: Content | None = None,
        names: ResultName = NAMES,
        run_limit: int | None = None,
    ) -> Job:
        """Accept a request, or the earlier job of its idempotency key.

        An `inference_id` makes it one of SageMaker's, announced and kept as SageMaker does; an
        empty one is the job's own. A `stored` input is in S3 already, for a worker to read; `names`
        are what the caller wants its result in S3 to be called, `run_limit` is in seconds.

        Raises:
            QuintetError: it is refused, or could not be stored.
        """
        model = online.route(context, *target).model
        contract = model.contract
        content = stored or self._checked(model, request, context, protocol)
        endpoint = request.headers.get(CALLBACK)
        if endpoint is not None:
            self.targets.check(endpoint, request.caller)
        now = math.floor(self.clock() * 1e6) / 1e6  # as the store keeps it
        identity = self.ids()
        job = Job(
            id=identity,
            owner=request.caller,
            model=contract.name,
            version=contract.version,
            form=protocol.name,
            request=content,
            created=now,
            updated=now,
            deadline=now + ttl,
            inference_id=inference_id or ("" if inference_id is None else identity),
            endpoint=endpoint,
            notify_topic=inference_id is not None,
            output=names.key(identity),
            run_limit=run_limit,
        )
        key = _key(request, job, (target, names, run_limit))
        if content.body is not None and content.size > INLINE_REQUEST:
            kept = self.blobs.put(f"payloads/{job.id}", content.body, "application/octet-stream")
            content = replace(content, body=None, place=kept)
        accepted, event = self.store.accept(replace(job, request=content), key)
        if event is not None:
            with suppress(Transient):  # it stays in the outbox, and is swept from there
                self.publish(event)
        context.job = accepted.id
        return accepted

    def _checked(
        self, model: Model, request: Request, context: RequestContext, protocol: WireProtocol
    ) -> Content:
        """The request's content, once nothing is found to be wrong with it."""
        asked: Asked = protocol.decode(model.contract, request)
        context.rows = asked.batch.rows
        context.lap("decode_ms")
        if not asked.partial:
            check_values(model, asked.batch)
        body = request.content(model.contract.limits.bytes)
        return Content(request.media_type, len(body), body, headers=kept_headers(request))


def answer(
    submitter: Submitter,
    protocol: WireProtocol,
    online: Online,
    request: Request,
    context: RequestContext,
) -> Response:
    """Answer a request for predictions with a job: 202, and where to look.

    Raises:
        QuintetError: it is refused or could not be answered; `protocol.failure` renders it.
    """
    if protocol.about is not None:  # a preference may be ignored
        response = protocol.about(online, request, context)
        if response is not None:
            return response
    target = protocol.target(request)
    job = submitter.accept(online, request, context, protocol=protocol, target=target)
    body = {"id": job.id, "state": job.state, "model": job.model, "version": job.version}
    headers = {
        "Location": location(request, job.id),
        "Preference-Applied": "respond-async",
        "Retry-After": str(RETRY_AFTER),
    }
    return Response(202, json_body(body), headers=headers)


def location(request: Request, job: str) -> str:
    """The path of a job, as the API is reached."""
    return f"{request.base}/jobs/{job}"


def _key(request: Request, job: Job, asked: tuple[Any, ...]) -> IdempotencyKey | None:
    """The request's idempotency key, with the SHA-256 of all that makes the job what it is."""
    text = request.headers.get(KEY)
    if text is None:
        return None
    if not (0 < len(text) <= 255 and text.isascii() and text.isprintable()):
        raise BadInput.of("Idempotency-Key", "1 to 255 visible ASCII characters", "others")
    content = job.request
    headers = sorted(content.headers.items())
    subject = (asked, job.form, job.endpoint, content.content_type, content.place, headers)
    digest = hashlib.sha256(repr(subject).encode())
    digest.update(content.body or b"")
    return IdempotencyKey(hashlib.sha256(text.encode()).hexdigest(), digest.hexdigest())
