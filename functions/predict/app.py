"""predict: answers predictions over HTTP in the Open Inference, SageMaker and records forms."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

from quintet import coldstart
from quintet.api import gateway
from quintet.api.predict import Family, answer
from quintet.protocols import oip, records, sagemaker
from quintet.protocols.http import Request, Response
from quintet.serving import RequestContext
from quintet.wiring import common
from quintet.wiring import predict as wiring


def predict(family: Family, request: Request, context: RequestContext) -> Response:
    """Answer with predictions, or with a job where the caller would rather have that."""
    if request.wants_job:  # what that takes is imported by those who ask for it
        from quintet.wiring import jobs

        return jobs.accept(family, wiring.online(), request, context)
    return answer(family, wiring.online(), request, context)


FAMILIES: dict[tuple[str, str], Family] = {
    ("POST", "/models/{model}/predict"): records,
    ("POST", "/models/{model}/versions/{version}/predict"): records,
    ("GET", "/v2"): oip,
    ("GET", "/v2/{proxy+}"): oip,
    ("POST", "/v2/{proxy+}"): oip,
    ("POST", "/endpoints/{endpoint}/invocations"): sagemaker,
}
ROUTES: gateway.Routes = {
    route: (partial(predict, family), family.failure) for route, family in FAMILIES.items()
}

if "QUINTET_PRELOAD" in os.environ:  # in Lambda's init, so that the first request is warm
    wiring.warm_predict()
coldstart.started()


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answer one request of API Gateway."""
    return gateway.respond(event, ROUTES, common.request_telemetry)
