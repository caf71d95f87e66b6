"""A model's outputs as JSON values by row, and as the flat columns of a table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quintet.columns.batch import Array, numpy_dtype
from quintet.contract import Contract, Output

__all__ = ["as_records", "column_names", "empty_output", "flat_columns", "json_columns"]

FALLBACK = "fallback"


def empty_output(output: Output, rows: int = 0) -> Array:
    """An output of so many rows, its values not set."""
    return np.empty((rows, *map(abs, output.shape[1:])), dtype=numpy_dtype(output.dtype))


def json_columns(
    contract: Contract, outputs: Mapping[str, Array], fallback: NDArray[np.bool_]
) -> dict[str, Sequence[Any]]:
    """The outputs that are there, as JSON values by row, and which rows the fallback answered.

    With classes, a label has its name beside it, and probabilities are objects by class.
    """
    columns: dict[str, Sequence[Any]] = {}
    for output in contract.outputs:
        values, classes = outputs.get(output.name), output.class_names
        if values is None:
            continue
        if values.ndim == 2 and values.shape[1] == 1:
            values = values[:, 0]
        # float32 stays float32: orjson writes 0.1 and not 0.10000000149011612
        rows: Sequence[Any] = (
            values.tolist() if values.dtype.kind in "Obiu" else list(np.ascontiguousarray(values))
        )
        columns[output.name] = rows
        if classes is None:
            continue
        if output.meaning == "label" and output.class_of and values.ndim == 1:
            columns[f"{output.name}_class"] = [output.class_of.get(label) for label in rows]
        elif values.ndim == 2 and values.shape[1] == len(classes):
            columns[output.name] = [dict(zip(classes, row, strict=True)) for row in rows]
    if contract.fallback is not None:
        columns[FALLBACK] = fallback.tolist()
    return columns


def as_records(columns: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Columns as one object for each row."""
    names = tuple(columns)
    return [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def flat_columns(
    contract: Contract, outputs: Mapping[str, Array], fallback: NDArray[np.bool_]
) -> dict[str, Array]:
    """All outputs as columns of a table, (rows,) each, and which rows the fallback answered.

    An output of several values has a column for each: `name_<class or number>`.
    """
    columns: dict[str, Array] = {}
    for output in contract.outputs:
        values = outputs[output.name]
        flat = values.reshape(len(values), math.prod(values.shape[1:]))
        columns |= {name: flat[:, i] for i, name in enumerate(column_names(output, values))}
    if contract.fallback is not None:
        columns[FALLBACK] = fallback
    return columns


def column_names(output: Output, values: Array | None = None) -> list[str]:
    """The columns of a table that an output fills; `values` tell where its shape is open."""
    shape = empty_output(output).shape if values is None else values.shape
    count = math.prod(shape[1:])
    if count == 1:
        return [output.name]
    names = output.class_names
    named = names if names and len(names) == count else range(count)
    return [f"{output.name}_{name}" for name in named]
