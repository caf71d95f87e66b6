"""Captured features and outputs back to arrays, in the dtypes and shapes of a contract."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from arro3 import core
from numpy.typing import NDArray

from quintet.columns import Array, column_names, numpy_dtype, ragged
from quintet.contract import Contract, Feature, Output
from quintet.formats.arrow import column as values_of

__all__ = ["by_outputs", "complete_rows", "feature_columns", "output_columns"]


def feature_columns(
    contract: Contract, rows: core.Table, index: NDArray[np.int64]
) -> dict[str, Array]:
    """The captured features of some rows, in the contract's dtypes; those with gaps are left out.

    Sensitive features are not captured, or sealed until `captures.opening` adds them to the rows.
    """
    found = {}
    for feature in contract.features:
        name = f"feature_{feature.name}"
        if name in rows.column_names:
            column = rows[name].combine_chunks().take(index)
            if not column.null_count:
                found[feature.name] = _feature(feature, column)
    return found


def complete_rows(
    contract: Contract, rows: core.Table, index: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Those of some rows that have a value of every captured feature of the contract."""
    whole = np.ones(len(index), dtype=np.bool_)
    for feature in contract.features:
        name = f"feature_{feature.name}"
        if name in rows.column_names:
            column = rows[name].combine_chunks().take(index)
            if column.null_count:
                whole &= np.array([value is not None for value in column.to_pylist()], np.bool_)
    return index[whole]


def output_columns(
    contract: Contract, rows: core.Table, index: NDArray[np.int64]
) -> dict[str, Array]:
    """The captured outputs of some scored rows, (rows, *shape) each; those with gaps, and those
    whose rows differ in shape, are left out."""
    found = {}
    for output in contract.outputs:
        names = [] if output.free else [f"output_{name}" for name in column_names(output)]
        if names and set(names) <= set(rows.column_names):
            columns = [rows[name].combine_chunks().take(index) for name in names]
            if not any(column.null_count for column in columns):
                found[output.name] = _output(output, columns)
    return found


def by_outputs(
    contract: Contract, rows: core.Table, index: NDArray[np.int64]
) -> Iterator[NDArray[np.int64]]:
    """The places in `index` of rows that have the same outputs: a caller may ask for some alone."""
    gaps = [np.zeros(len(index), dtype=np.bool_)]
    for output in contract.outputs:
        name = f"output_{column_names(output)[0]}"
        if name in rows.column_names:
            _, gap = values_of(name, rows[name].combine_chunks().take(index))
            if gap is not None:
                gaps.append(gap)
    which = np.unique(np.column_stack(gaps), axis=0, return_inverse=True)[1].reshape(-1)
    for number in range(int(which.max(initial=-1)) + 1):
        yield np.flatnonzero(which == number)


def _feature(feature: Feature, column: core.Array) -> Array:
    dtype = numpy_dtype(feature.dtype)
    if feature.free:
        return ragged([np.array(row, dtype=dtype) for row in column.to_pylist()])
    flat = (math.prod(feature.shape),) if feature.shape else ()  # as `captures.tables` writes it
    values, _ = values_of(feature.name, column, flat, feature.dtype)
    if flat and values.shape != (len(column), *flat):  # lists, of texts or of none
        values = np.array(column.to_pylist(), dtype=dtype)
    return values.astype(dtype, copy=False).reshape(len(column), *feature.shape)


def _output(output: Output, columns: list[core.Array]) -> Array:
    dtype = numpy_dtype(output.dtype)
    flat = [values_of(output.name, one)[0].astype(dtype, copy=False) for one in columns]
    return np.column_stack(flat).reshape(len(flat[0]), *output.row_shape)
