"""predict: answers predictions over HTTP in four forms: records, OIP V2, SageMaker, KServe V1.

It answers requests for recommendations, too.
"""

from __future__ import annotations

import os
from functools import partial
from typing import Any

from quintet import coldstart
from quintet.api import gateway
from quintet.protocols.http import Request, Response
from quintet.protocols.registry import (
    KSERVE,
    OIP,
    RECORDS,
    SAGEMAKER,
    SAGEMAKER_STREAM,
    WireProtocol,
)
from quintet.serving import RequestContext
from quintet.wiring import common
from quintet.wiring import predict as wiring


def predict(protocol: WireProtocol, request: Request, context: RequestContext) -> Response:
    """Answer with predictions, or with a job if the caller prefers one."""
    if request.wants_job:  # imported lazily: most requests do not need it
        from quintet.wiring import jobs

        return jobs.accept(protocol, wiring.online(), request, context)
    return protocol.answer(wiring.online(), request, context)


def recommend(request: Request, context: RequestContext) -> Response:
    """Answer with the items that a user may want now."""
    from quintet.api import recommendations  # lazily: most models rank nothing

    return recommendations.answer(wiring.recommender(), request, context)


_PROTOCOLS: dict[tuple[str, str], WireProtocol] = {
    ("POST", "/models/{model}/predict"): RECORDS,
    ("POST", "/models/{model}/versions/{version}/predict"): RECORDS,
    ("GET", "/v2"): OIP,
    ("GET", "/v2/{proxy+}"): OIP,
    ("POST", "/v2/{proxy+}"): OIP,
    ("POST", "/endpoints/{endpoint}/invocations"): SAGEMAKER,
    ("POST", "/endpoints/{endpoint}/invocations-response-stream"): SAGEMAKER_STREAM,
    ("GET", "/v1/models"): KSERVE,
    ("POST", "/v1/models/{model}:predict"): KSERVE,
    ("GET", "/v1/models/{model}"): KSERVE,
}
ROUTES = gateway.Routes(
    {
        route: (partial(predict, protocol), protocol.failure)
        for route, protocol in _PROTOCOLS.items()
    }
    | {
        (method, "/models/{model}/recommendations/{user}"): (recommend, RECORDS.failure)
        for method in ("GET", "POST")
    }
)

if "QUINTET_PRELOAD" in os.environ:  # in Lambda's init, so that the first request is warm
    wiring.warm_predict()
coldstart.started()


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answer one API Gateway request."""
    return gateway.respond(event, ROUTES, common.request_telemetry, common.auth)
