"""JSON Schemas of a contract's tensors in the Open Inference Protocol."""

from __future__ import annotations

from collections.abc import Sequence

from quintet.contract import Contract
from quintet.openapi.values import Schema
from quintet.protocols import oip_metadata
from quintet.protocols.tensors import DATATYPES

__all__ = ["infer_answer", "infer_request"]

_NUMBERS = [name for name in DATATYPES.values() if name not in ("BOOL", "BYTES")]
_WHOLE = [name for name in _NUMBERS if not name.startswith("FP")]
_PARAMETERS: Schema = {
    "type": ["object", "null"],
    "properties": {
        "binary_data_size": {"type": "integer", "minimum": 0},
        "binary_data": {"type": "boolean"},
    },
}
_ID: Schema = {"type": ["string", "null"]}


def infer_request(contract: Contract) -> Schema:
    """An inference request: each input once, as the graph's or under its feature's own name."""
    tensors = {one["name"]: one for one in oip_metadata.inputs(contract)}
    for feature in contract.requested:
        shape = [-1, *feature.shape]
        own = {"name": feature.key, "datatype": DATATYPES[feature.dtype], "shape": shape}
        tensors.setdefault(feature.key, own)
    for name in filter(None, (contract.entity, contract.id)):
        tensors.setdefault(name, {"name": name, "datatype": "BYTES", "shape": [-1]})
    inputs = [_input(one, contract.limits.rows) for one in tensors.values()]
    names = {"enum": [one.name for one in contract.outputs]}
    output = _object({"name": names, "parameters": _PARAMETERS}, "name")
    return _object(
        {
            "id": _ID,
            "model_name": {"enum": [contract.name, "", None]},
            "model_version": _ID,
            "parameters": {
                "type": ["object", "null"],
                "properties": {"binary_data_output": {"type": "boolean"}},
            },
            "inputs": {"type": "array", "items": {"anyOf": inputs}, "minItems": 1},
            "outputs": {
                "type": ["array", "null"],
                "items": output,
                "description": "the outputs to return, each once; all by default",
            },
        },
        "inputs",
    )


def infer_answer(contract: Contract) -> Schema:
    """An inference answer in JSON."""
    outputs = [_output(one) for one in oip_metadata.outputs(contract)]
    return _object(
        {
            "model_name": {"type": "string"},
            "model_version": {"type": "string"},
            "id": {"type": "string"},
            "parameters": {
                "type": "object",
                "properties": {"fallback_rows": {"type": "integer", "minimum": 1}},
            },
            "outputs": {"type": "array", "items": {"anyOf": outputs}, "minItems": 1},
        },
        *("model_name", "model_version", "outputs"),
    )


def _input(tensor: Schema, rows: int) -> Schema:
    datatype = tensor["datatype"]
    # integers of another width, and any number for a float
    known = _NUMBERS if datatype.startswith("FP") else _WHOLE if datatype in _WHOLE else [datatype]
    kinds = {"BOOL": "boolean", "BYTES": "string"}
    element = {"type": [kinds.get(datatype, "number"), "null", "array"]}
    return _object(
        {
            "name": {"const": tensor["name"]},
            "shape": _shape(tensor["shape"], rows),
            "datatype": {"enum": [datatype, *(one for one in known if one != datatype)]},
            "parameters": _PARAMETERS,
            "data": {
                "type": ["array", "null"],
                "items": element,
                "description": "flat in row-major order, or nested as the shape",
            },
        },
        *("name", "shape", "datatype"),
    )


def _output(tensor: Schema) -> Schema:
    return _object(
        {
            "name": {"const": tensor["name"]},
            "datatype": {"const": tensor["datatype"]},
            "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1},
            "parameters": _PARAMETERS,
            "data": {"type": "array"},
        },
        *("name", "datatype", "shape"),
    )


def _shape(shape: Sequence[int], rows: int) -> Schema:
    """A tensor's shape: the rows, then the dimensions of one row. A scalar may be (rows, 1)."""
    sizes: list[Schema] = [{"type": "integer", "minimum": 1, "maximum": rows}]
    sizes += [
        {"type": "integer", "minimum": 0} if size == -1 else {"const": size} for size in shape[1:]
    ]
    least = 1 if list(shape[1:]) == [1] else len(sizes)
    if len(shape) == 1:
        sizes.append({"const": 1})
    return {"type": "array", "prefixItems": sizes, "minItems": least, "maxItems": len(sizes)}


def _object(properties: Schema, *required: str) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }
