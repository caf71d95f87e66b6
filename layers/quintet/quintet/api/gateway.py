"""API Gateway's proxy events (REST API, format 1.0) to requests, and responses back.

https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from quintet.api.telemetry import RequestTelemetry
from quintet.errors import QuintetError, TooLarge
from quintet.protocols.http import ANONYMOUS, Request, Response
from quintet.serving import RequestContext

__all__ = ["Routes", "read", "render", "respond"]

Answer = Callable[[Request, RequestContext], Response]
Failure = Callable[[QuintetError | None, RequestContext], Response]
#: who answers a method and resource of template.yaml, and in whose form its errors are told
Routes = Mapping[tuple[str, str], tuple[Answer, Failure]]

#: text goes out as it is; everything else in base64, or API Gateway would take it for UTF-8
_TEXT = ("application/json", "application/problem+json", "application/jsonlines", "text/csv")

#: Lambda's 6 MB less the headers
#: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
MAX_RESPONSE_BYTES = 6_280_000

_SANE_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
_ASSUMED_ROLE = re.compile(r"(arn:[^:]+:sts::\d+:assumed-role/.+)/[^/]+")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")


def respond(
    event: Mapping[str, Any], routes: Routes, telemetry: Callable[[], RequestTelemetry]
) -> dict[str, Any]:
    """Answer a proxy event by its route; what goes wrong is an answer too, in the route's form."""
    request = read(event)
    answer, failure = routes[request.method, request.route]
    trace = request.headers.get("traceparent")
    context = RequestContext(request.id, _trace_id(trace) if trace else "")
    problem: Exception | None = None
    try:
        response = answer(request, context)
        rendered = render(response)
    except Exception as error:
        problem = error
        response = failure(error if isinstance(error, QuintetError) else None, context)
        rendered = render(response)
    rendered["headers"] |= _standard_headers(request, context)
    telemetry().settle(context, request, response, problem)
    return rendered


def read(event: Mapping[str, Any]) -> Request:
    """The request in a proxy event. The body is not decoded yet: its size is looked at first.

    The request's id is the caller's X-Request-Id where that is sane, else API Gateway's.
    """
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    own = headers.get("x-request-id", "")
    context = event.get("requestContext") or {}
    # what stands before the path in the URL is the stage, or a custom domain's mapping
    whole, path = context.get("path") or "", event.get("path") or ""
    return Request(
        method=event.get("httpMethod", ""),
        route=event.get("resource", ""),
        parameters={k: unquote(v) for k, v in (event.get("pathParameters") or {}).items()},
        headers=headers,
        raw=event.get("body") or "",
        encoded=bool(event.get("isBase64Encoded")),
        id=own if _SANE_ID.fullmatch(own) else str(context.get("requestId", "")),
        query=event.get("queryStringParameters") or {},
        caller=_caller(context),
        base=whole.removesuffix(path) if whole.endswith(path) and path else "",
    )


def _caller(context: Mapping[str, Any]) -> str:
    """Who called: an IAM user or role, the subject of an authoriser, else nobody in particular.

    The sessions of a role are one caller: they come and go with the machines that hold them.
    """
    identity = context.get("identity") or {}
    if arn := identity.get("userArn"):
        role = _ASSUMED_ROLE.fullmatch(arn)
        return str(role[1] if role else arn)
    subject = (context.get("authorizer") or {}).get("principalId") or identity.get("accountId")
    return str(subject or ANONYMOUS)


def _trace_id(traceparent: str) -> str:
    """The trace in W3C's header; empty if the header is not valid.

    https://www.w3.org/TR/trace-context/
    """
    match = _TRACEPARENT.fullmatch(traceparent)
    if match is None or match[0].startswith("ff") or not int(match[1], 16) or not int(match[2], 16):
        return ""
    return match[1]


def render(response: Response) -> dict[str, Any]:
    """A response as API Gateway takes it.

    Raises:
        TooLarge: Lambda would not carry it; fewer rows or outputs make it smaller.
    """
    body, text = response.body, response.content_type in _TEXT
    escaped = body.count(b'"') + body.count(b"\\")
    size = len(body) + escaped if text else len(body) * 4 // 3
    if size > MAX_RESPONSE_BYTES:
        raise TooLarge.of("answer", f"at most {MAX_RESPONSE_BYTES} bytes: ask for less", f"{size}")
    return {
        "statusCode": response.status,
        "headers": {"Content-Type": response.content_type, **response.headers},
        "body": body.decode() if text else base64.b64encode(body).decode(),
        "isBase64Encoded": not text,
    }


def _standard_headers(request: Request, context: RequestContext) -> dict[str, str]:
    """The headers that every answer carries: what answered, and the ids to find it by."""
    headers = {"X-Request-Id": context.id}
    if context.trace_id:
        headers["traceparent"] = request.headers["traceparent"]
    if context.version:
        headers["X-Quintet-Model"] = context.model
        headers["X-Quintet-Version"] = str(context.version)
        headers["X-Quintet-Route"] = context.route
    if context.cache:
        headers["X-Quintet-Cache"] = context.cache
    if context.fallback:
        headers["X-Quintet-Fallback"] = str(context.fallback)
    return headers
