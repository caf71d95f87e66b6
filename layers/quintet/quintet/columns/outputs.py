"""A model's outputs, row by row, as people and programs read them in JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from quintet.columns.batch import Array, numpy_dtype
from quintet.contract import Output

__all__ = ["empty_output", "json_columns"]


def empty_output(output: Output, rows: int = 0) -> Array:
    """An output of so many rows, its values not set."""
    return np.empty((rows, *map(abs, output.shape[1:])), dtype=numpy_dtype(output.dtype))


def json_columns(output: Output, values: Array) -> dict[str, Sequence[Any]]:
    """An output's values by row; with classes, a label's name and probabilities by name."""
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    # float32 stays float32: orjson writes 0.1 and not 0.10000000149011612
    rows: Sequence[Any] = (
        values.tolist() if values.dtype.kind in "Obiu" else list(np.ascontiguousarray(values))
    )
    classes = output.classes
    if classes is None:
        return {output.name: rows}
    if output.meaning == "label" and values.dtype.kind in "iu" and values.ndim == 1:
        names = [classes[i] if 0 <= i < len(classes) else None for i in rows]
        return {output.name: rows, f"{output.name}_class": names}
    if values.ndim == 2 and values.shape[1] == len(classes):
        return {output.name: [dict(zip(classes, row, strict=True)) for row in rows]}
    return {output.name: rows}
