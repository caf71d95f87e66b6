"""A model's outputs as the flat columns of a table."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from quintet.columns.batch import Array, numpy_dtype
from quintet.contract import Contract, Output

__all__ = ["FALLBACK", "column_names", "empty_output", "flat_columns"]

#: the column that says which rows the fallback rule answered
FALLBACK = "fallback"


def empty_output(output: Output, rows: int = 0) -> Array:
    """An output of so many rows with unset values."""
    return np.empty((rows, *map(abs, output.row_shape)), dtype=numpy_dtype(output.dtype))


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
    """The table columns of an output; `values` give the size of an open dimension."""
    shape = empty_output(output).shape if values is None else values.shape
    count = math.prod(shape[1:])
    if count == 1:
        return [output.name]
    names = output.class_names
    named = names if names and len(names) == count else range(count)
    return [f"{output.name}_{name}" for name in named]
