"""Convert tensors of the Open Inference Protocol to and from JSON or raw little-endian bytes.

https://github.com/kserve/open-inference-protocol, inference_rest.md, and Triton's binary tensor
data extension, extension_binary_data.md.
"""

from __future__ import annotations

import math
import struct
from itertools import chain
from types import NoneType
from typing import Any

import numpy as np

from quintet.columns import Array, flat_array
from quintet.errors import BadInput, json_kind, shown

__all__ = [
    "DATATYPES",
    "check_shape",
    "datatype_of",
    "from_bytes",
    "from_json",
    "size_of",
    "to_bytes",
]

#: the protocol's datatype for each of the contract's dtypes
DATATYPES = {
    "bool": "BOOL",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
    "float16": "FP16",
    "float32": "FP32",
    "float64": "FP64",
    "string": "BYTES",
}
_DTYPES: dict[str, np.dtype[Any]] = {
    oip: np.dtype(object if dtype == "string" else dtype).newbyteorder("<")
    for dtype, oip in DATATYPES.items()
}
#: by dtype, since numpy works out a dtype's name each time
_DATATYPES_OF = {dtype.newbyteorder("="): oip for oip, dtype in _DTYPES.items()}
_JSON_TYPES: dict[str, set[type]] = {
    "f": {float, int},
    "i": {int},
    "u": {int},
    "b": {bool},
    "O": {str},
}
_JSON_NAMES = {"f": "numbers", "i": "integers", "u": "integers", "b": "booleans", "O": "strings"}
_MAX_DIMENSIONS = 8
_LENGTH = struct.Struct("<I")


def datatype_of(array: Array) -> str:
    """The protocol's name for an array's dtype."""
    return _DATATYPES_OF[array.dtype]


def size_of(datatype: str) -> int:
    """The bytes of an element of a datatype of a fixed size."""
    return _DTYPES[datatype].itemsize


def check_shape(name: str, datatype: Any, shape: Any) -> tuple[int, ...]:
    """Validate a tensor's datatype and shape; return the shape.

    Raises:
        BadInput: the datatype or the shape is invalid.
    """
    if type(datatype) is not str or datatype not in _DTYPES:
        raise BadInput.of(name, f"a datatype of {', '.join(_DTYPES)}", shown(datatype))
    if type(shape) is not list or not 1 <= len(shape) <= _MAX_DIMENSIONS:
        raise BadInput.of(name, f"a shape of 1 to {_MAX_DIMENSIONS} numbers", shown(shape))
    if set(map(type, shape)) != {int} or min(shape) < 0 or max(shape) >= 2**31:
        raise BadInput.of(name, "a shape of whole numbers from 0", shown(shape))
    return tuple(shape)


def from_json(
    name: str, datatype: str, shape: tuple[int, ...], data: Any, *, gaps: bool = False
) -> Array:
    """Convert flat or nested JSON data to an array of `shape`; strings become objects.

    With `gaps`, null is NaN among floats.

    Raises:
        BadInput: a value has another type, or their number does not match the shape.
    """
    dtype = _DTYPES[datatype]
    flat = _flat(name, shape, data)
    count = math.prod(shape)
    if len(flat) != count:
        raise BadInput.of(name, f"{count} elements, as its shape says", f"{len(flat)}")
    allowed = _JSON_TYPES[dtype.kind]
    if gaps and dtype.kind == "f":
        allowed = allowed | {NoneType}
    if other := set(map(type, flat)) - allowed:
        expected = f"{_JSON_NAMES[dtype.kind]} ({datatype})"
        stray = next(value for value in flat if type(value) in other)
        got = (
            "a number with a fraction or an exponent" if type(stray) is float else json_kind(stray)
        )
        raise BadInput.of(name, expected, got)
    try:
        return flat_array(flat, dtype).reshape(shape)
    except OverflowError:
        raise BadInput.of(name, f"numbers in the range of {datatype}", "one out of it") from None


def _flat(name: str, shape: tuple[int, ...], data: Any) -> list[Any]:
    """Flatten data in row-major order; nested lists must match the shape at each level."""
    if type(data) is not list:
        raise BadInput.of(name, "data as an array", json_kind(data))
    flat: list[Any] = data
    if not flat or type(flat[0]) is not list:
        return flat
    expected = f"flat data, or data nested as its shape {list(shape)}"
    for size in shape[1:]:
        if set(map(type, flat)) - {list} or set(map(len, flat)) - {size}:
            raise BadInput.of(name, expected, "other nesting")
        flat = list(chain.from_iterable(flat))
    if flat and type(flat[0]) is list:
        raise BadInput.of(name, expected, "deeper nesting")
    return flat


def from_bytes(name: str, datatype: str, shape: tuple[int, ...], raw: memoryview) -> Array:
    """Convert raw little-endian data to an array of `shape`; BYTES elements must be UTF-8.

    Raises:
        BadInput: the bytes are invalid for the datatype, or their number does not match the shape.
    """
    count = math.prod(shape)
    if datatype == "BYTES":
        return _strings(name, count, raw).reshape(shape)
    dtype = _DTYPES[datatype]
    if len(raw) != count * dtype.itemsize:
        expected = f"{count * dtype.itemsize} bytes ({count} of {datatype})"
        raise BadInput.of(name, expected, f"{len(raw)}")
    if datatype == "BOOL":
        truths: Array = np.frombuffer(raw, np.uint8) != 0
        return truths.reshape(shape)
    array = np.frombuffer(raw, dtype)
    # data after a JSON header of odd length is unaligned, but onnxruntime needs alignment
    return (array if array.flags.aligned else array.copy()).reshape(shape)


def _strings(name: str, count: int, raw: memoryview) -> Array:
    """Read BYTES elements, each prefixed with its length in 4 bytes."""
    if count * _LENGTH.size > len(raw):
        raise BadInput.of(name, f"{count} elements of BYTES", "too few bytes")
    strings = np.empty(count, dtype=object)
    at = 0
    for position in range(count):
        if at + _LENGTH.size > len(raw):
            raise BadInput.of(name, f"{count} elements of BYTES", f"{position}")
        (length,) = _LENGTH.unpack_from(raw, at)
        at += _LENGTH.size
        if length > len(raw) - at:
            got = f"a length of {length} where {len(raw) - at} bytes are left"
            raise BadInput.of(name, "elements inside the tensor's bytes", got)
        try:
            strings[position] = str(raw[at : at + length], "utf-8")
        except UnicodeDecodeError:
            expected = "text in UTF-8"
            raise BadInput.of(name, expected, f"other bytes in element {position}") from None
        at += length
    if at != len(raw):
        raise BadInput.of(name, f"{count} elements of BYTES", f"{len(raw) - at} bytes more")
    return strings


def to_bytes(array: Array) -> bytes:
    """An array as raw little-endian data."""
    if array.dtype.kind != "O":
        return array.tobytes()  # every machine that onnxruntime has a wheel for is little-endian
    parts: list[bytes] = []
    for value in array.ravel().tolist():
        encoded = value.encode() if isinstance(value, str) else bytes(value)
        parts += (_LENGTH.pack(len(encoded)), encoded)
    return b"".join(parts)
