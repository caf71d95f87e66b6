"""predict: answers predictions over HTTP in four forms: records, OIP V2, SageMaker, KServe V1.

It answers requests for recommendations, and describes the API, too.
"""

from __future__ import annotations

import os
from functools import partial
from typing import Any

from quintet import coldstart
from quintet.api import gateway, marshalling
from quintet.errors import QuintetError
from quintet.protocols.http import Request, Response
from quintet.protocols.registry import protocol
from quintet.serving import RequestContext
from quintet.wiring import common
from quintet.wiring import predict as wiring


def predict(form: str, request: Request, context: RequestContext) -> Response:
    """Answer with predictions, or with a job if the caller prefers one."""
    if request.wants_job:  # imported lazily: most requests do not need it
        from quintet.wiring import jobs

        return jobs.accept(protocol(form), wiring.online(), request, context)
    return protocol(form).answer(wiring.online(), request, context)


def failure(form: str, error: QuintetError | None, context: RequestContext) -> Response:
    """Answer with an error, in the form of the request's protocol."""
    return protocol(form).failure(error, context)


def recommend(request: Request, context: RequestContext) -> Response:
    """Answer with the items that a user may want now."""
    from quintet.api import recommendations  # lazily: most models rank nothing

    return recommendations.answer(wiring.recommender(), request, context)


def describe(request: Request, context: RequestContext) -> Response:
    """Answer with the OpenAPI document of a model, or of the API."""
    return wiring.openapi().answer(request)


_FORMS = {
    ("POST", "/models/{model}/predict"): "records",
    ("POST", "/models/{model}/versions/{version}/predict"): "records",
    ("GET", "/v2"): "oip",
    ("GET", "/v2/{proxy+}"): "oip",
    ("POST", "/v2/{proxy+}"): "oip",
    ("POST", "/endpoints/{endpoint}/invocations"): "sagemaker",
    ("POST", "/endpoints/{endpoint}/invocations-response-stream"): "sagemaker-stream",
    ("GET", "/v1/models"): "kserve",
    ("POST", "/v1/models/{model}:predict"): "kserve",
    ("GET", "/v1/models/{model}"): "kserve",
}
ROUTES = gateway.Routes(
    {route: (partial(predict, form), partial(failure, form)) for route, form in _FORMS.items()}
    | {
        (method, "/models/{model}/recommendations/{user}"): (recommend, partial(failure, "records"))
        for method in ("GET", "POST")
    }
    | {
        ("GET", route): (describe, partial(failure, "records"))
        for route in ("/openapi.json", "/models/{model}/openapi.json")
    }
)

if "QUINTET_PRELOAD" in os.environ:  # in Lambda's init, so that the first request is warm
    wiring.warm_predict()
marshalling.use_orjson()
coldstart.started()


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answer one API Gateway request."""
    return gateway.respond(event, ROUTES, common.request_telemetry, common.auth)
