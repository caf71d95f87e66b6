"""Convert API Gateway proxy events (REST API, format 1.0) to requests, and responses back.

https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
"""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from quintet.api import cors
from quintet.api.routing import Found, Routes
from quintet.api.stdout import TRACE
from quintet.api.telemetry import RequestTelemetry
from quintet.captures.events import new_event, taken
from quintet.errors import BadInput, Forbidden, MethodNotAllowed, QuintetError, TooLarge, shown
from quintet.protocols.http import ANONYMOUS, MAX_RESPONSE_BYTES, Request, Response
from quintet.protocols.media import accepts_gzip, is_text
from quintet.protocols.records import problem
from quintet.serving import RequestContext
from quintet.telemetry import w3c

__all__ = ["Routes", "owner_of", "read", "render", "respond"]

#: headers that are lists: of several lines, API Gateway's `headers` has the last alone
_LISTS = ("accept", "accept-encoding", "access-control-request-headers", "prefer")

#: bytes from which an answer is compressed for a client that asks; less fits one network packet
MIN_COMPRESSED = 1_400

_SANE_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
_ASSUMED_ROLE = re.compile(r"(arn:[^:]+:sts::\d+:assumed-role/.+)/[^/]+")
_ROLE = re.compile(r"arn:([^:]+):iam::(\d+):role/(?:.+/)?([^/]+)")


def respond(
    event: Mapping[str, Any],
    routes: Routes,
    telemetry: Callable[[], RequestTelemetry],
    auth: Callable[[], str],
) -> dict[str, Any]:
    """Answer a proxy event by its route; errors are answered in the route's format.

    OPTIONS is answered here, for anyone: a browser asks it without credentials. `auth` is how the
    API authenticates callers; without an identity, a request is answered only if it is "none".
    """
    try:
        parameters = event.get("pathParameters") or {}
        found = routes.find(event["httpMethod"], event["resource"], tuple(parameters.items()))
    except (AttributeError, KeyError, TypeError):  # invoked by hand, without a request
        return _no_request(event, routes)
    request = read(event, found)
    context = RequestContext(request.id)
    trace = request.headers.get("traceparent")
    if trace and (trace_id := w3c.trace_id(trace)):
        context.trace_id, context.traceparent = trace_id, trace
    settling = telemetry()
    # not a method: most requests are not sampled, and a call costs
    if xray := settling.output.environ.get(TRACE, ""):
        context.xray = xray
        if "Sampled=1" in xray:
            settling.begin_span(context, xray)
    problem: Exception | None = None
    asks_methods = request.method == "OPTIONS"
    try:
        if asks_methods and found.allowed:
            response = Response(204, b"")
        # the expectation comes from a setting, never from the event: if the API's authoriser was
        # removed or identifies nobody, every request is refused
        elif not asks_methods and request.caller == ANONYMOUS and auth() != "none":
            raise Forbidden.of("caller", "an identity from the API's authoriser", "none")
        else:
            response = found.answer(request, context)
        rendered = render(response, request.headers.get("accept-encoding"))
    except Exception as error:
        problem = error
        response = found.failure(error if isinstance(error, QuintetError) else None, context)
        rendered = render(response)
    if context.contract is not None and (capture := context.contract.capture) is not None:
        identity = context.job or context.event or new_event()
        # a model's metadata is no prediction
        asked = context.prediction is not None or context.job or problem is not None
        asked = asked or context.impression is not None  # of a recommendation without a run
        context.event = identity if asked and taken(identity, capture.rate) else ""
    else:
        context.event = ""
    rendered["headers"] |= _standard_headers(request, context)
    if found.allowed and (asks_methods or isinstance(problem, MethodNotAllowed)):
        rendered["headers"]["Allow"] = ", ".join(found.allowed)
    if variables := event.get("stageVariables"):
        _share(rendered["headers"], variables, request, found)
    settling.settle(context, request, response, problem)
    return rendered


def _no_request(event: object, routes: Routes) -> dict[str, Any]:
    """The answer to an event that is no request of API Gateway, or of another function's path."""
    prefixes = sorted({route.split("/")[1] for _, route in routes.table})
    paths = ", ".join(f"/{prefix}" for prefix in prefixes)
    expected = f"an API Gateway request (httpMethod, resource) below {paths}; see events/"
    body = orjson.dumps(problem(BadInput.of("event", expected, shown(event))))
    return render(Response(400, body, "application/problem+json"))


def read(event: Mapping[str, Any], found: Found) -> Request:
    """Read the request of a proxy event. The body is not decoded yet: its size is checked first.

    The request id is the caller's X-Request-Id if it is valid, else API Gateway's.
    """
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    repeated = event.get("multiValueHeaders") or {}
    if not set(map(len, repeated.values())) <= {1}:
        for name, values in repeated.items():
            if len(values) > 1 and name.lower() in _LISTS:
                headers[name.lower()] = ", ".join(values)
    own = headers.get("x-request-id", "")
    context = event.get("requestContext") or {}
    authorizer = context.get("authorizer")
    return Request(
        method=found.method,
        route=found.route,
        parameters=found.parameters,
        headers=headers,
        raw=event.get("body") or "",
        encoded=bool(event.get("isBase64Encoded")),
        id=own if own and _SANE_ID.fullmatch(own) else str(context.get("requestId", "")),
        query=event.get("queryStringParameters") or {},
        caller=_caller(context, authorizer or {}),
        path=context.get("path") or "",
        segments=found.segments,
        models=tuple(authorizer["models"].split(","))
        if authorizer and "models" in authorizer
        else (),
    )


def _caller(context: Mapping[str, Any], authorizer: Mapping[str, Any]) -> str:
    """The caller in a `requestContext` with what an authoriser said; ANONYMOUS if there is none.

    All users of an identity pool share a role, so the user's own id is preferred. An account id
    does not identify a caller: all its users and roles share it.
    """
    identity = context.get("identity") or {}
    claims = authorizer.get("claims") or {}
    arn = identity.get("userArn")
    found = (
        identity.get("cognitoIdentityId")
        or (_without_session(arn) if arn else None)
        or authorizer.get("principalId")
        or (claims.get("sub") if isinstance(claims, dict) else None)
        or identity.get("apiKeyId")
    )
    return str(found or ANONYMOUS)


def owner_of(arn: str) -> str:
    """The owner that jobs store for a caller, from a user's ARN or either ARN of a role.

    IAM writes a role as `arn:aws:iam::1:role/path/shop`, and a session of it as
    `arn:aws:sts::1:assumed-role/shop`, without the path.
    """
    if role := _ROLE.fullmatch(arn):
        partition, account, name = role.groups()
        return f"arn:{partition}:sts::{account}:assumed-role/{name}"
    return _without_session(arn)


def _without_session(arn: str) -> str:
    """The ARN of a user or role without its session, which differs between machines."""
    role = _ASSUMED_ROLE.fullmatch(arn)
    return role[1] if role else arn


def render(response: Response, accept_encoding: str | None = None) -> dict[str, Any]:
    """Convert a response to API Gateway's format, compressed if it is large and the client asks.

    Raises:
        TooLarge: the response exceeds Lambda's limit; request fewer rows or outputs, or gzip.
    """
    body, content_type = response.body, response.content_type
    headers = {"Content-Type": content_type, **response.headers}
    text = content_type == "application/json" or is_text(content_type)
    if response.compress and len(body) >= MIN_COMPRESSED and accept_encoding:
        headers["Vary"] = "Accept-Encoding"
        if accepts_gzip(accept_encoding) and len(packed := _gzip(body)) < len(body):
            body, text = packed, False
            headers["Content-Encoding"] = "gzip"
    # in Lambda's JSON a line feed takes two bytes, another control character up to six
    size = len(body) * 6 if text else -(-len(body) // 3) * 4
    if text and size > MAX_RESPONSE_BYTES:
        size = len(orjson.dumps(body.decode())) - 2
    if size > MAX_RESPONSE_BYTES:
        expected = f"at most {MAX_RESPONSE_BYTES} bytes: ask for less, or accept gzip"
        raise TooLarge.of("answer", expected, f"{size}")
    return {
        "statusCode": response.status,
        "headers": headers,
        "body": body.decode() if text else base64.b64encode(body).decode(),
        "isBase64Encoded": not text,
    }


def _gzip(body: bytes) -> bytes:
    """A body compressed at the fastest level: a client waits for it."""
    packer = zlib.compressobj(level=1, wbits=31)
    return packer.compress(body) + packer.flush()


def _share(
    headers: dict[str, str], variables: Mapping[str, str], request: Request, found: Found
) -> None:
    """Add the headers of `quintet.api.cors` to an answer, if the stage names origins."""
    if origins := variables.get("CorsOrigins"):
        preflight = found.allowed if request.method == "OPTIONS" else None
        shared = cors.headers(origins, request.headers, preflight)
        if "Vary" in headers:
            shared["Vary"] += f", {headers['Vary']}"
        headers |= shared


def _standard_headers(request: Request, context: RequestContext) -> dict[str, str]:
    """The headers of every answer: its ids, and the model that answered."""
    headers = {"X-Request-Id": context.id}
    if context.traceparent:
        headers["traceparent"] = context.traceparent
    if context.version:
        headers["X-Quintet-Model"] = context.model
        headers["X-Quintet-Version"] = str(context.version)
        headers["X-Quintet-Route"] = context.route
        if context.answered:  # by a rollout's versions
            headers["X-Quintet-Routed"] = "entity"
            if len(context.answered) > 1:  # each with its route
                answered = {(one.contract.version, one.route): 1 for one in context.answered}
                headers["X-Quintet-Version"] = ", ".join(str(version) for version, _ in answered)
                headers["X-Quintet-Route"] = ", ".join(route for _, route in answered)
    if context.event:
        headers["X-Quintet-Event"] = context.event
    if context.cache:
        headers["X-Quintet-Cache"] = context.cache
    if context.fallback:
        headers["X-Quintet-Fallback"] = str(context.fallback)
    return headers
