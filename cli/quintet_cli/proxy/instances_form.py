"""Combines requests of KServe's V1 protocol: `POST /v1/models/{model}:predict`.

Only instances that are objects by name: how many rows an array of values is depends on the model.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

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
    spans,
)

__all__ = ["InstancesForm"]

_PATH = re.compile(r"/v1/models/[^/?%:]+:predict")


class _Predictions(msgspec.Struct):
    predictions: list[msgspec.Raw]


class InstancesForm:
    """See `Form`."""

    by_row = False

    def read(self, asked: Asked) -> Piece | None:
        """See `Form.read`."""
        if not _PATH.fullmatch(asked.path) or media_of(asked) not in JSON_MEDIA:
            return None
        try:
            rows = strict_json.members("body", strict_json.parse(asked.body), {"instances"})
        except BadInput:
            return None
        found = rows.get("instances")
        if type(found) is not list or not found or any(type(row) is not dict for row in found):
            return None
        return Piece(self, asked.path, len(found), asked, found)

    def merge(self, pieces: Sequence[Piece]) -> Asked:
        """See `Form.merge`."""
        body = orjson.dumps({"instances": [row for piece in pieces for row in piece.content]})
        return Asked("POST", pieces[0].asked.path, {"content-type": "application/json"}, body)

    def part(self, pieces: Sequence[Piece], answer: Answer) -> list[Answer | None]:
        """See `Form.part`."""
        check_unrouted(answer)
        try:
            whole = msgspec.json.decode(answer.body, type=_Predictions).predictions
        except msgspec.DecodeError:
            raise ApartError from None
        # the form does not say which rows the fallback answered
        fallen = int(answer.headers.get("x-quintet-fallback", 0))
        if len(whole) != sum(piece.rows for piece in pieces) or fallen not in (0, len(whole)):
            raise ApartError
        found: list[Answer | None] = []
        for piece, start in spans(pieces):
            if (headers := own_headers(piece, start, answer)) is None:
                found.append(None)
                continue
            if fallen:
                headers["x-quintet-fallback"] = str(piece.rows)
            rows = b",".join(bytes(row) for row in whole[start : start + piece.rows])
            found.append(Answer(200, b'{"predictions":[' + rows + b"]}", headers))
        return found
