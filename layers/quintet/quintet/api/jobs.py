"""Jobs over HTTP: show one, list a caller's, cancel one. Errors are problem+json."""

from __future__ import annotations

import base64
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from quintet.api.queries import check_keys, read_limit
from quintet.api.submit import location
from quintet.errors import BadInput, Transient
from quintet.jobs.job import OPEN, SETTLED, Content, Job, State
from quintet.jobs.store import JobEvent, JobQueries, JobSummary
from quintet.protocols import records
from quintet.protocols.http import RETRY_AFTER, Request, Response, json_body
from quintet.protocols.media import is_text
from quintet.serving.routes import NAME

__all__ = ["JobsApi", "failure"]

MAX_PAGE = 100
DEFAULT_PAGE = 50
_QUERY = {"model", "state", "next", "limit"}

failure = records.failure


@dataclass(frozen=True)
class JobsApi:
    """The resource /jobs. `link` presigns a URL for a result's S3 location."""

    store: JobQueries
    publish: Callable[[JobEvent], None]
    link: Callable[[str], str]
    clock: Callable[[], float]

    def show(self, request: Request) -> Response:
        """Answer GET /jobs/{job}. Raises NotFound: the caller has no such job."""
        return self._answer(self.store.get(request.parameters["job"], request.caller))

    def cancel(self, request: Request) -> Response:
        """Answer DELETE /jobs/{job}; idempotent.

        Raises:
            NotFound: the caller has no such job.
            Conflict: the job has ended in another state.
        """
        job, event = self.store.cancel(request.parameters["job"], request.caller, self.clock())
        if event is not None:
            with suppress(Transient):  # the sweep publishes it from the outbox
                self.publish(event)
        return self._answer(job)

    def list(self, request: Request) -> Response:
        """Answer GET /jobs?model=&state=&limit=&next=.

        Raises:
            BadInput: the query has an unknown key or an invalid value.
        """
        query = request.query
        check_keys(query, _QUERY)
        model = query.get("model")
        if model is not None and not NAME.fullmatch(model):
            raise BadInput.of("model", "a model's name", repr(model[:60]))
        found = self.store.page(
            request.caller,
            model=model,
            state=_state(query.get("state")),
            after=query.get("next"),
            most=read_limit(query.get("limit"), DEFAULT_PAGE, MAX_PAGE),
        )
        jobs = [_summary(request, summary) for summary in found.jobs]
        return Response(200, json_body({"jobs": jobs, "next": found.next}))

    def _answer(self, job: Job) -> Response:
        body: dict[str, Any] = {
            "id": job.id,
            "state": job.state,
            "model": job.model,
            "version": job.version,
            "created": _time(job.created),
            "updated": _time(job.updated),
            "deadline": _time(job.deadline),
            "attempts": job.attempts,
            "progress": self._progress(job),
        }
        if job.inference_id:
            body["inference_id"] = job.inference_id
        if job.endpoint is not None:
            body["callback"] = job.endpoint
        if job.result is not None:
            body["result"] = self._result(job.result)
        if job.problem is not None:
            body["error"] = dict(job.problem)
        headers = {} if job.settled else {"Retry-After": str(RETRY_AFTER)}
        return Response(200, json_body(body), headers=headers)

    def _progress(self, job: Job) -> dict[str, Any]:
        """A job's current step. One run scores all its rows, so there is no percentage."""
        step = "ended" if job.settled else "waiting"
        if job.state == "LEASED" and job.lease is not None and job.lease.until > self.clock():
            step = "running"  # else its worker crashed, and SQS redelivers its message
        return {"step": step, "since": _time(job.updated)}

    def _result(self, content: Content) -> dict[str, Any]:
        """A result: JSON and text inline, other bytes in base64, a result in S3 as a link."""
        found: dict[str, Any] = {"content_type": content.content_type, "size": content.size}
        if content.headers:
            found["headers"] = dict(content.headers)
        if content.place is not None:
            found["url"] = self.link(content.place)
        elif content.content_type == "application/json":
            found["body"] = orjson.Fragment(content.body or b"null")
        elif is_text(content.content_type):
            found["body"] = (content.body or b"").decode()
        else:
            found["base64"] = base64.b64encode(content.body or b"").decode()
        return found


def _summary(request: Request, job: JobSummary) -> dict[str, Any]:
    return {
        "id": job.id,
        "state": job.state,
        "model": job.model,
        "version": job.version,
        "created": _time(job.created),
        "updated": _time(job.updated),
        "location": location(request, job.id),
    }


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def _state(text: str | None) -> State | None:
    if text is None:
        return None
    known = (*OPEN, *SETTLED)
    if text not in known:
        raise BadInput.of("state", f"one of {', '.join(known)}", repr(text[:60]))
    return text
