"""Combines requests of the records form, and those that SageMaker's clients send in it.

A combined request asks for a partial answer, so that a refused row is its caller's alone. Below
/models each row is answered by the version of its own entity, as in a request by itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import orjson

from quintet.errors import BadInput
from quintet.formats import strict_json
from quintet_cli.proxy.messages import Answer, Asked
from quintet_cli.proxy.pieces import (
    JSON_MEDIA,
    ApartError,
    Piece,
    check_unrouted,
    media_of,
    own_headers,
    routes_of,
    spans,
)

__all__ = ["EndpointForm", "RecordsForm"]

_PATH = re.compile(r"/models/[^/?%]+(?:/versions/\d+)?/predict")
_ENDPOINT = re.compile(r"/endpoints/[^/?%]+/invocations")
_KEYS = {"records", "partial", "outputs"}
#: what an endpoint answers in the records form
_ACCEPTED = ("", "*/*", "application/json")
_NO_PREDICTION = b"null"


class _Error(msgspec.Struct):
    row: int
    field: str
    expected: str
    got: str


class _Predictions(msgspec.Struct):
    """A combined answer. Predictions stay as the API wrote them, to the last digit."""

    model: str
    version: int
    predictions: list[msgspec.Raw]
    errors: list[_Error]
    versions: list[int] | None = None


@dataclass(frozen=True, slots=True)
class _Content:
    records: list[Any]
    partial: bool
    outputs: list[str] | None


class RecordsForm:
    """`POST /models/{model}[/versions/{version}]/predict`. See `Form`."""

    by_row = True

    def takes(self, asked: Asked) -> bool:
        """Whether a request is one of this form, by its path and headers."""
        return _PATH.fullmatch(asked.path) is not None and media_of(asked) in JSON_MEDIA

    def read(self, asked: Asked) -> Piece | None:
        """See `Form.read`."""
        if not self.takes(asked):
            return None
        try:
            value = strict_json.members("body", strict_json.parse(asked.body), _KEYS)
        except BadInput:
            return None
        records, outputs = value.get("records"), value.get("outputs")
        partial = value.get("partial", False)
        if type(records) is not list or not records or type(partial) is not bool:
            return None
        if outputs is not None and not _are_names(outputs):
            return None
        key = (asked.path, None if outputs is None else tuple(outputs))
        return Piece(self, key, len(records), asked, _Content(records, partial, outputs))

    def merge(self, pieces: Sequence[Piece]) -> Asked:
        """See `Form.merge`."""
        first = pieces[0]
        rows = [record for piece in pieces for record in piece.content.records]
        body: dict[str, Any] = {"records": rows, "partial": True}
        if first.content.outputs is not None:
            body["outputs"] = first.content.outputs
        headers = {"content-type": "application/json"}
        return Asked("POST", first.asked.path, headers, orjson.dumps(body))

    def part(self, pieces: Sequence[Piece], answer: Answer) -> list[Answer | None]:
        """See `Form.part`."""
        try:
            whole = msgspec.json.decode(answer.body, type=_Predictions)
        except msgspec.DecodeError:
            raise ApartError from None
        if len(whole.predictions) != sum(piece.rows for piece in pieces):
            raise ApartError
        return [_own(whole, answer, piece, start) for piece, start in spans(pieces)]


class EndpointForm(RecordsForm):
    """`POST /endpoints/{model}/invocations` in the records form, as JSON and answered as JSON.

    A request with a header of SageMaker's own, such as TargetVariant or CustomAttributes, is not
    one of this form.
    """

    by_row = False

    def takes(self, asked: Asked) -> bool:
        """See `RecordsForm.takes`."""
        return (
            _ENDPOINT.fullmatch(asked.path) is not None
            and media_of(asked) == "application/json"
            and asked.headers.get("accept", "").strip() in _ACCEPTED
            and not any(name.startswith("x-amzn-sagemaker-") for name in asked.headers)
        )

    def part(self, pieces: Sequence[Piece], answer: Answer) -> list[Answer | None]:
        """See `Form.part`."""
        check_unrouted(answer)
        return super().part(pieces, answer)


def _are_names(outputs: Any) -> bool:
    return type(outputs) is list and bool(outputs) and all(type(name) is str for name in outputs)


def _own(whole: _Predictions, answer: Answer, piece: Piece, start: int) -> Answer | None:
    """A caller's part of an answer; None if rows are refused and the caller takes none partly."""
    mine = slice(start, start + piece.rows)
    rows = [bytes(one) for one in whole.predictions[mine]]
    if _NO_PREDICTION in rows and not piece.content.partial:
        return None
    if (headers := own_headers(piece, start, answer)) is None:
        return None
    body: dict[str, Any] = {
        "model": whole.model,
        "version": whole.version,
        "predictions": orjson.Fragment(b"[" + b",".join(rows) + b"]"),
    }
    if whole.versions is not None:
        body["versions"] = versions = whole.versions[mine]
        headers |= routes_of(answer.headers, versions)
        body["version"] = _named(headers)
    if piece.content.partial:
        body["errors"] = [
            {**msgspec.structs.asdict(error), "row": error.row - start}
            for error in whole.errors
            if start <= error.row < mine.stop
        ]
    if "x-quintet-fallback" in answer.headers:
        fallen = sum((orjson.loads(row) or {}).get("fallback", False) for row in rows)
        if fallen:
            headers["x-quintet-fallback"] = str(fallen)
    return Answer(200, orjson.dumps(body), headers)


def _named(headers: dict[str, str]) -> int:
    """The version that an answer names: the live one if it answered any row, else the last."""
    routes = headers["x-quintet-route"].split(", ")
    numbers = headers["x-quintet-version"].split(", ")
    return int(numbers[routes.index("live") if "live" in routes else -1])
