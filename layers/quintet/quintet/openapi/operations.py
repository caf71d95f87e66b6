"""The parts that operations share: parameters, headers, bodies, answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from quintet.openapi.errors import errors
from quintet.openapi.values import Schema
from quintet.serving.routes import NAME
from quintet.webhooks.endpoints import ENDPOINT_ID

__all__ = [
    "HEADERS",
    "JSON",
    "PARAMETERS",
    "answer",
    "answers_job",
    "body",
    "operation",
    "parameter",
    "ref",
    "schema",
]

JSON = "application/json"


def ref(name: str) -> Schema:
    """A reference to a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def parameter(place: str, name: str, about: str, schema: Schema | None = None) -> Schema:
    """A parameter; those of a path are required."""
    found: Schema = {"name": name, "in": place, "schema": schema or {"type": "string"}}
    found["description"] = about
    return {**found, "required": True} if place == "path" else found


def _printable(most: int) -> Schema:
    return {"type": "string", "minLength": 1, "maxLength": most, "pattern": "^[!-~]+$"}


#: parameters of several operations
PARAMETERS: dict[str, Schema] = {
    "Model": parameter(
        "path", "model", "a published model", {"type": "string", "pattern": f"^{NAME.pattern}$"}
    ),
    "Version": parameter(
        "path",
        "version",
        "a published version",
        {"type": "integer", "minimum": 1, "maximum": 999_999_999},
    ),
    "Prefer": parameter(
        "header",
        "Prefer",
        "answer 202 with a job to poll (RFC 7240)",
        {"type": "string", "enum": ["respond-async"]},
    ),
    "IdempotencyKey": parameter(
        "header", "Idempotency-Key", "with a job: the same key is the same job", _printable(255)
    ),
    "Callback": parameter(
        "header",
        "X-Quintet-Callback",
        "with a job: the id of a registered endpoint that is notified",
        {"type": "string", "pattern": f"^{ENDPOINT_ID.pattern}$"},
    ),
    "InferenceHeader": parameter(
        "header",
        "Inference-Header-Content-Length",
        "the bytes of the JSON, if raw tensors follow it; 0: the body is the only input",
        {"type": "integer", "minimum": 0, "maximum": 999_999_999},
    ),
    "CustomAttributes": parameter(
        "header",
        "X-Amzn-SageMaker-Custom-Attributes",
        "echoed",
        {"type": "string", "maxLength": 1024, "pattern": "^[ -~]*$"},
    ),
    "TargetVariant": parameter(
        "header",
        "X-Amzn-SageMaker-Target-Variant",
        "pin a version, such as v3",
        {"type": "string", "pattern": "^v[0-9]{1,9}$"},
    ),
    "Limit": parameter(
        "query", "limit", "entries of a page", {"type": "integer", "minimum": 1, "maximum": 100}
    ),
    "Next": parameter("query", "next", "from the previous answer"),
}

_TEXT: Schema = {"type": "string"}

#: headers of answers
HEADERS: dict[str, Schema] = {
    "X-Request-Id": {"description": "the caller's id, or API Gateway's", "schema": _TEXT},
    "X-Quintet-Model": {"description": "the model that answered", "schema": _TEXT},
    "X-Quintet-Version": {"description": "the version that answered", "schema": _TEXT},
    "X-Quintet-Route": {"description": "live, canary or pinned", "schema": _TEXT},
    "X-Quintet-Event": {"description": "the id of the captured prediction", "schema": _TEXT},
    "X-Quintet-Fallback": {
        "description": "the rows that the fallback rule answered",
        "schema": {"type": "string", "pattern": "^[0-9]+$"},
    },
    "X-Quintet-Cache": {
        "description": "whether the prediction cache answered",
        "schema": {"enum": ["hit", "miss"]},
    },
    "Location": {"description": "where to poll", "schema": _TEXT},
    "Retry-After": {"description": "seconds until the next poll", "schema": _TEXT},
}

_PREDICTED = tuple(name for name in HEADERS if name.startswith("X-"))


def schema(name: str, **others: Any) -> Schema:
    """A schema's reference with an example or the like: the content of a JSON body."""
    return {JSON: {"schema": ref(name), **others}}


def body(content: Mapping[str, Schema]) -> Schema:
    """A body that a request needs."""
    return {"required": True, "content": dict(content)}


def answer(text: str, content: Mapping[str, Schema], *headers: str) -> Schema:
    """An answer; `headers` are of `HEADERS`."""
    found: Schema = {"description": text, "content": dict(content)}
    names = headers or ("X-Request-Id",)
    found["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in names}
    return found


def answers_job(predicted: Schema) -> dict[str, Schema]:
    """The answers of a prediction: the prediction, or a job if the request prefers one."""
    predicted = {
        **predicted,
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in _PREDICTED},
    }
    return {"200": predicted, "202": {"$ref": "#/components/responses/Accepted"}}


def operation(
    tag: str,
    name: str,
    summary: str,
    answers: Mapping[str, Schema],
    failures: tuple[str, Iterable[int]],
    *,
    parameters: Sequence[Schema | str] = (),
    asked: Schema | None = None,
) -> Schema:
    """An operation. `failures` are the form of its errors and their statuses; parameters may be
    names of `PARAMETERS`."""
    found: Schema = {"tags": [tag], "operationId": name, "summary": summary}
    if parameters:
        found["parameters"] = [
            {"$ref": f"#/components/parameters/{one}"} if isinstance(one, str) else one
            for one in parameters
        ]
    if asked is not None:
        found["requestBody"] = asked
    found["responses"] = {**answers, **errors(*failures)}
    return found
