"""A model's own values as columns of captures, and back from the JSON of a line or a sealed row."""

from __future__ import annotations

from typing import Any

import numpy as np
from arro3 import core

from quintet.columns import Array, numpy_dtype, ragged
from quintet.formats.writers import list_column

__all__ = ["INT", "TEXT", "TIME", "array_of", "column_of"]

TEXT, TIME = core.DataType.string(), core.DataType.timestamp("us")
INT = core.DataType.int64()


def column_of(array: Array) -> core.Array:
    """A column of values: of (rows, n, ...) each row is a flat list."""
    if array.ndim == 1:
        if array.dtype.kind == "O":
            if len(array) and isinstance(array[0], np.ndarray):
                name = array[0].dtype.name
                dtype = {"object": "string", "float16": "float32"}.get(name, name)
                return list_column(array, dtype, max(row.ndim for row in array))
            return core.Array(array.tolist(), TEXT)
        if array.dtype == np.float16:  # which few readers of Parquet know
            array = array.astype(np.float32)
        if array.dtype.kind == "M" and (gaps := np.isnat(array)).any():
            # arro3 takes NaT for a time
            micros = zip(array.astype(np.int64).tolist(), gaps.tolist(), strict=True)
            return core.Array([None if gap else one for one, gap in micros], INT).cast(TIME)
        return core.Array.from_numpy(np.ascontiguousarray(array))
    size = int(np.prod(array.shape[1:]))
    return core.fixed_size_list_array(column_of(array.reshape(-1)), size)


def array_of(values: list[Any], dtype: str, *, free: bool) -> Array:
    """Values of rows, from JSON, as an array; where rows differ in shape, an array for each."""
    if free:
        return ragged([np.array(row, dtype=numpy_dtype(dtype)) for row in values])
    return np.array(values, dtype=numpy_dtype(dtype))
