"""predict: answers predictions over HTTP in the Open Inference, SageMaker and records forms."""

from __future__ import annotations

import os
from typing import Any

from quintet import coldstart
from quintet.aws import events
from quintet.codecs import oip, records, sagemaker
from quintet.codecs.answering import Family, answer
from quintet.errors import QuintetError
from quintet.online import Call
from quintet.wiring import predict as wiring

#: who answers, and in whose form errors are told, by template.yaml's routes
ROUTES: dict[tuple[str, str], Family] = {
    ("POST", "/models/{model}/predict"): records,
    ("POST", "/models/{model}/versions/{version}/predict"): records,
    ("GET", "/v2"): oip,
    ("GET", "/v2/{proxy+}"): oip,
    ("POST", "/v2/{proxy+}"): oip,
    ("POST", "/endpoints/{endpoint}/invocations"): sagemaker,
}

if "QUINTET_PRELOAD" in os.environ:  # in Lambda's init, so that the first request is warm
    wiring.warm_predict()
coldstart.started()


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answer one request of API Gateway."""
    request = events.read(event)
    family = ROUTES[request.method, request.route]
    call = Call(request.id, events.trace_id(request))
    problem: Exception | None = None
    try:
        if request.wants_job:  # what that takes is imported by those who ask for it
            from quintet.wiring import jobs

            response = jobs.accept(family, wiring.online(), request, call)
        else:
            response = answer(family, wiring.online(), request, call)
        events.check_size(response)
    except Exception as error:
        problem = error
        response = family.failure(error if isinstance(error, QuintetError) else None, call)
    response.headers |= events.standard_headers(request, call)
    wiring.predict_telemetry().settle(call, request, response, problem)
    return events.render(response)
