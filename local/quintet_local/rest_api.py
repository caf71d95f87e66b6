"""API Gateway's REST API, pure: routes, Lambda proxy events, and responses.

https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
"""

from __future__ import annotations

import base64
import binascii
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import parse_qsl

from quintet_local.authorizers import Authorizer
from quintet_local.http1 import Request, Response
from quintet_local.names import ACCOUNT

__all__ = [
    "MalformedAnswer",
    "Match",
    "Route",
    "Router",
    "is_binary",
    "proxy_event",
    "proxy_response",
]

MAX_BODY = 10 * 1024 * 1024
TIME_LIMIT = 29.0


class MalformedAnswer(Exception):
    """The function's response does not have the proxy integration's form."""


@dataclass(frozen=True)
class Route:
    """A method (ANY matches every one) of a resource, and its function."""

    method: str
    resource: str
    function_arn: str
    authorizer: Authorizer | None = None


@dataclass(frozen=True)
class Match:
    route: Route
    parameters: dict[str, str]


@dataclass
class _Node:
    """One segment of the resource tree."""

    fixed: dict[str, _Node] = field(default_factory=dict)
    variable: _Node | None = None
    greedy: _Node | None = None
    name: str = ""
    routes: dict[str, Route] = field(default_factory=dict)


class Router:
    """Finds the route of a request: fixed segments before `{name}` before `{name+}`."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._root = _Node()
        for route in routes:
            self._add(route)

    def _add(self, route: Route) -> None:
        node = self._root
        for segment in _segments(route.resource):
            if segment.endswith("+}"):
                node.greedy = node.greedy or _Node(name=segment[1:-2])
                node = node.greedy
            elif segment.startswith("{"):
                node.variable = node.variable or _Node(name=segment[1:-1])
                node = node.variable
            else:
                node = node.fixed.setdefault(segment, _Node())
        node.routes[route.method.upper()] = route

    def match(self, method: str, path: str) -> Match | None:
        """Return the route of a raw path, or None."""
        return _walk(self._root, method, _segments(path), {})


def _segments(path: str) -> list[str]:
    trimmed = path.strip("/")
    return trimmed.split("/") if trimmed else []


def _walk(node: _Node, method: str, rest: list[str], found: dict[str, str]) -> Match | None:
    if not rest:
        route = node.routes.get(method) or node.routes.get("ANY")
        return Match(route, found) if route else None
    head, *tail = rest
    if (fixed := node.fixed.get(head)) and (match := _walk(fixed, method, tail, found)):
        return match
    if (variable := node.variable) is not None and head:
        bound = {**found, variable.name: head}
        if match := _walk(variable, method, tail, bound):
            return match
    if (greedy := node.greedy) is not None:
        return _walk(greedy, method, [], {**found, greedy.name: "/".join(rest)})
    return None


def proxy_event(
    request: Request,
    match: Match,
    *,
    path: str,
    query: str,
    stage: str,
    api_id: str,
    request_id: str,
    binary: bool,
    variables: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Build the function's event. A REST API leaves `path` and its parameters encoded.

    A `binary` body is always encoded as base64: with `*/*` that is every body.
    """
    headers, multi_headers = _grouped(request.headers)
    parameters, multi_parameters = _grouped(parse_qsl(query, keep_blank_values=True))
    now = time.time()
    stamp = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now))
    return {
        "resource": match.route.resource,
        "path": path,
        "httpMethod": request.method,
        "headers": headers,
        "multiValueHeaders": multi_headers,
        "queryStringParameters": parameters,
        "multiValueQueryStringParameters": multi_parameters,
        "pathParameters": match.parameters or None,
        "stageVariables": dict(variables) if variables else None,
        "requestContext": {
            "accountId": ACCOUNT,
            "apiId": api_id,
            "domainName": headers.get("Host") if headers else None,
            "domainPrefix": api_id,
            "extendedRequestId": request_id,
            "httpMethod": request.method,
            "identity": {
                "accessKey": None,
                "accountId": None,
                "caller": None,
                "cognitoAuthenticationProvider": None,
                "cognitoAuthenticationType": None,
                "cognitoIdentityId": None,
                "cognitoIdentityPoolId": None,
                "principalOrgId": None,
                "sourceIp": request.client,
                "user": None,
                "userAgent": request.header("user-agent"),
                "userArn": None,
            },
            "path": f"/{stage}{path}",
            "protocol": "HTTP/1.1",
            "requestId": request_id,
            "requestTime": stamp,
            "requestTimeEpoch": int(now * 1000),
            "resourceId": match.route.resource,
            "resourcePath": match.route.resource,
            "stage": stage,
        },
        "body": _event_body(request.body, binary),
        "isBase64Encoded": binary and bool(request.body),
    }


def is_binary(content_type: str | None, types: Iterable[str]) -> bool:
    """Whether a body of this type is binary, by the API's binary media types."""
    kind = (content_type or "application/json").partition(";")[0].strip().lower()
    return any(fnmatchcase(kind, pattern.lower()) for pattern in types)


def _event_body(body: bytes, binary: bool) -> str | None:
    if not body:
        return None
    return base64.b64encode(body).decode() if binary else body.decode("utf-8", "replace")


def _grouped(
    pairs: Iterable[tuple[str, str]],
) -> tuple[dict[str, str] | None, dict[str, list[str]] | None]:
    """Return the last value by name, and all values by name; None if empty, as in API Gateway."""
    every: dict[str, list[str]] = {}
    for name, value in pairs:
        every.setdefault(name, []).append(value)
    return {name: values[-1] for name, values in every.items()} or None, every or None


def proxy_response(payload: bytes) -> Response:
    """Convert a function's response to an HTTP response.

    Raises:
        MalformedAnswer: API Gateway would respond with a 502.
    """
    try:
        answer = json.loads(payload)
    except ValueError as error:
        raise MalformedAnswer("not JSON") from error
    if not isinstance(answer, dict):
        raise MalformedAnswer("not an object")
    status = answer.get("statusCode", 200)
    if isinstance(status, str) and status.isdigit():
        status = int(status)
    if not isinstance(status, int) or isinstance(status, bool) or not 100 <= status <= 599:
        raise MalformedAnswer("statusCode is not a status")
    return Response(status, _body(answer), _headers(answer))


def _body(answer: Mapping[str, Any]) -> bytes:
    body = answer.get("body")
    if body is None:
        return b""
    if not isinstance(body, str):
        raise MalformedAnswer("body is not a string")
    if not answer.get("isBase64Encoded"):
        return body.encode()
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error as error:
        raise MalformedAnswer("body is not base64") from error


def _headers(answer: Mapping[str, Any]) -> list[tuple[str, str]]:
    single = {} if answer.get("headers") is None else answer["headers"]
    multi = {} if answer.get("multiValueHeaders") is None else answer["multiValueHeaders"]
    if not isinstance(single, dict) or not isinstance(multi, dict):
        raise MalformedAnswer("headers are not an object")
    merged = {name: [value] for name, value in single.items()} | multi
    pairs = []
    for name, values in merged.items():
        if not isinstance(values, list):
            raise MalformedAnswer(f"multiValueHeaders.{name} is not a list")
        if name.lower() not in _OURS:
            pairs += [(name, _clean(value)) for value in values]
    if not any(name.lower() == "content-type" for name, _ in pairs):
        pairs.append(("Content-Type", "application/json"))
    return pairs


#: set by the server itself
_OURS = frozenset({"content-length", "connection", "transfer-encoding"})


def _clean(value: Any) -> str:
    text = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return text.replace("\r", "").replace("\n", "")
