"""submit: accepts SageMaker's asynchronous invocations, shows jobs and cancels them."""

from __future__ import annotations

from typing import Any

from quintet import coldstart
from quintet.aws import events
from quintet.codecs import jobs_desk, sagemaker_async
from quintet.codecs.messages import Request, Response
from quintet.online import Call
from quintet.wiring import jobs as wiring


def invoke(request: Request, call: Call) -> Response:
    """Accept one of SageMaker's asynchronous invocations."""
    bucket = wiring.submit_settings().payloads_bucket
    return sagemaker_async.answer(wiring.intake(), wiring.contracts(), request, call, bucket=bucket)


ROUTES: events.Routes = {
    ("POST", "/endpoints/{endpoint}/async-invocations"): (invoke, sagemaker_async.failure),
    ("GET", "/jobs"): (lambda request, call: wiring.desk().list(request), jobs_desk.failure),
    ("GET", "/jobs/{job}"): (lambda request, call: wiring.desk().show(request), jobs_desk.failure),
    ("DELETE", "/jobs/{job}"): (
        lambda request, call: wiring.desk().cancel(request),
        jobs_desk.failure,
    ),
}
coldstart.started()


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answer one request of API Gateway."""
    return events.respond(event, ROUTES, wiring.submit_telemetry)
