"""What an output means, by the values that the graph gave for the sample. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx

from quintet.columns import Array
from quintet.contract import Output
from quintet_publish.class_checks import graph_labels
from quintet_publish.init.guess import Guess

__all__ = ["output_guesses"]

SUM = 1e-3
EMBEDDING = 32


def output_guesses(
    graph: onnx.GraphProto, output: Output, values: Sequence[Array]
) -> Iterator[Guess]:
    """The meaning of an output, its classes, and whether it is always finite.

    `values` has the output of each row, without a dimension for the rows.
    """
    path = ("outputs", output.name)
    meaning, reason = _meaning(graph, output, values)
    yield Guess.of((*path, "meaning"), meaning, reason)
    labels = graph_labels(graph, output.name)
    columns = labels and meaning == "probabilities" and output.row_shape == (len(labels),)
    if columns and labels and labels != list(range(len(labels))):
        names = [str(label) for label in labels]
        yield Guess.of((*path, "classes"), names, "the graph's labels, in its order")
    floats = output.dtype.startswith("float")
    if floats and not all(np.isfinite(value).all() for value in values):
        reason = "the graph gave NaN or infinity for rows of the sample"
        yield Guess.of((*path, "finite"), False, reason)


def _meaning(graph: onnx.GraphProto, output: Output, values: Sequence[Array]) -> tuple[str, str]:
    shape = output.row_shape
    single = shape in ((), (1,))
    if not output.dtype.startswith("float"):
        labels = graph_labels(graph, output.name)
        named = any(word in output.name.lower() for word in ("label", "class"))
        if not single or not (labels or named or output.dtype in ("string", "bool")):
            return "value", f"{output.dtype}, and not a label by the graph"
        found = f"the graph's labels are {_listed(labels)}" if labels else "one for each row"
        return "label", f"{output.dtype}; {found}"
    if single:
        return "score", "one number for each row"
    if len(shape) == 1 and not output.free:
        rows = np.stack(values).astype(np.float64)
        if (rows >= 0).all() and (np.abs(rows.sum(axis=1) - 1) < SUM).all():
            return "probabilities", "not negative, and the sum of each row is 1"
        if "embed" in output.name.lower() or shape[0] >= EMBEDDING:
            return "embedding", f"{shape[0]} numbers for each row, which are no probabilities"
    return "value", f"numbers of the shape {list(shape)} for each row"


def _listed(labels: Sequence[Any]) -> str:
    shown = ", ".join(map(str, labels[:8]))
    return f"{shown}, ..." if len(labels) > 8 else shown
