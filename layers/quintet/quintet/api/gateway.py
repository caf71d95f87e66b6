"""Convert API Gateway proxy events (REST API, format 1.0) to requests, and responses back.

https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

import orjson

from quintet.api.telemetry import RequestTelemetry
from quintet.captures.events import new_event, taken
from quintet.errors import Forbidden, QuintetError, TooLarge
from quintet.protocols.http import ANONYMOUS, MAX_RESPONSE_BYTES, Request, Response
from quintet.serving import RequestContext

__all__ = ["Routes", "owner_of", "read", "render", "respond"]

Answer = Callable[[Request, RequestContext], Response]
Failure = Callable[[QuintetError | None, RequestContext], Response]
#: the handler of each method and resource of template.yaml, and the format of its errors
Routes = Mapping[tuple[str, str], tuple[Answer, Failure]]

#: content types sent as text; others are base64-encoded, or API Gateway would decode them as UTF-8
_TEXT = ("application/json", "application/problem+json", "application/jsonlines", "text/csv")

_SANE_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
_ASSUMED_ROLE = re.compile(r"(arn:[^:]+:sts::\d+:assumed-role/.+)/[^/]+")
_ROLE = re.compile(r"arn:([^:]+):iam::(\d+):role/(?:.+/)?([^/]+)")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")


def respond(
    event: Mapping[str, Any],
    routes: Routes,
    telemetry: Callable[[], RequestTelemetry],
    auth: Callable[[], str],
) -> dict[str, Any]:
    """Answer a proxy event by its route; errors are answered in the route's format.

    `auth` is how the API authenticates callers; without an identity, a request is answered only
    if it is "none".
    """
    request = read(event)
    answer, failure = routes[request.method, request.route]
    trace = request.headers.get("traceparent")
    context = RequestContext(request.id, _trace_id(trace) if trace else "")
    problem: Exception | None = None
    try:
        # the expectation comes from a setting, never from the event: if the API's authoriser was
        # removed or identifies nobody, every request is refused
        if request.caller == ANONYMOUS and auth() != "none":
            raise Forbidden.of("caller", "an identity from the API's authoriser", "none")
        response = answer(request, context)
        rendered = render(response)
    except Exception as error:
        problem = error
        response = failure(error if isinstance(error, QuintetError) else None, context)
        rendered = render(response)
    if context.contract is not None and (capture := context.contract.capture) is not None:
        identity = context.job or new_event()
        # a model's metadata is no prediction
        asked = context.prediction is not None or context.job or problem is not None
        context.event = identity if asked and taken(identity, capture.rate) else ""
    rendered["headers"] |= _standard_headers(request, context)
    telemetry().settle(context, request, response, problem)
    return rendered


def read(event: Mapping[str, Any]) -> Request:
    """Read the request of a proxy event. The body is not decoded yet: its size is checked first.

    The request id is the caller's X-Request-Id if it is valid, else API Gateway's.
    """
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    own = headers.get("x-request-id", "")
    context = event.get("requestContext") or {}
    route, parameters = event.get("resource", ""), event.get("pathParameters") or {}
    return Request(
        method=event.get("httpMethod", ""),
        route=route,
        parameters={k: unquote(v) for k, v in parameters.items()},
        headers=headers,
        raw=event.get("body") or "",
        encoded=bool(event.get("isBase64Encoded")),
        id=own if _SANE_ID.fullmatch(own) else str(context.get("requestId", "")),
        query=event.get("queryStringParameters") or {},
        caller=_caller(context),
        base=_base(context.get("path") or "", route, parameters),
    )


def _caller(context: Mapping[str, Any]) -> str:
    """The caller in a `requestContext`; ANONYMOUS if nothing in it identifies one.

    All users of an identity pool share a role, so the user's own id is preferred. An account id
    does not identify a caller: all its users and roles share it.
    """
    identity = context.get("identity") or {}
    authorizer = context.get("authorizer") or {}
    claims = authorizer.get("claims") or {}
    arn = identity.get("userArn")
    found = (
        identity.get("cognitoIdentityId")
        or (_without_session(arn) if arn else None)
        or authorizer.get("principalId")
        or (claims.get("sub") if isinstance(claims, Mapping) else None)
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


def _base(path: str, route: str, parameters: Mapping[str, str]) -> str:
    """The URL prefix of the API's paths: the stage, or a custom domain's mapping.

    The event's `path` includes a mapping, so the prefix is the path without the route's segments.
    """
    length = 0
    for segment in route.strip("/").split("/"):
        greedy = segment.endswith("+}")
        length += len(parameters.get(segment[1:-2], "").split("/")) if greedy else 1
    return "/".join(path.rstrip("/").split("/")[:-length])


def _trace_id(traceparent: str) -> str:
    """The trace id in the W3C traceparent header; empty if the header is invalid.

    https://www.w3.org/TR/trace-context/
    """
    match = _TRACEPARENT.fullmatch(traceparent)
    if match is None or match[0].startswith("ff") or not int(match[1], 16) or not int(match[2], 16):
        return ""
    return match[1]


def render(response: Response) -> dict[str, Any]:
    """Convert a response to API Gateway's format.

    Raises:
        TooLarge: the response exceeds Lambda's limit; request fewer rows or outputs.
    """
    body, text = response.body, response.content_type in _TEXT
    # in Lambda's JSON a line feed takes two bytes, another control character up to six
    size = len(body) * 6 if text else -(-len(body) // 3) * 4
    if text and size > MAX_RESPONSE_BYTES:
        size = len(orjson.dumps(body.decode())) - 2
    if size > MAX_RESPONSE_BYTES:
        raise TooLarge.of("answer", f"at most {MAX_RESPONSE_BYTES} bytes: ask for less", f"{size}")
    return {
        "statusCode": response.status,
        "headers": {"Content-Type": response.content_type, **response.headers},
        "body": body.decode() if text else base64.b64encode(body).decode(),
        "isBase64Encoded": not text,
    }


def _standard_headers(request: Request, context: RequestContext) -> dict[str, str]:
    """The headers of every answer: its ids, and the model that answered."""
    headers = {"X-Request-Id": context.id}
    if context.trace_id:
        headers["traceparent"] = request.headers["traceparent"]
    if context.version:
        headers["X-Quintet-Model"] = context.model
        headers["X-Quintet-Version"] = str(context.version)
        headers["X-Quintet-Route"] = context.route
    if context.event:
        headers["X-Quintet-Event"] = context.event
    if context.cache:
        headers["X-Quintet-Cache"] = context.cache
    if context.fallback:
        headers["X-Quintet-Fallback"] = str(context.fallback)
    return headers
