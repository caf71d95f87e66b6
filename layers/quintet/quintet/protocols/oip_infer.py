"""Inference requests and answers of the Open Inference Protocol, in JSON and raw tensors.

https://github.com/triton-inference-server/server, docs/protocol/extension_binary_data.md
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from quintet.columns import Array, Batch
from quintet.columns.tensors import check_has_rows, from_tensors
from quintet.contract import Contract
from quintet.errors import BadInput, json_kind, shown
from quintet.formats.strict_json import members
from quintet.protocols import oip_metadata, tensors
from quintet.protocols.http import Request, Response, check_rows, json_body, parse_json
from quintet.serving import Prediction

__all__ = ["Asked", "decode", "encode", "tensors_of"]

#: the length of the JSON part, after decompression, if raw tensors follow it
HEADER = "Inference-Header-Content-Length"

_REQUEST_KEYS = {"id", "parameters", "inputs", "outputs", "model_name", "model_version"}
_INPUT_KEYS = {"name", "shape", "datatype", "parameters", "data"}
_OUTPUT_KEYS = {"name", "parameters"}
#: characters of a tensor's name in a contract, at most
MAX_NAME = 128


@dataclass(slots=True)
class Asked:
    """A decoded inference request; `raw` names the outputs requested as raw tensors."""

    id: str | None
    batch: Batch
    outputs: list[str]
    raw: set[str]
    pins: bool = False
    partial: bool = False  # the protocol has no partial answers


def decode(contract: Contract, request: Request) -> Asked:
    """Decode an inference request.

    Raises:
        BadInput: the request does not fit the model.
        TooLarge: the request has too many bytes or rows.
    """
    request.accepts("application/json", "application/octet-stream")
    body = request.content(contract.limits.bytes)
    text, raw = _parts(request.headers.get(HEADER.lower()), body)
    if raw is not None and not text:
        asked, raw = _raw_request(contract, raw)
    else:
        asked = _request(contract, parse_json(contract, text, "inputs"))
    if "id" in asked and type(asked["id"]) is not str:
        raise BadInput.of("id", "a string", json_kind(asked["id"]))
    parameters = _parameters("parameters", asked) if "parameters" in asked else {}
    names, as_raw = _outputs(contract, asked.get("outputs"), parameters)
    arrays = _inputs(contract, asked.get("inputs"), raw)
    pins = bool(asked.get("model_version"))
    return Asked(asked.get("id"), from_tensors(contract, arrays), names, as_raw, pins)


def tensors_of(contract: Contract, value: Any) -> dict[str, Array]:
    """The tensors of an inference request in JSON, without raw tensors.

    Raises:
        BadInput: the value is not such a request.
        TooLarge: the request has too many rows.
    """
    return _inputs(contract, _request(contract, value).get("inputs"), None)


def encode(asked: Asked, prediction: Prediction) -> Response:
    """Encode an inference answer: JSON, followed by the outputs requested as raw tensors."""
    outputs, raw = [], []
    for name in asked.outputs:
        array = prediction.scores.outputs[name]
        if array.dtype.kind == "O" and name in prediction.contract.compiled[_free]:
            array = _one_tensor(name, array)
        output: dict[str, Any] = {
            "name": name,
            "shape": list(array.shape),
            "datatype": tensors.datatype_of(array),
        }
        if name in asked.raw:
            raw.append(tensors.to_bytes(array))
            output["parameters"] = {"binary_data_size": len(raw[-1])}
        else:
            flat = array.reshape(-1)  # in row-major order, without gaps
            output["data"] = flat.tolist() if flat.dtype.kind == "O" else flat
        outputs.append(output)
    contract = prediction.contract
    answer: dict[str, Any] = {
        "model_name": contract.name,
        "model_version": str(contract.version),
        "outputs": outputs,
    }
    if asked.id is not None:
        answer["id"] = asked.id
    if fallback := prediction.scores.fallback.tobytes().count(1):
        answer["parameters"] = {"fallback_rows": fallback}
    text = json_body(answer)
    if not raw:
        return Response(200, text)
    body = b"".join([text, *raw])
    return Response(200, body, "application/octet-stream", {HEADER: str(len(text))})


def _free(contract: Contract) -> set[str]:
    """The outputs whose rows may differ in shape."""
    return {output.name for output in contract.outputs if output.free}


def _one_tensor(name: str, rows: Array) -> Array:
    """The rows of an output with free axes as one tensor.

    Raises:
        BadInput: they differ in shape.
    """
    shapes = sorted({row.shape for row in rows.tolist()})
    if len(shapes) > 1:
        expected = (
            "rows of one shape, since a tensor has one: send each row in a request of its own, "
            "or records to /models/{model}/predict"
        )
        raise BadInput.of(name, expected, f"shapes {list(shapes[0])} and {list(shapes[-1])}")
    return np.stack(rows.tolist())


def _request(contract: Contract, value: Any) -> dict[str, Any]:
    """Check an inference request; a model or version that it names must match the path's."""
    asked = members("body", value, _REQUEST_KEYS)
    for key, answers in (("model_name", contract.name), ("model_version", str(contract.version))):
        if asked.get(key, "") not in ("", answers):
            expected = f"{answers!r}, which the path asks for, or nothing"
            raise BadInput.of(key, expected, shown(asked[key]))
    return asked


def _parts(length: str | None, body: bytes) -> tuple[bytes, memoryview | None]:
    """Split a body into its JSON and the raw tensors that follow; None without the header."""
    if length is None:
        return body, None
    if not (length.isascii() and length.isdigit() and len(length) <= 9):
        raise BadInput.of(HEADER, "a number of bytes", shown(length))
    if int(length) > len(body):
        raise BadInput.of(HEADER, f"at most the body's {len(body)} bytes", length)
    return body[: int(length)], memoryview(body)[int(length) :]


def _raw_request(contract: Contract, raw: memoryview) -> tuple[dict[str, Any], memoryview]:
    """The request that a body without JSON stands for, and its tensor: the model's only input.

    The rows, or one inner dimension that is free, follow from the number of bytes; a string is the
    whole body. Outputs are raw, too.
    """
    inputs = oip_metadata.inputs(contract)
    if len(inputs) != 1:
        expected = f"more than 0: {contract.name} has {len(inputs)} inputs, so the body needs JSON"
        raise BadInput.of(HEADER, expected, "0")
    name, datatype, (_, *row) = inputs[0]["name"], inputs[0]["datatype"], inputs[0]["shape"]
    if row.count(-1) > 1:
        raise BadInput.of(HEADER, f"more than 0: {name} has several free dimensions", "0")
    if datatype == "BYTES":
        if math.prod(row) != 1:
            raise BadInput.of(HEADER, f"more than 0: a row of {name} has several strings", "0")
        raw = memoryview(tensors.to_bytes(np.array([bytes(raw)], dtype=object)))
        shape = [1, *row]
    else:
        known = tensors.size_of(datatype) * math.prod(size for size in row if size != -1)
        free, left = divmod(len(raw), known)
        if left or not free:
            raise BadInput.of("body", f"a multiple of {known} bytes ({datatype})", f"{len(raw)}")
        shape = [1, *(free if size == -1 else size for size in row)] if -1 in row else [free, *row]
    tensor = {"name": name, "datatype": datatype, "shape": shape}
    asked = {
        "inputs": [{**tensor, "parameters": {"binary_data_size": len(raw)}}],
        "parameters": {"binary_data_output": True},
    }
    return asked, raw


def _inputs(contract: Contract, inputs: Any, raw: memoryview | None) -> dict[str, Array]:
    """The request's tensors by name."""
    arrays: dict[str, Array] = {}
    gaps: bool = contract.compiled[_has_gaps]
    at = 0
    for item in _list("inputs", inputs):
        tensor = members("inputs", item, _INPUT_KEYS)
        name = _name("inputs", tensor)
        if name in arrays:
            raise BadInput.of(name, "one tensor of that name", "two")
        shape = tensors.check_shape(name, tensor.get("datatype"), tensor.get("shape"))
        check_has_rows(contract, name, shape)
        check_rows(contract, shape[0], name)
        size = None
        if "parameters" in tensor:
            size = _parameters(f"{name}: parameters", tensor).get("binary_data_size")
        if size is None:
            if "data" not in tensor:
                raise BadInput.of(name, "data, or binary_data_size in its parameters", "neither")
            arrays[name] = tensors.from_json(
                name, tensor["datatype"], shape, tensor["data"], gaps=gaps
            )
            continue
        if "data" in tensor:
            raise BadInput.of(name, "data or binary_data_size", "both")
        piece = _piece(name, size, at, raw)
        arrays[name] = tensors.from_bytes(name, tensor["datatype"], shape, piece)
        at += len(piece)
    if raw is not None and at != len(raw):
        raise BadInput.of("body", f"{at} bytes of raw tensors", f"{len(raw)}")
    return arrays


def _has_gaps(contract: Contract) -> bool:
    """Whether null in JSON may stand for a missing value."""
    return any(feature.missing for feature in contract.requested)


def _piece(name: str, size: Any, at: int, raw: memoryview | None) -> memoryview:
    """The next `size` bytes of the raw tensors, from `at` on."""
    if raw is None:
        raise BadInput.of(name, f"the header {HEADER} with raw data", "no such header")
    if type(size) is not int or size < 0:
        raise BadInput.of(name, "binary_data_size as a number of bytes", shown(size))
    if size > len(raw) - at:
        raise BadInput.of(name, f"binary_data_size of at most {len(raw) - at}", f"{size}")
    return raw[at : at + size]


def _outputs(
    contract: Contract, asked: Any, parameters: Mapping[str, Any]
) -> tuple[list[str], set[str]]:
    """The names of the requested outputs, in order, and those requested as raw tensors."""
    known = [output.name for output in contract.outputs]
    by_default = _flag("binary_data_output", parameters, False)
    if asked is None or asked == []:
        return known, set(known) if by_default else set()
    names: list[str] = []
    raw = set()
    for item in _list("outputs", asked):
        output = members("outputs", item, _OUTPUT_KEYS)
        name = _name("outputs", output)
        if name not in known or name in names:
            got = f"{shown(name)} twice" if name in names else shown(name)
            raise BadInput.of("outputs", f"each once of {', '.join(known)}", got)
        wanted = _parameters(f"{name}: parameters", output)
        if wanted.get("classification"):
            raise BadInput.of(name, "no classification: the model has its own labels", "it")
        names.append(name)
        if _flag("binary_data", wanted, by_default):
            raw.add(name)
    return names, raw


def _list(field: str, value: Any) -> Sequence[Any]:
    if type(value) is not list:
        raise BadInput.of(
            field, "an array of tensors", "nothing" if value is None else json_kind(value)
        )
    return value


def _name(field: str, tensor: Mapping[str, Any]) -> str:
    name = tensor.get("name")
    if type(name) is not str or not name:
        raise BadInput.of(field, "each with its name", "one without")
    return name if len(name) <= MAX_NAME else name[:MAX_NAME] + "..."


def _parameters(field: str, holder: Mapping[str, Any]) -> Mapping[str, Any]:
    """An object's parameters. Clients may send their own, so unknown ones are ignored."""
    return members(field, holder.get("parameters", {}))


def _flag(name: str, parameters: Mapping[str, Any], default: bool) -> bool:
    value = parameters.get(name, default)
    if type(value) is not bool:
        raise BadInput.of(name, "true or false", json_kind(value))
    return value
