"""Rows for a graph without a sample: sizes that it accepts, found by running it, and noise."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from quintet.columns import Array, numpy_dtype
from quintet_publish.init.fed import Fed
from quintet_publish.init.graph import Source, Tensor
from quintet_publish.init.layout import Row, find_layout
from quintet_publish.init.names import usable, without_repeats
from quintet_publish.problems import PackageError

__all__ = ["invented"]

ROWS = 20
SEED = 1
#: sizes that a variable dimension is tried with
SIZES = (8, 16, 32, 64, 224, *range(1, 8), *range(9, 16), *range(17, 32), 128, 256, 384, 512, 768)
#: identifiers must be below any table of embeddings
HIGHEST_INTEGER = 8


def invented(source: Source) -> dict[str, list[Fed]]:
    """A feature for each input, with random values of shapes that the graph runs with.

    Raises:
        PackageError: no shape is found.
    """
    free = [tensor for tensor in source.inputs if None in _known(tensor)]
    wrong: PackageError | None = None
    for sizes in _shapes(source.inputs, SIZES if free else SIZES[:1]):
        try:
            values = _values(source, [sizes])
        except PackageError as error:
            wrong = wrong or error
            continue
        if free:  # rows of two sizes, if it takes another one too
            longer = {
                t.name: tuple(
                    2 * size if known is None else size
                    for size, known in zip(sizes[t.name], _known(t), strict=False)
                )
                for t in source.inputs
            }
            with contextlib.suppress(PackageError):
                _values(source, [longer])
                values = _values(source, [sizes, longer])
        names = without_repeats([usable(tensor.name) for tensor in source.inputs])
        return {
            tensor.name: [_fed(name, tensor, values[tensor.name])]
            for name, tensor in zip(names, source.inputs, strict=True)
        }
    raise wrong or PackageError.of(
        "model.onnx",
        "its variable dimensions cannot be guessed; give a sample: "
        "quintet init MODEL.onnx SAMPLE.jsonl",
    )


def _values(source: Source, shapes: Sequence[dict[str, tuple[int, ...]]]) -> dict[str, list[Array]]:
    """Random rows of each input, of the shapes in turn.

    Raises:
        PackageError: the graph does not run with them.
    """
    random = np.random.default_rng(SEED)
    values = {
        t.name: [_random(random, t.dtype, shapes[at % len(shapes)][t.name]) for at in range(ROWS)]
        for t in source.inputs
    }
    rows: list[Row] = [{name: column[at] for name, column in values.items()} for at in range(ROWS)]
    find_layout(source, rows, {})
    return values


def _known(tensor: Tensor) -> list[int | None]:
    """The sizes of a row, None for those that are not declared."""
    if tensor.dims is None:
        return [None]
    return [size if isinstance(size, int) else None for size in tensor.dims[1:]]


def _shapes(inputs: Sequence[Tensor], sizes: Sequence[int]) -> Iterator[dict[str, tuple[int, ...]]]:
    """The shapes of a row to try: every variable dimension with the same size."""
    for size in sizes:
        yield {
            tensor.name: tuple(size if known is None else known for known in _known(tensor))
            for tensor in inputs
        }
    if any(tensor.dims and isinstance(tensor.dims[0], int) for tensor in inputs):
        yield {  # without a dimension for the rows
            tensor.name: tuple(d if isinstance(d, int) else SIZES[0] for d in tensor.dims or ())
            for tensor in inputs
        }


def _random(random: np.random.Generator, dtype: str, shape: tuple[int, ...]) -> Array:
    kind = numpy_dtype(dtype)
    if kind.kind == "O":
        return np.array(random.choice(["a", "b", "c"], shape), dtype=object)
    if kind.kind == "b":
        return np.asarray(random.integers(0, 2, shape).astype(bool))
    if kind.kind in "iu":
        return np.asarray(random.integers(0, HIGHEST_INTEGER, shape), dtype=kind)
    return np.asarray(random.standard_normal(shape).round(3), dtype=kind)


def _fed(name: str, tensor: Tensor, values: list[Array]) -> Fed:
    shapes = {value.shape for value in values}
    shape = shapes.pop() if len(shapes) == 1 else None
    if shape == (1,):
        shape, values = (), [value[0] for value in values]
    return Fed(name, None, tensor, shape, [_plain(value) for value in values])


def _plain(value: Any) -> Any:
    found = np.asarray(value)
    return found.astype(np.float64).round(3).tolist() if found.dtype.kind == "f" else found.tolist()
