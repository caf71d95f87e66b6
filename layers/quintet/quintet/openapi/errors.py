"""The errors of each protocol: their bodies as the protocol itself writes them, by status."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

import orjson

from quintet.errors import (
    BadInput,
    Conflict,
    Forbidden,
    ModelFailure,
    QuintetError,
    TooLarge,
    Transient,
    Unprocessable,
    UnsupportedMedia,
)
from quintet.openapi.values import Schema
from quintet.protocols import oip, records, sagemaker
from quintet.serving import RequestContext
from quintet.serving.routes import UnknownModel

__all__ = ["GATEWAY", "PREDICTS", "READS", "SCHEMAS", "errors", "responses"]

#: what each status means, and an error that has it
_CASES: dict[int, tuple[str, QuintetError | None]] = {
    400: (
        "The request is invalid: the answer names the field, what was expected and what came.",
        BadInput.of("amount", "a number from 0 to 1000000", "-5", row=0),
    ),
    403: (
        "Nobody authenticated the caller.",
        Forbidden.of("caller", "an identity from the API's authoriser", "none"),
    ),
    404: ("What the path or the body names does not exist.", UnknownModel("shoes")),
    409: (
        "The job or run has ended otherwise.",
        Conflict.of("run", "one that is running", "one that has ended: SUCCEEDED"),
    ),
    413: (
        "Too many bytes, rows or values, or an answer of over 6 MB.",
        TooLarge.of("body", "at most 1000000 bytes", "more"),
    ),
    415: (
        "The content type or encoding is not supported.",
        UnsupportedMedia.of("Content-Type", "application/json", "'text/xml'"),
    ),
    422: (
        "The Idempotency-Key was used before with a different request.",
        Unprocessable.of("Idempotency-Key", "a new key, or the payload it came with", "other"),
    ),
    424: (
        "The model failed, or gave an output that is not finite.",
        ModelFailure("row 0: score: expected a finite number, got nan"),
    ),
    500: ("An unexpected error; the log has the rest under the request's id.", None),
    503: (
        "A store is unavailable, or the version crashed often; retry after Retry-After.",
        Transient("the feature store cannot be read now, and the model has no fallback rule"),
    ),
}
#: the statuses that API Gateway answers itself, for paths of any protocol
GATEWAY = {
    401: "expected a key (Authorization: Bearer or x-api-key), got none",
    403: "Missing Authentication Token",
    413: "Request Too Long",
    429: "too many requests a second; try again in a second",
    503: "callers cannot be verified now; try again",
    504: "Endpoint request timed out",
}
#: those of them that the functions never answer
_ONLY_GATEWAY = {
    401: "The key or token is missing, unknown, expired or revoked.",
    429: "Too many requests: the caller's rate, or that of the API.",
    504: "No answer within 29 s.",
}
_FORMS = {"Problem": records.failure, "Oip": oip.failure, "SageMaker": sagemaker.failure}
_JSON = "application/json"

#: the statuses of a prediction, and of reading what a path names
PREDICTS = (400, 401, 403, 404, 413, 415, 422, 424, 429, 500, 503, 504)
READS = (400, 401, 403, 404, 429, 500, 503, 504)

_TEXT: Schema = {"type": "string"}

SCHEMAS: dict[str, Schema] = {
    "Problem": {
        "description": "RFC 9457; `errors` are the first ten refused values, `refused` how many.",
        "type": "object",
        "properties": {
            "type": {"const": "about:blank"},
            "title": _TEXT,
            "status": {"type": "integer"},
            "detail": _TEXT,
            "errors": {"type": "array", "items": {"$ref": "#/components/schemas/Refusal"}},
            "refused": {"type": "integer", "minimum": 1},
            "request_id": _TEXT,
        },
        "required": ["type", "title", "status", "detail", "request_id"],
        "additionalProperties": False,
    },
    "Refusal": {
        "description": "Why a value was refused; `row` is null if it is the whole request.",
        "type": "object",
        "properties": {
            "row": {"type": ["integer", "null"], "minimum": 0},
            "field": _TEXT,
            "expected": _TEXT,
            "got": _TEXT,
        },
        "required": ["row", "field", "expected", "got"],
        "additionalProperties": False,
    },
    "OipError": {
        "type": "object",
        "properties": {"error": _TEXT},
        "required": ["error"],
        "additionalProperties": False,
    },
    "SageMakerError": {
        "type": "object",
        "properties": {
            "Message": _TEXT,
            "OriginalStatusCode": {"type": "integer"},
            "OriginalMessage": _TEXT,
        },
        "required": ["Message"],
        "additionalProperties": False,
    },
    "GatewayError": {
        "description": "An error of API Gateway itself.",
        "type": "object",
        "properties": {"message": _TEXT},
        "required": ["message"],
    },
}


def errors(form: str, statuses: Iterable[int]) -> dict[str, Schema]:
    """References to the error responses of a form: Problem, Oip or SageMaker."""
    found = {}
    for status in statuses:
        if form == "SageMaker" and status == 404:  # SageMaker has none: it is a 400
            continue
        name = f"Gateway{status}" if status in _ONLY_GATEWAY else f"{form}{status}"
        found[str(status)] = {"$ref": f"#/components/responses/{name}"}
    return found


def responses() -> dict[str, Schema]:
    """The error responses by name, each with a body that its form's own code wrote."""
    found = {
        f"Gateway{status}": {"description": text, "content": _gateway(status)}
        for status, text in _ONLY_GATEWAY.items()
    }
    for form in _FORMS:
        for status, (text, error) in _CASES.items():
            found |= _response(form, status, text, error)
    return found


def _response(form: str, status: int, text: str, error: QuintetError | None) -> dict[str, Schema]:
    written = _FORMS[form](error, RequestContext("9f0c1c6e-2d40-4a54-b1f0-0d7f3f6a7b11"))
    if written.status != status:  # a form that has no such status
        return {}
    own = f"{form}Error" if form != "Problem" else form
    content = {
        written.content_type: {
            "schema": {"$ref": f"#/components/schemas/{own}"},
            "example": orjson.loads(written.body),
        }
    }
    if status in GATEWAY:
        gateway = _gateway(status)
        if written.content_type == _JSON:
            both = [content[_JSON]["schema"], gateway[_JSON]["schema"]]
            content[_JSON]["schema"] = {"anyOf": both}
        else:
            content |= gateway
    response: Schema = {"description": text, "content": content}
    names = [name for name in written.headers if name != "x-amzn-errortype"]
    headers: Schema = {name: {"schema": {"type": "integer"}} for name in names}
    if kind := written.headers.get("x-amzn-errortype"):
        headers["x-amzn-errortype"] = {"schema": {"type": "string"}, "example": kind}
    if headers:
        response["headers"] = headers
    return {f"{form}{status}": response}


def _gateway(status: int) -> dict[str, Any]:
    reference = {"$ref": "#/components/schemas/GatewayError"}
    text = GATEWAY.get(status, HTTPStatus(status).phrase)
    return {_JSON: {"schema": reference, "example": {"message": text}}}
