"""Rows of different shapes: an object array of arrays, one a row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from quintet.contract import Feature, Output

if TYPE_CHECKING:
    pass

__all__ = [
    "ShapeError",
    "filler",
    "fits",
    "ragged",
    "shape_of",
    "shape_text",
    "shared",
    "values_of",
]


Array = np.ndarray[tuple[Any, ...], np.dtype[Any]]


class ShapeError(ValueError):
    """A row's shape is not its feature's; the text is the shape."""

    def __init__(self, shape: Iterable[int]) -> None:
        super().__init__(f"shape {list(shape)}")


def ragged(rows: Sequence[Array]) -> Array:
    """Arrays as an object array, (rows,): numpy would stack those of one shape."""
    return np.fromiter(rows, dtype=object, count=len(rows))


def shared(rows: Array) -> Array | None:
    """The array that all ragged rows are, if they are one and the same object."""
    first: Array | None = rows[0] if len(rows) else None
    return first if all(row is first for row in rows.tolist()) else None


def fits(shape: Sequence[int], tensor: Feature | Output) -> bool:
    """Whether a row of that shape is one of a feature or output: its free axes have a bound."""
    allowed = tensor.shape if isinstance(tensor, Feature) else tensor.row_shape
    return len(shape) == len(allowed) and all(
        have == want or (want == -1 and have <= most)
        for have, want, most in zip(shape, allowed, tensor.largest, strict=True)
    )


def shape_text(tensor: Feature | Output) -> str:
    """The shapes that the rows of a feature or output may have, in words."""
    allowed = tensor.shape if isinstance(tensor, Feature) else tensor.row_shape
    sizes = (
        f"up to {most}" if size == -1 else str(size)
        for size, most in zip(allowed, tensor.largest, strict=True)
    )
    return f"[{', '.join(sizes)}]"


def shape_of(feature: Feature, value: Any) -> tuple[int, ...]:
    """The shape of nested lists, by the first of each level: for a free axis its length.

    Raises:
        ValueError: they are not nested as deep as the feature.
        ShapeError: the shape is not one of the feature's.
    """
    sizes: list[int] = []
    for size in feature.shape:
        if sizes and not sizes[-1]:  # an empty list does not show what it would hold
            sizes += [0 if size == -1 else size]
            continue
        if not isinstance(value, list | tuple):
            raise ValueError
        sizes.append(len(value))
        value = value[0] if value else None
    if not fits(sizes, feature):
        raise ShapeError(sizes)
    return tuple(sizes)


def filler(feature: Feature) -> Array:
    """A row without values, for one that is refused."""
    shape = [0 if size == -1 else size for size in feature.shape]
    return np.zeros(shape, dtype=object if feature.dtype == "string" else feature.dtype)


def values_of(rows: Array) -> tuple[Array, Array]:
    """All values of ragged rows, (values,), and the row of each, (values,)."""
    if not len(rows):
        return np.empty(0), np.empty(0, dtype=np.int64)
    sizes = [row.size for row in rows.tolist()]
    return np.concatenate([row.ravel() for row in rows.tolist()]), np.repeat(
        np.arange(len(rows)), sizes
    )
