"""Quintet's own protocol: records in, predictions out, errors as problem+json (RFC 9457)."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import numpy as np

from quintet.columns import Batch, as_records, from_records, json_columns
from quintet.contract import Contract
from quintet.errors import BadInput, QuintetError, Refusal, Transient, json_kind, shown
from quintet.formats.strict_json import members
from quintet.protocols.http import (
    Request,
    Response,
    check_rows,
    json_body,
    parse_json,
    read_version,
    status_of,
)
from quintet.serving import Prediction, RequestContext

__all__ = [
    "Asked",
    "decode",
    "encode",
    "failure",
    "predictions",
    "problem",
    "read",
    "result",
    "target",
]

_KEYS = {"records", "partial", "outputs"}


@dataclass(slots=True)
class Asked:
    """A decoded request; `outputs` None means all outputs."""

    batch: Batch
    partial: bool = False
    outputs: list[str] | None = None
    pins: bool = False


def target(request: Request) -> tuple[str, int | None]:
    """The requested model and version; version None means the live one."""
    name = request.parameters["model"]
    version = request.parameters.get("version")
    return name, None if version is None else read_version(name, version)


def decode(contract: Contract, request: Request) -> Asked:
    """Decode a request. Raises as `read` does."""
    request.accepts("application/json")
    return read(contract, parse_json(contract, request.content(contract.limits.bytes)))


def encode(asked: Asked, prediction: Prediction) -> Response:
    """Encode the answer to a request."""
    return Response(200, json_body(result(prediction, asked.partial)))


def failure(error: QuintetError | None, context: RequestContext) -> Response:
    """An error as problem+json."""
    headers = {"Retry-After": str(error.retry_after)} if isinstance(error, Transient) else {}
    body = {**problem(error), "request_id": context.id}
    return Response(status_of(error), json_body(body), "application/problem+json", headers)


def problem(error: QuintetError | None) -> dict[str, Any]:
    """An error as an RFC 9457 problem; it lists the first ten refused values."""
    status = status_of(error)
    found: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": "internal error" if error is None else str(error),
    }
    if isinstance(error, BadInput):
        found["errors"] = [_error(refusal) for refusal in error.refusals[: BadInput.SHOWN]]
        found["refused"] = len(error.refusals)
    return found


def read(contract: Contract, value: Any) -> Asked:
    """Parse a records request: {"records": [...], "partial": false, "outputs": [...]}.

    Raises:
        BadInput: the request does not have that form.
        TooLarge: the request has too many records.
    """
    asked = members("body", value, _KEYS)
    records = asked.get("records")
    if type(records) is not list:
        got = "nothing" if records is None else json_kind(records)
        raise BadInput.of("records", "an array of objects", got)
    if not 0 < len(records) <= contract.limits.rows:
        check_rows(contract, len(records), "records")
    partial = asked.get("partial", False)
    if type(partial) is not bool:
        raise BadInput.of("partial", "true or false", json_kind(partial))
    outputs = _outputs(contract, asked["outputs"]) if "outputs" in asked else None
    return Asked(from_records(contract, records), partial, outputs)


def result(prediction: Prediction, partial: bool) -> dict[str, Any]:
    """The answer as a JSON object, with the errors of refused rows if `partial` is set.

    While a rollout may route rows to several versions, `versions` names the version of each row,
    and `version` that of a live row if there is one.
    """
    contract = prediction.contract
    found: dict[str, Any] = {
        "model": contract.name,
        "version": contract.version,
        "predictions": predictions(prediction),
    }
    if prediction.parts:
        found["versions"] = prediction.versions.tolist()
    if partial:
        found["errors"] = [_error(refusal) for refusal in prediction.scores.refusals]
    return found


def predictions(prediction: Prediction) -> list[dict[str, Any] | None]:
    """One object for each row of the batch, in order; None for a refused row.

    An object holds the outputs by name, `fallback` if the contract has fallback rules, and
    `features_age_s` (seconds, null if the value is missing) if it has stored features.
    """
    contract, scores = prediction.contract, prediction.scores
    columns = json_columns(contract, scores.outputs, scores.fallback)
    if contract.stored:
        # NaN means no value; orjson writes it as null
        names = [feature.name for feature in contract.stored]
        ages = np.round(prediction.ages[scores.index], 3).tolist()
        columns["features_age_s"] = [dict(zip(names, row, strict=True)) for row in ages]
    scored = as_records(columns)
    if len(scored) == prediction.batch.rows:
        return [*scored]
    found: list[dict[str, Any] | None] = [None] * prediction.batch.rows
    for row, item in zip(scores.index.tolist(), scored, strict=True):
        found[row] = item
    return found


def _outputs(contract: Contract, asked: Any) -> list[str]:
    known = [output.name for output in contract.outputs]
    if type(asked) is not list or not asked or any(name not in known for name in asked):
        raise BadInput.of("outputs", f"names of {', '.join(known)}", shown(asked))
    return asked


def _error(refusal: Refusal) -> dict[str, Any]:
    return {
        "row": refusal.row,
        "field": refusal.field,
        "expected": refusal.expected,
        "got": refusal.got,
    }
