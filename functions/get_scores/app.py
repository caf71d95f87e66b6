"""get_scores: returns the latest score of an entity, from whichever path wrote it."""

from __future__ import annotations

from typing import Any

from quintet import coldstart
from quintet.api import gateway
from quintet.api.scores import failure
from quintet.wiring import common
from quintet.wiring import get_scores as wiring

ROUTES = gateway.Routes(
    {
        ("GET", "/scores/{model}/{entity}"): (
            lambda request, call: wiring.api().show(request),
            failure,
        )
    }
)
coldstart.started()


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answer one API Gateway request."""
    return gateway.respond(event, ROUTES, common.request_telemetry, common.auth)
