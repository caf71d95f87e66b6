"""submit: accepts SageMaker's asynchronous invocations, shows jobs and cancels them."""

from __future__ import annotations

from typing import Any

from quintet import coldstart
from quintet.aws import events
from quintet.codecs import jobs_desk, sagemaker_async
from quintet.codecs.messages import Request, Response
from quintet.errors import QuintetError
from quintet.online import Call
from quintet.wiring import jobs as wiring


def invoke(request: Request, call: Call) -> Response:
    """Accept one of SageMaker's asynchronous invocations."""
    bucket = wiring.submit_settings().payloads_bucket
    return sagemaker_async.answer(wiring.intake(), wiring.contracts(), request, call, bucket=bucket)


#: who answers, and in whose form errors are told, by template.yaml's routes
ROUTES = {
    ("POST", "/endpoints/{endpoint}/async-invocations"): (invoke, sagemaker_async),
    ("GET", "/jobs"): (lambda request, call: wiring.desk().list(request), jobs_desk),
    ("GET", "/jobs/{job}"): (lambda request, call: wiring.desk().show(request), jobs_desk),
    ("DELETE", "/jobs/{job}"): (lambda request, call: wiring.desk().cancel(request), jobs_desk),
}
coldstart.started()


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answer one request of API Gateway."""
    request = events.read(event)
    answer, family = ROUTES[request.method, request.route]
    call = Call(request.id, events.trace_id(request))
    problem: Exception | None = None
    try:
        response = answer(request, call)
    except Exception as error:
        problem = error
        response = family.failure(error if isinstance(error, QuintetError) else None, call)
    response.headers |= events.standard_headers(request, call)
    wiring.submit_telemetry().settle(call, request, response, problem)
    return events.render(response)
