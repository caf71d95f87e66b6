"""The Lambda API in front of moto, so that Step Functions, boto3 and the AWS CLI reach the plane.

https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, unquote

from quintet_local.environment import Outcome
from quintet_local.functions import LATEST, Function
from quintet_local.names import ACCOUNT, PARTITION
from quintet_local.plane import SYNC_BYTES, NotFound, Plane, Throttled, TooLarge

__all__ = ["ASYNC_BYTES", "Answer", "LambdaApi"]

#: status, headers, body
Answer = tuple[int, dict[str, str], bytes]

ASYNC_BYTES = 1024 * 1024
_FUNCTION = re.compile(r"/2015-03-31/functions/(?P<name>[^/]+)(?P<rest>/.*)?$")

#: Calls the plane from another thread: (name, payload, qualifier, client context) -> Outcome
Invoke = Callable[[str, bytes, str | None, str | None], Outcome]
Submit = Callable[[str, bytes, str | None, str | None], None]


class LambdaApi:
    """Responds to the Lambda API's paths; returns None for any other path."""

    def __init__(self, plane: Plane, invoke: Invoke, submit: Submit) -> None:
        self._plane = plane
        self._invoke = invoke
        self._submit = submit

    def __call__(
        self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes
    ) -> Answer | None:
        if not path.startswith("/2015-03-31/"):
            return None
        try:
            return self._route(method, path, parse_qs(query), headers, body)
        except NotFound as error:
            text = f"Function not found: {error}"
            return _error(404, "ResourceNotFoundException", text)
        except Throttled:
            return _error(
                429,
                "TooManyRequestsException",
                "Rate Exceeded.",
                Reason="ReservedFunctionConcurrentInvocationLimitExceeded",
            )
        except TooLarge as error:
            text = f"Request must be smaller than {SYNC_BYTES} bytes: {error}"
            return _error(413, "RequestTooLargeException", text)

    def _route(
        self,
        method: str,
        path: str,
        query: Mapping[str, list[str]],
        headers: Mapping[str, str],
        body: bytes,
    ) -> Answer:
        if path.rstrip("/") == "/2015-03-31/functions" and method == "GET":
            functions = [_configuration(f) for f in self._plane.functions.values()]
            return _json(200, {"Functions": functions})
        match = _FUNCTION.match(path)
        if match:
            name, rest = unquote(match["name"]), (match["rest"] or "").rstrip("/")
            qualifier = query.get("Qualifier", [None])[0]
            if rest == "/invocations" and method == "POST":
                return self._invocation(name, qualifier, headers, body)
            if method == "GET":
                function, qualifier = self._plane.find(name, qualifier)
                answer = _describe(function, rest, qualifier)
                if answer is not None:
                    return _json(200, answer)
        text = f"{method} {path}: the local AWS takes its functions from the template alone"
        return _error(501, "UnsupportedOperationException", text)

    def _invocation(
        self, name: str, qualifier: str | None, headers: Mapping[str, str], body: bytes
    ) -> Answer:
        kind = headers.get("x-amz-invocation-type", "RequestResponse")
        payload = body or b"{}"
        try:
            json.loads(payload)
        except (ValueError, RecursionError) as error:
            text = f"Could not parse request body into json: {error}"
            return _error(400, "InvalidRequestContentException", text)
        context = headers.get("x-amz-client-context")
        if context is not None:
            context = base64.b64decode(context).decode()
        if kind == "DryRun":
            function, qualifier = self._plane.find(name, qualifier)
            if function.version(qualifier) is None:
                raise NotFound(f"{function.arn}:{qualifier}")
            return 204, {}, b""
        if kind == "Event":
            if len(payload) > ASYNC_BYTES:
                raise TooLarge(f"{len(payload)} bytes, at most {ASYNC_BYTES}")
            self._submit(name, payload, qualifier, context)
            return 202, {}, b""
        outcome = self._invoke(name, payload, qualifier, context)
        answer = {
            "Content-Type": "application/json",
            "X-Amz-Executed-Version": outcome.version,
        }
        if outcome.error is not None:
            answer["X-Amz-Function-Error"] = outcome.error
        if headers.get("x-amz-log-type") == "Tail":
            answer["X-Amz-Log-Result"] = base64.b64encode(outcome.log_tail).decode()
        return 200, answer, outcome.payload


def _describe(function: Function, rest: str, qualifier: str | None) -> dict[str, Any] | None:
    if rest == "":
        code = {"RepositoryType": "S3", "Location": function.code.as_uri()}
        concurrency = (
            {}
            if function.reserved is None
            else {"Concurrency": {"ReservedConcurrentExecutions": function.reserved}}
        )
        configuration = _configuration(function, qualifier)
        return {"Configuration": configuration, "Code": code, **concurrency}
    if rest == "/configuration":
        return _configuration(function, qualifier)
    if rest == "/versions":
        return {"Versions": [_configuration(function, version) for version in function.versions]}
    if rest == "/aliases":
        return {"Aliases": [_alias(function, name) for name in function.aliases]}
    if rest.startswith("/aliases/"):
        name = rest.removeprefix("/aliases/")
        if name not in function.aliases:
            raise NotFound(f"{function.arn}:{name}")
        return _alias(function, name)
    return None


def _configuration(function: Function, qualifier: str | None = None) -> dict[str, Any]:
    version = function.version(qualifier)
    if version is None:
        raise NotFound(f"{function.arn}:{qualifier}")
    return {
        "FunctionName": function.name,
        "FunctionArn": f"{function.arn}:{qualifier}" if qualifier else function.arn,
        "Runtime": "python3.13",
        "Role": f"arn:{PARTITION}:iam::{ACCOUNT}:role/{function.name}",
        "Handler": function.handler,
        "CodeSize": 0,
        "Timeout": int(function.timeout),
        "MemorySize": function.memory_mb,
        "Version": version if version else LATEST,
        "State": "Active",
        "LastUpdateStatus": "Successful",
        "PackageType": "Zip",
        "Environment": {"Variables": dict(function.environment)},
        "LoggingConfig": {"LogFormat": "Text", "LogGroup": function.log_group},
    }


def _alias(function: Function, name: str) -> dict[str, Any]:
    alias = function.aliases[name]
    answer: dict[str, Any] = {
        "AliasArn": f"{function.arn}:{name}",
        "Name": name,
        "FunctionVersion": alias.version,
    }
    if alias.weights:
        answer["RoutingConfig"] = {"AdditionalVersionWeights": dict(alias.weights)}
    return answer


def _json(status: int, value: Any) -> Answer:
    return status, {"Content-Type": "application/json"}, json.dumps(value).encode()


def _error(status: int, kind: str, message: str, **more: str) -> Answer:
    status_, headers, body = _json(status, {"Type": "User", "Message": message, **more})
    return status_, {**headers, "x-amzn-ErrorType": kind}, body
