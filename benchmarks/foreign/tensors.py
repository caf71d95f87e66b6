"""Tensors as the Open Inference Protocol has them."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from benchmarks.foreign.cases import Rows
from numpy.typing import NDArray

__all__ = ["DTYPES", "from_binary", "header", "stack", "to_binary", "unstacked"]

KINDS = {
    "float32": "FP32",
    "float64": "FP64",
    "float16": "FP16",
    "bool": "BOOL",
    "object": "BYTES",
    **{f"int{n}": f"INT{n}" for n in (8, 16, 32, 64)},
    **{f"uint{n}": f"UINT{n}" for n in (8, 16, 32, 64)},
}
DTYPES = {kind: dtype for dtype, kind in KINDS.items()}


def stack(rows: Rows) -> dict[str, NDArray[Any]]:
    """Rows of one shape as tensors, the rows first."""
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def unstacked(outputs: dict[str, NDArray[Any]], rows: int) -> Rows:
    """The rows of tensors."""
    return [
        {name: np.array(value[place], value.dtype) for name, value in outputs.items()}
        for place in range(rows)
    ]


def header(name: str, value: NDArray[Any]) -> dict[str, Any]:
    """A tensor of a request, without its data."""
    return {"name": name, "shape": [*value.shape], "datatype": KINDS[str(value.dtype)]}


def to_binary(value: NDArray[Any]) -> bytes:
    """A tensor in the binary form of the protocol."""
    if value.dtype.kind != "O":
        return value.tobytes()
    texts = [str(text).encode() for text in value.ravel()]
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)


def from_binary(content: bytes, kind: str) -> NDArray[Any]:
    """The flat values of a binary tensor."""
    if kind != "BYTES":
        return np.frombuffer(content, DTYPES[kind])
    texts, place = [], 0
    while place < len(content):
        (size,) = struct.unpack_from("<I", content, place)
        texts.append(content[place + 4 : place + 4 + size].decode())
        place += 4 + size
    return np.array(texts, object)
