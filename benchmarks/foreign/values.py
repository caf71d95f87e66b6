"""Values of rows, names of features, and what onnxruntime does not give numpy."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

__all__ = ["alike", "feature_name", "plain", "widened"]

BFLOAT16 = onnx.TensorProto.BFLOAT16


def alike(rows: Sequence[Mapping[str, NDArray[Any]]]) -> list[list[int]]:
    """The positions of the rows of each shape."""
    shapes: dict[Any, list[int]] = {}
    for place, row in enumerate(rows):
        shapes.setdefault(tuple((k, v.shape) for k, v in row.items()), []).append(place)
    return list(shapes.values())


def widened(graph: bytes) -> bytes:
    """The graph with a Cast behind outputs of bfloat16: onnxruntime gives numpy none of these."""
    model = onnx.load_model_from_string(graph)
    for output in model.graph.output:
        if output.type.tensor_type.elem_type == BFLOAT16:
            for node in model.graph.node:
                for place, name in enumerate(node.output):
                    if name == output.name:
                        node.output[place] = f"{name}/narrow"
            cast = onnx.helper.make_node(
                "Cast", [f"{output.name}/narrow"], [output.name], to=onnx.TensorProto.FLOAT
            )
            model.graph.node.append(cast)
            output.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
            graph = model.SerializeToString()
    return graph


def feature_name(tensor: str) -> str:
    """A feature's name for a tensor of any name."""
    return re.sub(r"\W+", "_", tensor).strip("_") or "x"


def plain(value: NDArray[Any]) -> Any:
    """An array as JSON has it; NaN is null."""
    if value.dtype.kind != "f":
        return value.tolist()
    wide = value.astype(np.float64)
    if value.dtype == np.float32:  # the shortest text that reads back as the same number
        wide = np.array([float(str(v)) for v in value.ravel()]).reshape(value.shape)
    found = wide.astype(object)
    found[np.isnan(wide)] = None
    return found.tolist()
