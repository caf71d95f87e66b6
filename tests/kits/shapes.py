"""Small graphs whose tensors are not one fixed row after another, and their contracts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from quintet.contract import Contract, Feature, Input, Output

__all__ = ["STATE", "Shaped", "graph_of"]

_TYPES = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64}


def graph_of(
    nodes: Sequence[Any],
    inputs: Mapping[str, tuple[str, Sequence[Any]]],
    outputs: Mapping[str, tuple[str, Sequence[Any]]],
    values: Mapping[str, Any] | None = None,
) -> bytes:
    """A graph of these nodes; tensors are (dtype, shape) by name, `values` its initialisers."""
    taken, given = (
        [helper.make_tensor_value_info(n, _TYPES[dtype], shape) for n, (dtype, shape) in some]
        for some in (inputs.items(), outputs.items())
    )
    kept = [numpy_helper.from_array(np.asarray(v), name) for name, v in (values or {}).items()]
    made = helper.make_model(
        helper.make_graph(list(nodes), "graph", taken, given, kept),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=9,
    )
    content: bytes = made.SerializeToString()
    return content


@dataclass(frozen=True)
class Shaped:
    """A model, some rows (values by feature), and the graph's feeds for one of them."""

    contract: Contract
    graph: bytes
    rows: Sequence[Mapping[str, Any]]


def _recurrent() -> Shaped:
    """One step of a recurrent model: the states of two layers, rows on their second axis."""
    nodes = [
        helper.make_node("Div", ["rate", "thousand"], ["factor"]),
        helper.make_node("Mul", ["x", "factor"], ["y"]),
        helper.make_node("ReduceSum", ["x", "last"], ["sums"], keepdims=1),
        helper.make_node("Add", ["state", "sums"], ["state_out"]),
    ]
    graph = graph_of(
        nodes,
        {
            "x": ("float32", ["rows", 2]),
            "state": ("float32", [2, "rows", 3]),
            "rate": ("float32", []),
        },
        {"y": ("float32", ["rows", 2]), "state_out": ("float32", [2, "rows", 3])},
        {"thousand": np.float32(1000), "last": np.array([-1])},
    )
    contract = Contract(
        name="recurrent",
        version=1,
        task="speech",
        features=(
            Feature(name="x", dtype="float32", shape=(2,)),
            Feature(name="state", dtype="float32", shape=(2, 3)),
        ),
        inputs=(
            Input(name="x", dtype="float32", shape=(-1, 2)),
            Input(name="state", dtype="float32", shape=(2, -1, 3), batch_axis=1),
        ),
        outputs=(
            Output(name="y", dtype="float32", shape=(-1, 2), meaning="value"),
            Output(
                name="state_out", dtype="float32", shape=(2, -1, 3), batch_axis=1, meaning="value"
            ),
        ),
        constants={"rate": 16000},
    )
    rows = [
        {"x": [float(row), 0.5], "state": [[row, 1.0, 2.0], [3.0, 4.0, float(row)]]}
        for row in range(4)
    ]
    return Shaped(contract, graph, rows)


STATE = _recurrent()
