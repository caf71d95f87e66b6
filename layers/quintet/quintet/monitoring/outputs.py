"""The outputs of a model as columns that a report compares: one value, or one vector, of each row.

Of two classes the probability of the last is compared, since the other follows from it; of up to 20
classes each probability. Longer ones, embeddings and other vectors are compared as one. Outputs
whose rows differ in shape, and vectors of texts or booleans, are not compared.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from quintet.columns import Array, column_names, numpy_dtype, places_of
from quintet.contract import Contract, Feature, Output
from quintet.monitoring.bins import category

__all__ = ["OutputColumn", "output_columns", "output_values"]

#: probabilities that are compared one by one
MOST_CLASSES = 20


class OutputColumn(NamedTuple):
    """A column of an output: its type, and its places in a row of the output, which is flat.

    `classes` are the names of the values of a label.
    """

    output: Output
    feature: Feature
    places: slice
    classes: Mapping[str, str]


def output_columns(contract: Contract) -> list[OutputColumn]:
    """The columns of all outputs."""
    return [column for output in contract.outputs for column in _columns(output)]


def _columns(output: Output) -> Iterator[OutputColumn]:
    width = 0 if output.free else math.prod(output.row_shape)
    if not width or (width > 1 and numpy_dtype(output.dtype).kind in "Ob"):
        return
    if output.meaning == "label" and width == 1:
        classes = {category(label): name for label, name in output.class_of.items()}
        feature = Feature(name=output.name, dtype=output.dtype, categories=())
        yield OutputColumn(output, feature, slice(0, 1), classes)
        return
    names = column_names(output)
    if output.meaning == "probabilities" and width <= MOST_CLASSES:
        chosen = range(1, 2) if width == 2 else range(width)
        for place in chosen:
            yield OutputColumn(output, _number(output, names[place]), slice(place, place + 1), {})
        return
    shape = () if width == 1 else (width,)
    yield OutputColumn(output, _number(output, output.name, shape), slice(0, width), {})


def _number(output: Output, name: str, shape: tuple[int, ...] = ()) -> Feature:
    missing = None if output.finite or numpy_dtype(output.dtype).kind != "f" else "nan"
    return Feature(name=name, dtype=output.dtype, shape=shape, missing=missing)  # type: ignore[arg-type]


def output_values(contract: Contract, outputs: Mapping[str, Array]) -> dict[str, Array]:
    """The values of each column, from outputs (rows, ...); of those that are there."""
    return {
        feature.name: places_of(outputs[output.name], places, vector=bool(feature.shape))
        for output, feature, places, _ in contract.compiled[output_columns]
        if output.name in outputs
    }
