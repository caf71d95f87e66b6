"""One package for each published defect of onnx and onnxruntime that loading a model can meet.

Not here is what loads nothing: CVE-2024-5187 and CVE-2024-7776 are of downloads of test data,
CVE-2026-28500 is of onnx.hub.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from tests.kits.packages import graph, model_of, parsed

__all__ = ["KNOWN"]

ELSEWHERE = "is in another file"


def outside(location: str, **more: str) -> Callable[[random.Random, Path], None]:
    """Return a function that moves a graph's weights to another file."""

    def spoil(draw: random.Random, folder: Path) -> None:
        model = parsed(graph())
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in {"location": location, **more}.items():
            tensor.external_data.add(key=key, value=value)
        (folder / "model.onnx").write_bytes(model.SerializeToString())

    return spoil


def linked(
    link: Callable[[Path, Path], None],
) -> Callable[[random.Random, Path], None]:
    """Return a function that moves a graph's weights to a link to the secret."""

    def spoil(draw: random.Random, folder: Path) -> None:
        outside("weights.bin")(draw, folder)
        link(folder.parent / "secret.txt", folder / "weights.bin")

    return spoil


def long_names(draw: random.Random, folder: Path) -> None:
    """Names as long as the buffer of a message, in a graph that is refused."""
    model = parsed(graph())
    name = "n" * draw.randint(2_040, 2_050)
    model.graph.node[0].input[0] = name
    model.graph.node[0].name = name
    (folder / "model.onnx").write_bytes(model.SerializeToString())


def wide_kernels(draw: random.Random, folder: Path) -> None:
    """Conv with weights of more dimensions than its input has."""
    weights = np.ones((1, 1, *[1] * draw.randint(3, 60)), np.float32)
    content = model_of(
        [
            helper.make_node("Reshape", ["x", "shape"], ["picture"]),
            helper.make_node("Conv", ["picture", "kernel"], ["filtered"]),
            helper.make_node("Reshape", ["filtered", "rows"], ["pairs"]),
            helper.make_node("ReduceSum", ["pairs", "axis"], ["y"], keepdims=1),
        ],
        [
            numpy_helper.from_array(weights, "kernel"),
            helper.make_tensor("shape", TensorProto.INT64, [4], [-1, 1, 1, 2]),
            helper.make_tensor("rows", TensorProto.INT64, [2], [-1, 2]),
            helper.make_tensor("axis", TensorProto.INT64, [1], [1]),
        ],
        opsets=[helper.make_opsetid("", draw.choice([10, 13, 18, 20]))],
    )
    (folder / "model.onnx").write_bytes(content)


def columns_before_the_first(draw: random.Random, folder: Path) -> None:
    """ArrayFeatureExtractor with an index below zero."""
    index = draw.choice([-1, -10, -(2**40)])
    content = model_of(
        [
            helper.make_node("ArrayFeatureExtractor", ["x", "index"], ["y"], domain="ai.onnx.ml"),
        ],
        [helper.make_tensor("index", TensorProto.INT64, [1], [index])],
        opsets=[helper.make_opsetid("", 20), helper.make_opsetid("ai.onnx.ml", 3)],
    )
    (folder / "model.onnx").write_bytes(content)


def missing_support_vectors(draw: random.Random, folder: Path) -> None:
    """SVMRegressor with fewer support vectors than it says."""
    node = helper.make_node(
        "SVMRegressor",
        ["x"],
        ["y"],
        domain="ai.onnx.ml",
        coefficients=[1.0],
        support_vectors=[1.0, 2.0],
        kernel_type="LINEAR",
        n_supports=draw.choice([1_000_000, 2**40]),
        rho=[0.0],
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("ai.onnx.ml", 3)]
    (folder / "model.onnx").write_bytes(model_of([node], opsets=opsets))


def symbolic(secret: Path, place: Path) -> None:
    place.symlink_to(secret)


#: defect: its function, and what its refusal says
KNOWN: dict[str, tuple[Any, str]] = {
    "CVE-2022-25882": (outside("../secret.txt"), ELSEWHERE),
    "CVE-2024-27318": (outside("a/../../secret.txt"), ELSEWHERE),
    "CVE-2024-27319": (long_names, r"model\.onnx"),
    "CVE-2025-51480": (outside("../secret.txt", offset="0", length="8"), ELSEWHERE),
    "CVE-2026-27489": (linked(symbolic), "is a symbolic link"),
    "CVE-2026-34445": (outside("w", __class__="x", length=str(2**60), offset="-1"), ELSEWHERE),
    "CVE-2026-34446": (linked(os.link), ELSEWHERE),
    "onnxruntime #27265": (columns_before_the_first, r"model\.onnx|golden\.json"),
    "onnxruntime #27950": (missing_support_vectors, r"model\.onnx|golden\.json"),
    "onnxruntime #28731": (wide_kernels, r"model\.onnx|golden\.json"),
}
