"""runs: starts batch runs, shows, lists and stops them."""

from __future__ import annotations

from typing import Any

from quintet import coldstart
from quintet.api import gateway
from quintet.api.runs import failure
from quintet.wiring import common
from quintet.wiring import runs as wiring

ROUTES = gateway.Routes(
    {
        ("POST", "/runs"): (lambda request, call: wiring.api().start(request, call), failure),
        ("GET", "/runs"): (lambda request, call: wiring.api().list(request), failure),
        ("GET", "/runs/{model}/{run}"): (lambda request, call: wiring.api().show(request), failure),
        ("DELETE", "/runs/{model}/{run}"): (
            lambda request, call: wiring.api().stop(request),
            failure,
        ),
    }
)
coldstart.started()


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answer one API Gateway request, or start the run of a schedule."""
    if "scheduled" in event:
        return wiring.start_scheduled(event)
    return gateway.respond(event, ROUTES, common.request_telemetry, common.auth)
