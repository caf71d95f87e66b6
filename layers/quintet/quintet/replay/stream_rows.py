"""Build a stream record from some rows of another."""

from __future__ import annotations

import gzip
import math
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import orjson

from quintet.aws.stream_sender import RECORD_BYTES
from quintet.errors import BadInput
from quintet.streaming.compression import unpack

__all__ = ["alone", "record_text", "row_count"]

_GZIP = b"\x1f\x8b"


def alone(data: bytes, rows: Sequence[int], model: str | None) -> bytes:
    """Build a record from some rows of a decodable record; the record itself if these are all.

    Form and compression stay the same. `model` is the rows' model, which the record may not
    name. The record's own id is left out: with the rows' new numbers it is that of other rows.
    """
    value = orjson.loads(unpack(data))
    if len(rows) == _count(value):
        return data
    part: Any
    if _is_tensors(value):
        inputs = [_cut(tensor, rows) for tensor in value["inputs"]]
        part = {**value, "model": model, "inputs": inputs}
        part.pop("id", None)
    else:
        held = _held(value)
        part = {"model": model, "records": [held[row] for row in rows]}
    body = orjson.dumps(part)
    # the added model name could push a large record over the stream's limit
    packed = data.startswith(_GZIP) or len(body) > RECORD_BYTES // 2
    return gzip.compress(body, mtime=0) if packed else body


def row_count(data: bytes) -> int:
    """The number of rows of a decodable record."""
    return _count(orjson.loads(unpack(data)))


def record_text(data: bytes) -> str:
    """The text of a record, decompressed if possible."""
    with suppress(BadInput):
        data = unpack(data)
    return data.decode("utf-8", "backslashreplace")


def _is_tensors(value: Any) -> bool:
    return type(value) is dict and "records" not in value and "inputs" in value


def _held(value: Any) -> list[Any]:
    found: list[Any] = value.get("records", [value]) if type(value) is dict else value
    return found


def _count(value: Any) -> int:
    if _is_tensors(value):
        rows: int = value["inputs"][0]["shape"][0]
        return rows
    return len(_held(value))


def _cut(tensor: dict[str, Any], rows: Sequence[int]) -> dict[str, Any]:
    """Select rows of a tensor, whose data is nested or flat."""
    _, *inner = tensor["shape"]
    data = tensor["data"]
    if data and type(data[0]) is list:
        cut = [data[row] for row in rows]
    else:
        width = math.prod(inner)
        cut = [item for row in rows for item in data[row * width : (row + 1) * width]]
    return {**tensor, "shape": [len(rows), *inner], "data": cut}
