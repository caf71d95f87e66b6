"""submit: accepts SageMaker's asynchronous invocations, shows jobs and cancels them."""

from __future__ import annotations

from typing import Any

from quintet import coldstart
from quintet.api import gateway, jobs, sagemaker_async
from quintet.protocols.http import Request, Response
from quintet.serving import RequestContext
from quintet.wiring import common
from quintet.wiring import jobs as wiring


def invoke(request: Request, context: RequestContext) -> Response:
    """Accept a SageMaker asynchronous invocation."""
    bucket = wiring.submit_settings().payloads_bucket
    return sagemaker_async.answer(
        wiring.submitter(), wiring.contracts(), request, context, bucket=bucket
    )


ROUTES = gateway.Routes(
    {
        ("POST", "/endpoints/{endpoint}/async-invocations"): (invoke, sagemaker_async.failure),
        ("GET", "/jobs"): (lambda request, context: wiring.api().list(request), jobs.failure),
        ("GET", "/jobs/{job}"): (lambda request, context: wiring.api().show(request), jobs.failure),
        ("DELETE", "/jobs/{job}"): (
            lambda request, context: wiring.api().cancel(request),
            jobs.failure,
        ),
    }
)
coldstart.started()


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answer one API Gateway request."""
    return gateway.respond(event, ROUTES, common.request_telemetry, common.auth)
