"""Small model packages for tests, made in a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from quintet.contract import Contract
from quintet.serving.golden import Golden
from quintet_publish.model_yaml import read_contract

MODEL_YAML = """\
name: {name}
version: {version}
task: regression
features:
  - {{name: a, dtype: float32, range: [0, 100]}}
  - {{name: b, dtype: float32, default: 1.0}}
inputs:
  - {{name: x, dtype: float32, shape: [-1, 2], features: [a, b]}}
outputs:
  - {{name: y, dtype: float32, shape: [-1, 1], meaning: score}}
"""

COLUMNS = {"a": [0.0, 1.0, 2.5], "b": [1.0, 2.0, 4.0]}


def graph(factor: float = 2.0, **changes: Any) -> bytes:
    """y = x @ [[factor], [1]], as ONNX; `changes` replace arguments of `model_of`."""
    weights = numpy_helper.from_array(np.array([[factor], [1.0]], np.float32), "w")
    arguments: dict[str, Any] = {
        "nodes": [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "initialisers": [weights],
    }
    return model_of(**{**arguments, **changes})


def model_of(
    nodes: list[Any],
    initialisers: Any = (),
    *,
    x: Any = None,
    y: Any = None,
    opsets: Any = None,
    functions: Any = (),
) -> bytes:
    """A graph from x (rows, 2) to y (rows, 1), float32 unless told otherwise."""
    made = helper.make_model(
        helper.make_graph(
            nodes,
            "graph",
            [x or helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 2])],
            [y or helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 1])],
            list(initialisers),
        ),
        opset_imports=opsets or [helper.make_opsetid("", 20)],
        functions=list(functions),
        ir_version=9,
    )
    content: bytes = made.SerializeToString()
    return content


def golden(factor: float = 2.0) -> dict[str, Any]:
    """The golden vectors of `graph`."""
    pairs = zip(COLUMNS["a"], COLUMNS["b"], strict=True)
    return {"columns": COLUMNS, "outputs": {"y": [[factor * a + b] for a, b in pairs]}}


def package(
    folder: Path, *, name: str = "small", version: int = 1, factor: float = 2.0, extra: str = ""
) -> Path:
    """A valid package; `extra` is appended to model.yaml."""
    folder.mkdir(parents=True, exist_ok=True)
    text = MODEL_YAML.format(name=name, version=version) + extra
    (folder / "model.yaml").write_text(text, encoding="utf-8")
    (folder / "model.onnx").write_bytes(graph(factor))
    (folder / "golden.json").write_text(json.dumps(golden(factor)), encoding="utf-8")
    return folder


def contract() -> Contract:
    """The contract of `package`."""
    return read_contract(MODEL_YAML.format(name="small", version=1).encode())


def vectors(factor: float = 2.0) -> Golden:
    """The golden vectors of `package`."""
    made = golden(factor)
    return Golden(made["columns"], made["outputs"])


def parsed(content: bytes) -> onnx.ModelProto:
    """A graph as protobuf."""
    return onnx.load_model_from_string(content)
