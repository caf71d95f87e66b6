"""Combines inference requests of the Open Inference Protocol, in JSON and in raw tensors.

Tensors are joined along their first axis, the rows. Each is checked first: a tensor that does not
hold what its shape says would shift the rows of the others. The combined answer is asked for in raw
tensors, whose rows are each caller's to the bit, and written to each caller as the API writes it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import msgspec
import orjson

from quintet.columns import Array
from quintet.errors import BadInput
from quintet.formats import strict_json
from quintet.protocols import tensors
from quintet.protocols.http import json_body
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

__all__ = ["OipForm"]

_PATH = re.compile(r"/v2/models/[^/?%]+(?:/versions/\d+)?/infer")
#: without `model_name` and `model_version`, which pin
_KEYS = {"id", "parameters", "inputs", "outputs"}
_INPUT_KEYS = {"name", "shape", "datatype", "parameters", "data"}
_OUTPUT_KEYS = {"name", "parameters"}
_MEDIA = (*JSON_MEDIA, "application/octet-stream")
_LENGTH = "inference-header-content-length"


class _Size(msgspec.Struct):
    binary_data_size: int


class _Output(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    parameters: _Size


class _Fallback(msgspec.Struct):
    fallback_rows: int = 0


class _Whole(msgspec.Struct):
    """The JSON of a combined answer, all of whose outputs are raw tensors."""

    model_name: str
    model_version: str
    outputs: list[_Output]
    parameters: _Fallback = msgspec.field(default_factory=_Fallback)


class _AloneError(Exception):
    """A request that has to be sent as it is."""


@dataclass(frozen=True, slots=True)
class _Tensor:
    """An input: `about` is its member of the request, without the rows; `data` are JSON values.

    `raw` are bytes in place of `data`.
    """

    about: dict[str, Any]
    shape: tuple[int, ...]
    data: list[Any] | None
    raw: memoryview | None

    @property
    def key(self) -> Hashable:
        """What has to be the same in requests that are combined."""
        if self.raw is not None:
            how = "raw"
        else:
            how = "nested" if self.data and type(self.data[0]) is list else "flat"
        return orjson.dumps(self.about, option=orjson.OPT_SORT_KEYS), self.shape[1:], how


@dataclass(frozen=True, slots=True)
class _Content:
    """`outputs` None asks for all; `as_raw` has the caller's wish for each output, by name, with
    the default for the others under None."""

    tensors: list[_Tensor]
    outputs: tuple[str, ...] | None
    as_raw: dict[str | None, bool]
    id: str | None


class OipForm:
    """See `Form`."""

    by_row = False

    def read(self, asked: Asked) -> Piece | None:
        """See `Form.read`."""
        if not _PATH.fullmatch(asked.path) or media_of(asked) not in _MEDIA:
            return None
        try:
            content = _content(asked)
        except (_AloneError, BadInput):
            return None
        key = (asked.path, content.outputs, *(tensor.key for tensor in content.tensors))
        return Piece(self, key, content.tensors[0].shape[0], asked, content)

    def merge(self, pieces: Sequence[Piece]) -> Asked:
        """See `Form.merge`."""
        inputs: list[dict[str, Any]] = []
        raw: list[memoryview] = []
        for same in zip(*(piece.content.tensors for piece in pieces), strict=True):
            rows = sum(tensor.shape[0] for tensor in same)
            joined = {**same[0].about, "shape": [rows, *same[0].shape[1:]]}
            if same[0].raw is None:
                joined["data"] = list(chain.from_iterable(tensor.data for tensor in same))
            else:
                raw += [tensor.raw for tensor in same]
                size = sum(len(tensor.raw) for tensor in same)
                joined["parameters"] = {
                    **joined.get("parameters", {}),
                    "binary_data_size": size,
                }
            inputs.append(joined)
        body: dict[str, Any] = {"inputs": inputs, "parameters": {"binary_data_output": True}}
        if (outputs := pieces[0].content.outputs) is not None:
            body["outputs"] = [{"name": name} for name in outputs]
        text, path = orjson.dumps(body), pieces[0].asked.path
        if not raw:
            return Asked("POST", path, {"content-type": "application/json"}, text)
        headers = {"content-type": "application/octet-stream", _LENGTH: str(len(text))}
        return Asked("POST", path, headers, b"".join([text, *raw]))

    def part(self, pieces: Sequence[Piece], answer: Answer) -> list[Answer | None]:
        """See `Form.part`."""
        check_unrouted(answer)
        length = answer.headers.get(_LENGTH, "")
        if not length.isdigit():
            raise ApartError
        rows = sum(piece.rows for piece in pieces)
        try:
            whole = msgspec.json.decode(answer.body[: int(length)], type=_Whole)
            outputs = _arrays(whole, memoryview(answer.body)[int(length) :], rows)
        except (msgspec.DecodeError, BadInput):
            raise ApartError from None
        if whole.parameters.fallback_rows not in (0, rows):
            raise ApartError  # which rows the fallback answered is not said
        found = list[Answer | None]()
        for piece, start in spans(pieces):
            headers = own_headers(piece, start, answer)
            own = {name: values[start : start + piece.rows] for name, values in outputs.items()}
            found.append(None if headers is None else _own(whole, own, headers, piece))
        return found


def _content(asked: Asked) -> _Content:
    """Read a request.

    Raises:
        BadInput: it is refused.
        _AloneError: it has something that a combined request cannot carry.
    """
    length, raw, at = asked.headers.get(_LENGTH), memoryview(b""), 0
    text = asked.body
    if length is not None:
        if not (length.isascii() and length.isdigit() and 0 < int(length) <= len(text)):
            raise _AloneError
        text, raw = text[: int(length)], memoryview(text)[int(length) :]
    value = strict_json.members("body", strict_json.parse(text), _KEYS)
    found = []
    for item in _list(value.get("inputs")):
        tensor, used = _tensor(strict_json.members("inputs", item, _INPUT_KEYS), raw[at:])
        found.append(tensor)
        at += used
    own = value.get("id")
    many = {tensor.shape[0] for tensor in found}
    if at != len(raw) or len(many) != 1 or not all(many) or type(own) not in (str, type(None)):
        raise _AloneError
    parameters = strict_json.members("parameters", value.get("parameters", {}))
    outputs, as_raw = _outputs(value.get("outputs"), parameters)
    return _Content(found, outputs, as_raw, own)


def _tensor(member: dict[str, Any], raw: memoryview) -> tuple[_Tensor, int]:
    """An input, and how many bytes of `raw` it takes."""
    name, datatype = member.get("name"), member.get("datatype")
    if type(name) is not str:
        raise _AloneError
    shape = tensors.check_shape(name, datatype, member.get("shape"))
    parameters = strict_json.members("parameters", member.get("parameters", {}))
    size = parameters.get("binary_data_size")
    about: dict[str, Any] = {"name": name, "datatype": datatype}
    if others := {key: value for key, value in parameters.items() if key != "binary_data_size"}:
        about["parameters"] = others
    if size is None:
        data = _list(member.get("data"))
        nested = bool(data) and type(data[0]) is list
        if len(data) != (shape[0] if nested else math.prod(shape)):
            raise _AloneError
        return _Tensor(about, shape, data, None), 0
    if type(size) is not int or not 0 <= size <= len(raw) or "data" in member:
        raise _AloneError
    tensors.from_bytes(name, str(datatype), shape, raw[:size])  # it holds what its shape says
    return _Tensor(about, shape, None, raw[:size]), size


def _outputs(
    asked: Any, parameters: dict[str, Any]
) -> tuple[tuple[str, ...] | None, dict[str | None, bool]]:
    """The names of the requested outputs, and which of them the caller wants as raw tensors."""
    as_raw: dict[str | None, bool] = {None: _flag("binary_data_output", parameters, False)}
    if not asked:
        return None, as_raw
    names = []
    for item in _list(asked):
        output = strict_json.members("outputs", item, _OUTPUT_KEYS)
        name = output.get("name")
        if type(name) is not str or name in names:
            raise _AloneError
        wanted = strict_json.members("parameters", output.get("parameters", {}))
        as_raw[name] = _flag("binary_data", wanted, as_raw[None])
        names.append(name)
    return tuple(names), as_raw


def _flag(name: str, parameters: dict[str, Any], default: bool) -> bool:
    """The only member that an object of parameters may have; others may change the answer."""
    value = parameters.get(name, default)
    if not parameters.keys() <= {name} or type(value) is not bool:
        raise _AloneError
    return value


def _list(value: Any) -> list[Any]:
    if type(value) is not list or not value:
        raise _AloneError
    return value


def _arrays(whole: _Whole, raw: memoryview, rows: int) -> dict[str, Array]:
    """The outputs of a combined answer by name, each (rows, ...).

    Raises:
        ApartError: an output does not have a row for each row of the request.
        BadInput: the bytes are not what the JSON says of them.
    """
    found, at = {}, 0
    for output in whole.outputs:
        name, shape, size = output.name, tuple(output.shape), output.parameters.binary_data_size
        if shape[:1] != (rows,):
            raise ApartError
        found[name] = tensors.from_bytes(name, output.datatype, shape, raw[at : at + size])
        at += size
    return found


def _own(whole: _Whole, outputs: dict[str, Array], headers: dict[str, str], piece: Piece) -> Answer:
    """A caller's answer of its own outputs, as `quintet.protocols.oip_infer.encode` writes it."""
    content, raw = piece.content, []
    described: list[dict[str, Any]] = []
    for output in whole.outputs:
        name, array = output.name, outputs[output.name]
        about: dict[str, Any] = {"name": name, "shape": list(array.shape)}
        about["datatype"] = output.datatype
        if content.as_raw.get(name, content.as_raw[None]):
            raw.append(tensors.to_bytes(array))
            about["parameters"] = {"binary_data_size": len(raw[-1])}
        else:
            flat = array.reshape(-1)
            about["data"] = flat.tolist() if flat.dtype.kind == "O" else flat
        described.append(about)
    body: dict[str, Any] = {
        "model_name": whole.model_name,
        "model_version": whole.model_version,
        "outputs": described,
    }
    if content.id is not None:
        body["id"] = content.id
    if whole.parameters.fallback_rows:  # the fallback answered all rows
        body["parameters"] = {"fallback_rows": piece.rows}
        headers["x-quintet-fallback"] = str(piece.rows)
    text = json_body(body)
    headers["content-type"] = "application/octet-stream" if raw else "application/json"
    if raw:
        headers[_LENGTH] = str(len(text))
    return Answer(200, b"".join([text, *raw]), headers)
