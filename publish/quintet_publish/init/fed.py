"""The features of a sample, and each row as the graph's inputs take it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from quintet.columns import Array, numpy_dtype
from quintet_publish.init.graph import Tensor
from quintet_publish.init.layout import Row
from quintet_publish.init.matching import Matching
from quintet_publish.init.names import usable, without_repeats
from quintet_publish.init.table import Table, as_number, cells, comma_hint
from quintet_publish.problems import PackageError

__all__ = ["Fed", "feed", "rows_of"]


@dataclass(frozen=True, slots=True)
class Fed:
    """A feature: its column of the sample, the input that it feeds, and its values.

    `shape` is that of every row, or None if rows differ. A value is JSON's, None if missing.
    """

    name: str
    column: str | None
    tensor: Tensor
    shape: tuple[int, ...] | None
    values: list[Any]

    @property
    def fill(self) -> Any:
        """What a row gets for a missing value until the contract says more."""
        if numpy_dtype(self.tensor.dtype).kind == "f":
            return math.nan
        return Counter(cells(self.values)).most_common(1)[0][0]


def feed(inputs: Sequence[Tensor], matching: Matching, table: Table) -> dict[str, list[Fed]]:
    """Convert the columns of each input to its dtype.

    Raises:
        PackageError: a cell is not of the dtype, or a column is empty.
    """
    tensors = [tensor for tensor in inputs if tensor.name not in matching.constants]
    columns = {tensor.name: matching.columns[tensor.name] for tensor in tensors}
    names = iter(without_repeats([usable(name) for one in columns.values() for name in one]))
    found: dict[str, list[Fed]] = {}
    for tensor in tensors:
        row = (tensor.dims or ())[1:]
        if len(columns[tensor.name]) > 1 and len(row) > 1:  # pixels of an image, column by column
            found[tensor.name] = [_joined(tensor, columns[tensor.name], table)]
            for _ in columns[tensor.name]:
                next(names)
            continue
        found[tensor.name] = [
            _fed(next(names), column, tensor, table[column]) for column in columns[tensor.name]
        ]
    return found


def _fed(name: str, column: str, tensor: Tensor, given: list[Any]) -> Fed:
    if not cells(given):
        raise PackageError.of("sample", f"the column {column} has no values; give it some")
    values = []
    for row, cell in enumerate(given):
        try:
            values.append(None if cell is None else _value(tensor.dtype, cell))
        except (TypeError, ValueError, OverflowError):
            text = (
                f"row {row}: {column}: expected {tensor.dtype} for {tensor.name}, got {cell!r:.60}"
            )
            raise PackageError.of("sample", text + comma_hint(cell)) from None
    shapes = {np.shape(value) for value in values if value is not None}
    shape = shapes.pop() if len(shapes) == 1 else None
    flat = _unfolded(tensor, shape)
    if flat is not None:  # a flat list of an image's pixels
        kind, shape = numpy_dtype(tensor.dtype), flat
        values = [None if v is None else np.array(v, kind).reshape(flat).tolist() for v in values]
    return Fed(name, column if column != name else None, tensor, shape, values)


def _unfolded(tensor: Tensor, shape: tuple[int, ...] | None) -> tuple[int, ...] | None:
    """The declared shape of a row, if the sample has as many values in another one."""
    sizes = tuple(size for size in (tensor.dims or ())[1:] if isinstance(size, int))
    if not shape or tensor.dims is None or len(sizes) < len(tensor.dims) - 1:
        return None
    same = shape in (sizes, tensor.dims) or math.prod(sizes) != math.prod(shape)
    return None if same else sizes


def _joined(tensor: Tensor, columns: Sequence[str], table: Table) -> Fed:
    parts = [_fed(column, column, tensor, table[column]).values for column in columns]
    flat = [[part[row] for part in parts] for row in range(len(parts[0]))]
    return _fed(usable(tensor.name), usable(tensor.name), tensor, flat)


def _value(dtype: str, cell: Any) -> Any:
    """A cell as JSON has a value of the dtype; the same for each element of a list."""
    kind = numpy_dtype(dtype).kind
    if isinstance(cell, list):  # an element may be missing where a row would be NaN
        return [None if v is None and kind == "f" else _value(dtype, v) for v in cell]
    if kind == "O":
        return cell if isinstance(cell, str) else str(cell)
    number = as_number(cell)
    if kind == "b":
        if number not in (0, 1):
            raise ValueError
        return bool(number)
    if kind in "iu":
        if number != int(number):
            raise ValueError
        limits = np.iinfo(dtype)
        if not limits.min <= number <= limits.max:
            raise OverflowError
        return int(number)
    return None if math.isnan(number) else float(number)


def rows_of(feds: dict[str, list[Fed]], places: Sequence[int]) -> list[Row]:
    """Some rows as the graph's inputs take them, without a dimension for the rows.

    A row with a missing tensor is left out.
    """
    found: list[Row] = []
    for place in places:
        row = {name: _tensor(parts, place) for name, parts in feds.items()}
        if all(value is not None for value in row.values()):
            found.append(row)  # type: ignore[arg-type]
    return found


def _tensor(parts: Sequence[Fed], place: int) -> Array | None:
    kind = numpy_dtype(parts[0].tensor.dtype)
    if len(parts) == 1:
        (fed,) = parts
        value = fed.values[place]
        if fed.shape == ():
            value = fed.fill if value is None else value
            dims = fed.tensor.dims
            return np.array(value if dims is not None and len(dims) == 1 else [value], kind)
        return None if value is None else np.array(value, kind)
    values = [f.fill if f.values[place] is None else f.values[place] for f in parts]
    return np.array(values, kind)
