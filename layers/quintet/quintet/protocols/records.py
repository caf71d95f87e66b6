"""Quintet's own protocol: records in, predictions out, errors as problem+json (RFC 9457)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from quintet.columns import Batch, from_records, json_rows, set_ids
from quintet.contract import Contract
from quintet.errors import BadInput, QuintetError, Refusal, Transient, json_kind, shown
from quintet.formats.strict_json import members
from quintet.protocols.http import (
    JSON_TEXT,
    Request,
    Response,
    check_count,
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
    "target",
]

_KEYS = {"records", "partial", "outputs"}

#: bytes from which on a decoder that knows the contract's fields, which takes 25 ms to load in an
#: environment's first such request, saves a third of what a request takes beside the run
_TYPED = 131_072

#: RFC 9110's names of these statuses, which Python has from 3.13 on
_TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}


class Partial(Protocol):
    """A request that says whether refused rows may be left out."""

    partial: bool


@dataclass(slots=True, eq=False, repr=False)
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
    if request.headers.get("content-type") != "application/json":
        request.accepts("application/json")
    body = request.content(contract.limits.bytes)
    if len(body) >= _TYPED and (batch := _typed(contract, body)) is not None:
        return Asked(batch)
    return read(contract, parse_json(contract, body, "records"))


def _typed(contract: Contract, body: bytes) -> Batch | None:
    """The records of a large body that has nothing else, None if one of them is unusual."""
    from quintet.formats.typed_records import decode_typed  # it imports msgspec

    check_count(contract, body, JSON_TEXT)
    own = contract.id if f'"{contract.id}"'.encode() in body else None
    typed = decode_typed(contract, [body], (), own=own)
    if typed is None:
        return None
    if own is not None:
        set_ids(typed.batch, own, typed.fields[own])
    return typed.batch


def encode(asked: Partial, prediction: Prediction) -> Response:
    """Encode the answer to a request, with the errors of refused rows if it asked for them.

    While a rollout may route rows to several versions, `versions` names the version of each row,
    and `version` that of a live row if there is one.
    """
    contract = prediction.contract
    rows = b",".join(predictions(prediction))
    found: dict[str, Any] = {
        "model": contract.name,
        "version": contract.version,
        "predictions": orjson.Fragment(b"[" + rows + b"]"),
    }
    if prediction.parts:
        found["versions"] = prediction.versions.tolist()
    if asked.partial:
        found["errors"] = [_error(refusal) for refusal in prediction.scores.refusals]
    return Response(200, json_body(found))


def failure(error: QuintetError | None, context: RequestContext) -> Response:
    """An error as problem+json."""
    headers = {"Retry-After": str(error.retry_after)} if isinstance(error, Transient) else {}
    body = {**problem(error), "request_id": context.id}
    return Response(status_of(error), json_body(body), "application/problem+json", headers)


def problem(error: QuintetError | None) -> dict[str, Any]:
    """An error as an RFC 9457 problem; it lists the first ten refused values."""
    from http import HTTPStatus  # not at a cold start

    status = status_of(error)
    found: dict[str, Any] = {
        "type": "about:blank",
        "title": _TITLES.get(status) or HTTPStatus(status).phrase,
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
    asked = value
    if type(value) is not dict or not value.keys() <= _KEYS or None in value.values():
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


def predictions(prediction: Prediction) -> list[bytes]:
    """A JSON object for each row of the batch, in order; null for a refused row.

    An object holds the outputs by name, `fallback` if the contract has fallback rules, and
    `features_age_s` (seconds, null if the value is missing) if it has stored features.
    """
    scores, ages, rows = prediction.scores, prediction.ages, prediction.batch.rows
    index = scores.index
    if len(index) == rows:
        return json_rows(prediction.contract, scores.outputs, scores.fallback, ages)
    found = [b"null"] * rows
    scored = json_rows(prediction.contract, scores.outputs, scores.fallback, ages[index])
    for row, item in zip(index.tolist(), scored, strict=True):
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
