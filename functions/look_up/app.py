"""look_up: answers with the latest score of an entity, whatever path made it."""

from __future__ import annotations

from typing import Any

from quintet import coldstart
from quintet.aws import events
from quintet.codecs import scores_desk
from quintet.errors import QuintetError
from quintet.online import Call
from quintet.wiring import look_up as wiring

#: who answers, by template.yaml's routes
ROUTES = {("GET", "/scores/{model}/{entity}"): lambda request: wiring.desk().show(request)}
coldstart.started()


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answer one request of API Gateway."""
    request = events.read(event)
    call = Call(request.id, events.trace_id(request))
    problem: Exception | None = None
    try:
        response = ROUTES[request.method, request.route](request)
    except Exception as error:
        problem = error
        response = scores_desk.failure(error if isinstance(error, QuintetError) else None, call)
    response.headers |= events.standard_headers(request, call)
    wiring.telemetry().settle(call, request, response, problem)
    return events.render(response)
