"""Submit jobs: a request is validated before it is accepted, not later by a worker.

The idempotency key is checked first: later changes to a model's version, an endpoint or an input
do not affect the job that the key created.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

import orjson

from quintet.errors import BadInput, TooLarge, Transient
from quintet.jobs.job import Content, Job
from quintet.jobs.routing import rollout_of
from quintet.jobs.store import (
    INLINE_REQUEST,
    Blobs,
    IdempotencyKey,
    JobEvent,
    JobSubmissions,
    max_input_bytes,
)
from quintet.protocols.http import Request
from quintet.protocols.media import media_type
from quintet.protocols.registry import Asked, WireProtocol, kept_headers
from quintet.scoring import Model
from quintet.serving import Online, RequestContext
from quintet.serving.checking import check_values

__all__ = ["TTL_SECONDS", "CallbackEndpoints", "JobOptions", "Submitter", "idempotency_key"]

#: seconds until a job that no worker has started expires, unless the request sets its own
TTL_SECONDS = 21_600
CALLBACK = "x-quintet-callback"
KEY = "idempotency-key"
#: largest decompressed body with an idempotency key, in bytes: more than any contract allows
MAX_KEYED_BYTES = 32_000_000

#: the content types of S3 objects whose writer named none
_UNTYPED = ("", "binary/octet-stream", "application/octet-stream")

Target = tuple[str, int | None]


@dataclass(frozen=True, slots=True)
class JobOptions:
    """Options of jobs submitted through the SageMaker API.

    With an `inference_id`, results are stored and notified as SageMaker does; an empty one means
    the job's id. `stored` is the S3 location of the input, if it is in S3, and `typed` says that
    the request names its type. `folders` and `file` name the result in S3; `run_limit` bounds the
    run that scores the job, in seconds.
    """

    ttl: float = TTL_SECONDS
    inference_id: str | None = None
    stored: str = ""
    typed: bool = False
    folders: str = ""
    file: str = ""
    run_limit: int | None = None

    def output(self, job: str) -> str:
        """The key of the result, empty if unnamed. It contains the job's id, so it is unique."""
        parts = [part for part in ("results", self.folders, job, self.file) if part]
        return "/".join(parts) if len(parts) > 2 else ""


NO_OPTIONS = JobOptions()


class CallbackEndpoints(Protocol):
    """Registered callback endpoints."""

    def check(self, endpoint: str, caller: str) -> None:
        """Refuse an endpoint that a caller may not use.

        Raises:
            NotFound: the endpoint is not registered, or not for this caller.
            BadInput: the endpoint is disabled.
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
            QuintetError: the request is refused, or could not be stored.
        """
        request.check_model(target[0])
        key = idempotency_key(request, protocol.name, target, options)
        if key is not None:
            earlier = self.store.earlier(request.caller, key, self.clock())
            if earlier is not None:
                context.job, context.model, context.version = (
                    earlier.id,
                    earlier.model,
                    earlier.version,
                )
                return earlier
        route = online.route(context, *target)
        model = route.model
        if options.stored:
            content = self._stored(request, options)
        else:
            content = _checked(model, request, context, protocol)
        job = self._job(model, request, content, protocol.name, options)
        job = replace(
            self._without_large_body(job),
            traceparent=context.traceparent,
            rollout=rollout_of(route.rollout),
        )
        accepted, event = self.store.accept(job, key)
        if event is not None:
            with suppress(Transient):  # the sweep publishes it from the outbox
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

    def _stored(self, request: Request, options: JobOptions) -> Content:
        """An input in S3, checked as far as possible without reading it.

        Its type is the object's, unless the request names it.
        """
        place = options.stored
        size, content_type = self.blobs.describe(place)
        if size == 0:
            raise BadInput.of("InputLocation", "an object that is not empty", "0 bytes")
        media, of_object = request.media_type, media_type(content_type)
        if not options.typed and of_object not in _UNTYPED:
            media = of_object
        most = max_input_bytes(media)
        if size > most:
            raise TooLarge.of("InputLocation", f"at most {most} bytes", f"{size}")
        return Content(media, size, place=place, headers=kept_headers(request))

    def _without_large_body(self, job: Job) -> Job:
        """Return the job with a large body moved to S3."""
        content = job.request
        if content.body is None or content.size <= INLINE_REQUEST:
            return job
        place = self.blobs.put(f"payloads/{job.id}", content.body, "application/octet-stream")
        return replace(job, request=replace(content, body=None, place=place))


def _checked(
    model: Model, request: Request, context: RequestContext, protocol: WireProtocol
) -> Content:
    """Validate a request; return its content."""
    asked: Asked = protocol.decode(model.contract, request)
    context.rows = asked.batch.rows
    context.steps.ended["decode_ms"] = context.steps.timer()
    if not asked.partial:
        check_values(model, asked.batch)
    body = request.content(model.contract.limits.bytes)
    return Content(request.media_type, len(body), body, headers=kept_headers(request))


def idempotency_key(
    request: Request, form: str, target: Target, options: JobOptions
) -> IdempotencyKey | None:
    """The idempotency key of a request, with the SHA-256 of the request.

    Two requests are the same if their JSON differs only in white space or key order, or if only
    the media type of the answer differs.

    Raises:
        BadInput: the key is invalid, or the body cannot be decoded.
        TooLarge: the body is larger than any accepted body.
    """
    text = request.headers.get(KEY)
    if text is None:
        return None
    if not (0 < len(text) <= 255 and text.isascii() and text.isprintable()):
        raise BadInput.of("Idempotency-Key", "1 to 255 visible ASCII characters", "others")
    asked = (target, options.folders, options.file, options.run_limit, options.stored)
    headers = sorted(
        kept_headers(request).items() - {("accept", request.headers.get("accept", ""))}
    )
    subject = (asked, form, request.headers.get(CALLBACK), request.media_type, headers)
    digest = hashlib.sha256(repr(subject).encode())
    digest.update(_canonical(request.content(MAX_KEYED_BYTES)))
    return IdempotencyKey(hashlib.sha256(text.encode()).hexdigest(), digest.hexdigest())


def _canonical(body: bytes) -> bytes:
    """JSON without white space and with sorted keys; any other body unchanged."""
    try:
        return orjson.dumps(orjson.loads(body), option=orjson.OPT_SORT_KEYS)
    except (ValueError, TypeError, RecursionError):
        return body
