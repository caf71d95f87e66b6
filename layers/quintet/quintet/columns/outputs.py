"""A model's outputs as the flat columns of a table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from quintet.columns.batch import Array, numpy_dtype
from quintet.contract import Contract, Output

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["FALLBACK", "column_names", "empty_output", "flat_columns", "places_of"]

#: the column that says which rows the fallback rule answered
FALLBACK = "fallback"


def empty_output(output: Output, rows: int = 0) -> Array:
    """An output of so many rows with unset values."""
    if output.free:
        return np.empty(rows, dtype=object)
    return np.empty((rows, *output.row_shape), dtype=numpy_dtype(output.dtype))


def flat_columns(
    contract: Contract, outputs: Mapping[str, Array], fallback: NDArray[np.bool_]
) -> dict[str, Array]:
    """All outputs as columns of a table, (rows,) each, and which rows the fallback answered.

    An output of several values has a column for each: `name_<class or number>`. One with free
    axes is one column, of an array a row.
    """
    columns: dict[str, Array] = {}
    for output in contract.outputs:
        values = outputs[output.name]
        if output.free:
            columns[output.name] = values
            continue
        flat = values.reshape(len(values), math.prod(output.row_shape))
        columns |= {name: flat[:, i] for i, name in enumerate(column_names(output))}
    if contract.fallback is not None:
        columns[FALLBACK] = fallback
    return columns


def places_of(values: Array, places: slice, *, vector: bool) -> Array:
    """Some places of each row of an output, flat: (rows, places), or (rows,) of one place."""
    flat = values.reshape(len(values), math.prod(values.shape[1:]))[:, places]
    return flat if vector else flat[:, 0]


def column_names(output: Output) -> list[str]:
    """The table columns of an output."""
    count = math.prod(output.row_shape)
    if output.free or count == 1:
        return [output.name]
    names = output.class_names
    named = names if names and len(names) == count else range(count)
    return [f"{output.name}_{name}" for name in named]
