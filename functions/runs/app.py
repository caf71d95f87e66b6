"""runs: starts batch runs, shows, lists and stops them."""

from __future__ import annotations

from typing import Any

from quintet import coldstart
from quintet.aws import events
from quintet.codecs import runs_desk
from quintet.errors import QuintetError
from quintet.online import Call
from quintet.wiring import runs as wiring

#: who answers, by template.yaml's routes
ROUTES = {
    ("POST", "/runs"): lambda request: wiring.desk().start(request),
    ("GET", "/runs"): lambda request: wiring.desk().list(request),
    ("GET", "/runs/{model}/{run}"): lambda request: wiring.desk().show(request),
    ("DELETE", "/runs/{model}/{run}"): lambda request: wiring.desk().stop(request),
}
coldstart.started()


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answer one request of API Gateway, or start the run that a schedule asks for."""
    if "scheduled" in event:
        return wiring.start_scheduled(event)
    request = events.read(event)
    call = Call(request.id, events.trace_id(request))
    problem: Exception | None = None
    try:
        response = ROUTES[request.method, request.route](request)
    except Exception as error:
        problem = error
        response = runs_desk.failure(error if isinstance(error, QuintetError) else None, call)
    response.headers |= events.standard_headers(request, call)
    wiring.telemetry().settle(call, request, response, problem)
    return events.render(response)
