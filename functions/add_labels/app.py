"""add_labels: keeps labels of predictions and feedback on recommendations, beside captures."""

from __future__ import annotations

from typing import Any

from quintet import coldstart
from quintet.api import gateway
from quintet.api.labels import failure
from quintet.wiring import add_labels as wiring
from quintet.wiring import common

ROUTES = gateway.Routes(
    {
        ("POST", "/labels"): (lambda request, call: wiring.labels().add(request), failure),
        ("POST", "/feedback"): (lambda request, call: wiring.feedback().add(request), failure),
    }
)
coldstart.started()


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answer one API Gateway request."""
    return gateway.respond(event, ROUTES, common.request_telemetry, common.auth)
