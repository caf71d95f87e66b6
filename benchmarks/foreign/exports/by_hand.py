"""Graphs made with onnx's helper, for what the exporters here do not write by themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
from benchmarks.foreign.exports.case import Hints, save
from onnx import TensorProto, helper, numpy_helper

HAND = "onnx 1.23.2, by hand"


def graph(
    nodes: list[Any],
    inputs: dict[str, tuple[int, list[Any]]],
    outputs: dict[str, tuple[int, list[Any]]],
    opset: int = 17,
    domains: dict[str, int] | None = None,
    **weights: Any,
) -> bytes:
    """A model of such tensors: element type and shape by name."""
    info = helper.make_tensor_value_info
    made = helper.make_graph(
        nodes,
        "g",
        [info(name, *what) for name, what in inputs.items()],
        [info(name, *what) for name, what in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    opsets = [helper.make_opsetid("", opset)]
    opsets += [helper.make_opsetid(*domain) for domain in (domains or {}).items()]
    version = 10 if opset > 20 else 8
    content: bytes = helper.make_model(
        made, opset_imports=opsets, ir_version=version
    ).SerializeToString()
    return content


def main() -> None:
    """Write them."""
    rng = np.random.default_rng(0)
    f32, i64 = TensorProto.FLOAT, TensorProto.INT64
    w = rng.normal(size=(4, 3)).astype(np.float32)
    node = helper.make_node
    rows: list[dict[str, Any]] = [{"x": rng.normal(size=4).astype(np.float32)} for _ in range(4)]

    def renamed(name: str) -> list[dict[str, Any]]:
        return [{name: row["x"]} for row in rows]

    start, end = "serving_default_x:0", "StatefulPartitionedCall:0"
    save(
        "tf-names",
        f"{HAND} (as tf2onnx names tensors)",
        graph(
            [node("MatMul", [start, "w"], [end])],
            {start: (f32, [None, 4])},
            {end: (f32, [None, 3])},
            w=w,
        ),
        renamed(start),
    )
    save(
        "keras-path-names",
        f"{HAND} (as Keras names tensors)",
        graph(
            [node("MatMul", ["model/input", "w"], ["model/dense/BiasAdd"])],
            {"model/input": (f32, ["unk__1", 4])},
            {"model/dense/BiasAdd": (f32, ["unk__2", 3])},
            w=w,
        ),
        renamed("model/input"),
    )
    save(
        "opset22",
        HAND,
        graph(
            [node("Gemm", ["x", "w"], ["y"])],
            {"x": (f32, ["n", 4])},
            {"y": (f32, ["n", 3])},
            22,
            w=w,
        ),
        rows,
    )
    save(
        "no-dims",
        f"{HAND} (neither sizes nor names of dimensions)",
        graph(
            [node("MatMul", ["x", "w"], ["y"])],
            {"x": (f32, [None, None])},
            {"y": (f32, [None, None])},
            w=w,
        ),
        rows,
    )
    save(
        "constant-scalar",
        HAND,
        graph(
            [
                node("MatMul", ["x", "w"], ["z"]),
                node("Cast", ["rate"], ["r"], to=f32),
                node("Div", ["z", "r"], ["y"]),
            ],
            {"x": (f32, ["n", 4]), "rate": (i64, [])},
            {"y": (f32, ["n", 3])},
            w=w,
        ),
        rows,
        Hints(fields={"constants": {"rate": 16_000}}),
    )
    images = [{"image": rng.integers(0, 256, (8, 8, 3)).astype(np.uint8)} for _ in range(3)]
    save(
        "uint8-image",
        HAND,
        graph(
            [
                node("Cast", ["image"], ["f"], to=f32),
                node("ReduceMean", ["f"], ["y"], axes=[1, 2], keepdims=0),
            ],
            {"image": (TensorProto.UINT8, ["n", 8, 8, 3])},
            {"y": (f32, ["n", 3])},
            13,
        ),
        images,
    )
    boxes()
    save(
        "bfloat16",
        HAND,
        graph(
            [
                node("MatMul", ["x", "w"], ["z"]),
                node("Cast", ["z"], ["y"], to=TensorProto.BFLOAT16),
            ],
            {"x": (f32, ["n", 4])},
            {"y": (TensorProto.BFLOAT16, ["n", 3])},
            w=w,
        ),
        rows,
    )
    save(
        "custom-operator",
        f"{HAND} (an operator of another domain)",
        graph(
            [node("Mine", ["x"], ["y"], domain="ai.mine")],
            {"x": (f32, ["n", 4])},
            {"y": (f32, ["n", 4])},
            domains={"ai.mine": 1},
        ),
        rows,
        says="standard operators",
    )


def boxes() -> None:
    """A detector: the boxes of an image whose score is above 0.5, none for some images."""
    f32, node = TensorProto.FLOAT, helper.make_node
    made = graph(
        [
            node("Greater", ["scores", "half"], ["over"]),
            node("NonZero", ["over"], ["found"]),
            node("Transpose", ["found"], ["places"], perm=[1, 0]),
            node("GatherND", ["boxes", "places"], ["kept"]),
        ],
        {"boxes": (f32, ["candidates", 4]), "scores": (f32, ["candidates"])},
        {"kept": (f32, ["detections", 4])},
        half=np.array(0.5, np.float32),
    )
    rng = np.random.default_rng(2)
    rows = [
        {"boxes": rng.random((6, 4), np.float32), "scores": np.full(6, level, np.float32)}
        for level in (0.9, 0.1)
    ]
    rows.append(
        {
            "boxes": rng.random((6, 4), np.float32),
            "scores": np.array([0.9, 0, 0.7, 0, 0, 0.6], np.float32),
        }
    )
    most = {"boxes": [100], "scores": [100], "kept": [100]}
    axes: dict[str, int | None] = {"boxes": None, "scores": None, "kept": None}
    save(
        "detections",
        f"{HAND} (no axis of rows; no boxes for some rows)",
        made,
        rows,
        Hints(axes=axes, most=most, fields={"rows": "one"}),
    )


if __name__ == "__main__":
    main()
