"""Answer a prediction request with a job: `Prefer: respond-async`, in any protocol."""

from __future__ import annotations

from quintet.jobs.submit import Submitter
from quintet.protocols.http import RETRY_AFTER, Request, Response, json_body
from quintet.protocols.registry import WireProtocol
from quintet.serving import Online, RequestContext

__all__ = ["answer", "location"]


def answer(
    submitter: Submitter,
    protocol: WireProtocol,
    online: Online,
    request: Request,
    context: RequestContext,
) -> Response:
    """Answer with 202 and the job's location.

    Raises:
        QuintetError: the request is refused or failed; `protocol.failure` renders the error.
    """
    if protocol.about is not None:  # RFC 7240 allows ignoring a preference
        response = protocol.about(online, request, context)
        if response is not None:
            return response
    target = protocol.target(request)
    job = submitter.submit(online, request, context, protocol, target=target)
    body = {"id": job.id, "state": job.state, "model": job.model, "version": job.version}
    headers = {
        "Location": location(request, job.id),
        "Preference-Applied": "respond-async",
        "Retry-After": str(RETRY_AFTER),
    }
    return Response(202, json_body(body), headers=headers)


def location(request: Request, job: str) -> str:
    """The URL path of a job, including the stage."""
    return f"{request.base}/jobs/{job}"
