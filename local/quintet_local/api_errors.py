"""API Gateway's own answers, and what the template's gateway responses change of them.

https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from quintet_local.http1 import Response

__all__ = [
    "ACCESS_DENIED",
    "AUTHORIZER_CONFIGURATION_ERROR",
    "AUTHORIZER_FAILURE",
    "BAD_GATEWAY",
    "INVALID_API_KEY",
    "MISSING_TOKEN",
    "SERVER_ERROR",
    "THROTTLED",
    "TIMED_OUT",
    "TOO_LARGE",
    "UNAUTHORIZED",
    "ApiError",
    "ErrorResponse",
    "Failed",
    "bad_signature",
]


@dataclass(frozen=True)
class ErrorResponse:
    """A gateway response: what the template changes of API Gateway's own answer of a type."""

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    template: str | None = None


@dataclass(frozen=True)
class ApiError:
    """API Gateway's own answer; `kind` is the type of its gateway response."""

    kind: str
    status: int
    text: str
    name: str

    def response(
        self,
        responses: Mapping[str, ErrorResponse] | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> Response:
        """The answer as the template has it; `context` is what an authoriser said."""
        by_class = f"DEFAULT_{self.status // 100}XX"
        known = responses or {}
        changed = known.get(self.kind) or known.get(by_class) or ErrorResponse()
        body = json.dumps({"message": self.text})
        if changed.template is not None:
            body = self._rendered(changed.template, context or {})
        headers = [("Content-Type", "application/json"), ("x-amzn-ErrorType", self.name)]
        return Response(
            changed.status or self.status, body.encode(), [*headers, *changed.headers.items()]
        )

    def _rendered(self, template: str, context: Mapping[str, Any]) -> str:
        def value(match: re.Match[str]) -> str:
            name = match[1]
            if name.startswith("authorizer."):
                return str(context.get(name.removeprefix("authorizer."), ""))
            known = {"error.messageString": json.dumps(self.text), "error.message": self.text}
            return known.get(name, "")

        return _CONTEXT.sub(value, template)


class Failed(Exception):
    """API Gateway answers a request itself."""

    def __init__(self, error: ApiError) -> None:
        super().__init__(error.text)
        self.error = error


_CONTEXT = re.compile(r"\$context\.([\w.]+)")

MISSING_TOKEN = ApiError(
    "MISSING_AUTHENTICATION_TOKEN",
    403,
    "Missing Authentication Token",
    "MissingAuthenticationTokenException",
)
TIMED_OUT = ApiError(
    "INTEGRATION_TIMEOUT", 504, "Endpoint request timed out", "IntegrationFailureException"
)
BAD_GATEWAY = ApiError(
    "INTEGRATION_FAILURE", 502, "Internal server error", "InternalServerErrorException"
)
SERVER_ERROR = ApiError(
    "API_CONFIGURATION_ERROR", 500, "Internal server error", "InternalServerErrorException"
)
TOO_LARGE = ApiError("REQUEST_TOO_LARGE", 413, "Request Too Long", "RequestTooLargeException")
UNAUTHORIZED = ApiError("UNAUTHORIZED", 401, "Unauthorized", "UnauthorizedException")
ACCESS_DENIED = ApiError(
    "ACCESS_DENIED",
    403,
    "User is not authorized to access this resource with an explicit deny",
    "AccessDeniedException",
)
AUTHORIZER_FAILURE = ApiError(
    "AUTHORIZER_FAILURE", 500, "Internal server error", "AuthorizerFailureException"
)
AUTHORIZER_CONFIGURATION_ERROR = ApiError(
    "AUTHORIZER_CONFIGURATION_ERROR",
    500,
    "Internal server error",
    "AuthorizerConfigurationException",
)
INVALID_API_KEY = ApiError("INVALID_API_KEY", 403, "Forbidden", "ForbiddenException")
THROTTLED = ApiError("THROTTLED", 429, "Too Many Requests", "TooManyRequestsException")


def bad_signature(text: str) -> ApiError:
    """The answer to a request that is not signed as it should be."""
    if text == MISSING_TOKEN.text:
        return MISSING_TOKEN
    return ApiError("INVALID_SIGNATURE", 403, text, "InvalidSignatureException")
