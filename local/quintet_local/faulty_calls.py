"""Inject the plan's faults into calls of AWS services, with each service's form of the error.

Only calls by functions are affected, which sign with access keys of their own; calls by tests,
the command and the local AWS itself are not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from quintet_local.faults import Faults
from quintet_local.http1 import Hangup
from quintet_local.permissions import KEY

__all__ = ["FaultyCalls"]

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]

#: https://docs.aws.amazon.com/general/latest/gr/create-signed-request.html
_SIGNED = re.compile(rf"Credential={KEY}\w+/\d+/[^/]*/([^/]+)/aws4_request")

#: status and code by service: for an error, for a throttle
_ANSWERS = {
    "dynamodb": (
        (500, "com.amazonaws.dynamodb.v20120810#InternalServerError"),
        (400, "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException"),
    ),
    "sqs": ((500, "com.amazonaws.sqs#InternalError"), (400, "com.amazonaws.sqs#RequestThrottled")),
    "s3": ((500, "InternalError"), (503, "SlowDown")),
}


class FaultyCalls:
    """A WSGI application in front of the services."""

    def __init__(self, services: Application, faults: Faults) -> None:
        self._services = services
        self._faults = faults

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        signed = _SIGNED.search(environ.get("HTTP_AUTHORIZATION", ""))
        fate = self._faults.call(signed[1], _operation(environ)) if signed else None
        if signed is None or fate is None:
            return self._services(environ, start_response)
        if fate == "lost_reply":
            self._lose(environ)
        status, code = _ANSWERS[signed[1]][fate == "throttle"]
        body, kind = _body(signed[1], code)
        start_response(
            f"{status} {HTTPStatus(status).phrase}",
            [("Content-Type", kind), ("Content-Length", str(len(body)))],
        )
        return [body]

    def _lose(self, environ: dict[str, Any]) -> None:
        """Run the call, then break the connection before the response.

        Raises:
            Hangup: always; the server then closes its side.
        """
        for _ in self._services(environ, lambda *_: None):
            pass
        raise Hangup("a reply lost by plan")


def _operation(environ: dict[str, Any]) -> str:
    """Return the operation in the JSON protocols, the method for S3."""
    target: str = environ.get("HTTP_X_AMZ_TARGET", "")
    return target.rpartition(".")[2] or str(environ["REQUEST_METHOD"])


def _body(service: str, code: str) -> tuple[bytes, str]:
    if service == "s3":
        text = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code></Error>'
        return text.encode(), "application/xml"
    body = json.dumps({"__type": code, "message": "by the fault plan"}).encode()
    return body, "application/x-amz-json-1.0"
