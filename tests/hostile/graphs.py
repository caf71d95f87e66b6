"""Kinds of hostile graphs; each function spoils the model.onnx of a valid package."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tests.kits.packages import graph, model_of, parsed

__all__ = ["GRAPHS", "changing", "tail"]

LOCATIONS = ("weights.bin", "../secret.txt", "/etc/passwd", "a/../../secret.txt", "model.onnx", "")
info = helper.make_tensor_value_info


def changing(change: Callable[[random.Random, onnx.ModelProto], None]) -> Any:
    """Return a function that changes the parsed graph of a package."""

    def spoil(draw: random.Random, folder: Path) -> None:
        model = parsed(graph())
        change(draw, model)
        (folder / "model.onnx").write_bytes(model.SerializeToString())

    return spoil


def replacing(made: Callable[[random.Random], bytes]) -> Any:
    """Return a function that replaces the graph of a package by other bytes."""

    def spoil(draw: random.Random, folder: Path) -> None:
        (folder / "model.onnx").write_bytes(made(draw))

    return spoil


def tail(number: int, content: bytes) -> bytes:
    """A protobuf field of bytes, which a parser merges with those before it."""
    size, out = len(content), bytes([number << 3 | 2])
    while size > 0x7F:
        out += bytes([size & 0x7F | 0x80])
        size >>= 7
    return out + bytes([size]) + content


# ---- what the protobuf shows -----------------------------------------------------------------


def external_data(draw: random.Random, model: onnx.ModelProto) -> None:
    """A tensor in another file: of the graph, of a node, of a branch, of a function."""
    tensor = numpy_helper.from_array(np.ones(2, np.float32), "outside")
    tensor.ClearField("raw_data")
    if draw.random() < 0.8:
        tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=draw.choice(LOCATIONS))
    constant = helper.make_node("Constant", [], ["c"], value=tensor)
    match draw.randrange(4):
        case 0:
            model.graph.initializer.append(tensor)
        case 1:
            model.graph.node.append(constant)
        case 2:
            branch = helper.make_graph([constant], "branch", [], [])
            model.graph.node.append(helper.make_node("If", ["w"], ["z"], then_branch=branch))
        case _:
            opsets = [helper.make_opsetid("", 20)]
            model.functions.append(helper.make_function("own", "f", [], ["c"], [constant], opsets))


def custom_operators(draw: random.Random, model: onnx.ModelProto) -> None:
    domain = draw.choice(
        ["evil.ops", "ai.onnx.contrib", "../evil", "com.microsoft.nchwc", "e" * 99]
    )
    if draw.random() < 0.5:
        model.opset_import.add(domain=domain, version=draw.randint(1, 9))
    model.graph.node[0].domain = domain


def giant_shapes(draw: random.Random, model: onnx.ModelProto) -> None:
    """Inputs, outputs or values that are declared to be giant."""
    size = 2 ** draw.randint(29, 62)
    where = draw.choice([model.graph.input, model.graph.output, model.graph.value_info])
    shape = [size] * draw.randint(1, 40)
    where.append(info("giant", TensorProto.FLOAT, shape))


def giant_initialisers(draw: random.Random, model: onnx.ModelProto) -> None:
    """Weights that are declared to be giant, with few bytes or none."""
    tensor = model.graph.initializer[0]
    tensor.dims[:] = draw.choice([[2**27], [2**20, 2**20], [2**62], [2**32, 2**32], [-1, 2**40]])
    if draw.random() < 0.5:
        tensor.ClearField("raw_data")


def many_nodes(draw: random.Random) -> bytes:
    """A small graph and after it hundreds of thousands of nodes, or millions of empty ones."""
    node = helper.make_node("Identity", ["x"], ["z"]).SerializeToString()
    many = [tail(1, node) * draw.randint(200_001, 300_000), b"\x0a\x00" * 6_000_000]
    return graph() + tail(7, draw.choice(many))


def deep_branches(draw: random.Random) -> bytes:
    """Graphs in graphs, a few more than are allowed or more than a parser follows."""
    inner = helper.make_graph([helper.make_node("Identity", ["w"], ["z"])], "leaf", [], [])
    content = inner.SerializeToString()
    node = helper.make_node("If", ["w"], ["z"]).SerializeToString()
    for _ in range(draw.choice([16, 20, 25, 50, 1_000, 5_000])):
        branch = helper.make_attribute("then_branch", "").SerializeToString() + tail(6, content)
        content = tail(1, node + tail(5, branch))
    return graph() + tail(7, content)


def truncated(draw: random.Random) -> bytes:
    content = graph()
    return content[: draw.randrange(len(content))]


def spoilt_bytes(draw: random.Random) -> bytes:
    content = bytearray(graph())
    for _ in range(draw.randint(1, 8)):
        content[draw.randrange(len(content))] = draw.randrange(256)
    return bytes(content)


def huge_strings(draw: random.Random, model: onnx.ModelProto) -> None:
    """Names of megabytes: of an operator, of an input, of a tensor's use, of a domain."""
    text = draw.choice("aé/\n") * draw.randint(1_000_000, 5_000_000)
    match draw.randrange(4):
        case 0:
            model.graph.node[0].op_type = text
        case 1:
            model.graph.input[0].name = text
        case 2:
            model.graph.node[0].input[0] = text
        case _:
            model.graph.node[0].domain = text


# ---- what loading shows ----------------------------------------------------------------------


def cycles(draw: random.Random, model: onnx.ModelProto) -> None:
    """Nodes in a ring, the first of which the output needs."""
    length = draw.randint(1, 50)
    for at in range(length):
        needs = f"ring{(at + 1) % length}"
        model.graph.node.append(helper.make_node("Identity", [needs], [f"ring{at}"]))
    model.graph.node[0].input[0] = "ring0"


def functions_that_call_themselves(draw: random.Random, model: onnx.ModelProto) -> None:
    length = draw.randint(1, 5)
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("own", 1)]
    for at in range(length):
        call = helper.make_node(f"f{(at + 1) % length}", ["a"], ["b"], domain="own")
        made = helper.make_function("own", f"f{at}", ["a"], ["b"], [call], opsets)
        model.functions.append(made)
    model.graph.node.insert(0, helper.make_node("f0", ["x"], ["called"], domain="own"))
    model.graph.node[1].input[0] = "called"


def wrong_opsets(draw: random.Random, model: onnx.ModelProto) -> None:
    del model.opset_import[:]
    if version := draw.choice([None, -1, 99, 2**31, 2**62]):
        model.opset_import.add(domain="", version=version)


def wrong_ir(draw: random.Random, model: onnx.ModelProto) -> None:
    model.ir_version = draw.choice([99, 1_000, 2**31, 2**62])


def duplicate_names(draw: random.Random, model: onnx.ModelProto) -> None:
    """Two nodes that give the same value, or two inputs of one name."""
    if draw.random() < 0.5:
        again = draw.choice(["y", "x"])
        model.graph.node.append(helper.make_node("Identity", ["x"], [again]))
    else:
        model.graph.input.append(model.graph.input[0])


def nan_weights(draw: random.Random, model: onnx.ModelProto) -> None:
    odd = draw.choice([np.nan, np.inf, -np.inf, np.float32(3.4e38)])
    weights = np.array([[odd], [odd]], np.float32)
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights, "w"))


# ---- what only running shows -----------------------------------------------------------------


def growth(draw: random.Random) -> bytes:
    """A few bytes that become gigabytes or more: by Expand, or by ConstantOfShape."""
    size = draw.choice([10**8, 10**9, 2**40])
    axis = helper.make_tensor("axis", TensorProto.INT64, [1], [1])
    if draw.random() < 0.5:
        big = helper.make_node("Expand", ["x", "shape"], ["big"])
        shape = helper.make_tensor("shape", TensorProto.INT64, [3], [size, 3, 2])
    else:  # of a size that is known only when it runs, so that it is not folded at the load
        big = helper.make_node("ConstantOfShape", ["size"], ["big"])
        shape = helper.make_tensor("shape", TensorProto.INT64, [1], [size * 6])
    return model_of(
        [
            helper.make_node("ReduceMin", ["x"], ["least"], keepdims=0),
            helper.make_node("Mul", ["least", "zero"], ["nothing"]),
            helper.make_node("Cast", ["nothing"], ["none"], to=TensorProto.INT64),
            helper.make_node("Add", ["shape", "none"], ["size"]),
            big,
            helper.make_node("ReduceSum", ["big"], ["sum"], keepdims=0),
            helper.make_node("ReduceSum", ["x", "axis"], ["row"], keepdims=1),
            helper.make_node("Add", ["row", "sum"], ["y"]),
        ],
        [shape, axis, helper.make_tensor("zero", TensorProto.FLOAT, [], [0.0])],
    )


def endless(draw: random.Random) -> bytes:
    """A Loop of more rounds than anyone waits for."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node(draw.choice(["Identity", "Neg", "Abs"]), ["v"], ["v_out"]),
        ],
        "body",
        [
            info("i", TensorProto.INT64, []),
            info("go", TensorProto.BOOL, []),
            info("v", TensorProto.FLOAT, ["n", 2]),
        ],
        [info("go_on", TensorProto.BOOL, []), info("v_out", TensorProto.FLOAT, ["n", 2])],
    )
    rounds = 2 ** draw.randint(40, 62)
    return model_of(
        [
            helper.make_node("Loop", ["rounds", "true", "x"], ["looped"], body=body),
            helper.make_node("ReduceSum", ["looped", "axis"], ["y"], keepdims=1),
        ],
        [
            helper.make_tensor("rounds", TensorProto.INT64, [], [rounds]),
            helper.make_tensor("true", TensorProto.BOOL, [], [True]),
            helper.make_tensor("axis", TensorProto.INT64, [1], [1]),
        ],
    )


def wild_indices(draw: random.Random) -> bytes:
    """Rows that are gathered from far outside the tensor."""
    index = draw.choice([-(2**40), -10, 10**6, 2**62])
    return model_of(
        [
            helper.make_node("Gather", ["w", "index"], ["far"], axis=0),
            helper.make_node("MatMul", ["x", "w"], ["near"]),
            helper.make_node("Add", ["near", "far"], ["y"]),
        ],
        [
            parsed(graph()).graph.initializer[0],
            helper.make_tensor("index", TensorProto.INT64, [1], [index]),
        ],
    )


LOADING = r"model\.onnx: "
#: kind: its function, and what its refusal says; with "?" it may also be harmless
GRAPHS: dict[str, tuple[Any, str]] = {
    "external data": (changing(external_data), "is in another file"),
    "custom operators": (changing(custom_operators), "expected only standard operators"),
    "giant shapes": (changing(giant_shapes), "elements a tensor"),
    "giant initialisers": (changing(giant_initialisers), r"model\.onnx: .*(tensor|load)"),
    "many nodes": (replacing(many_nodes), r"expected at most [\d,]+ (nodes|parts)"),
    "deep branches": (replacing(deep_branches), "nested at most 16 deep|is not an ONNX graph"),
    "truncated": (replacing(truncated), "is not an ONNX graph"),
    "spoilt bytes": (replacing(spoilt_bytes), r"?model\.(onnx|yaml)|golden\.json"),
    "huge strings": (changing(huge_strings), r"model\.(onnx|yaml)"),
    "cycles": (changing(cycles), LOADING),
    "recursive functions": (changing(functions_that_call_themselves), LOADING),
    "wrong opset": (changing(wrong_opsets), LOADING),
    "wrong IR": (changing(wrong_ir), LOADING),
    "duplicate names": (changing(duplicate_names), r"model\.(onnx|yaml)"),
    "weights of NaN": (changing(nan_weights), r"golden\.json"),
    "growth": (replacing(growth), r"took over [\d.]+ GB of memory"),
    "endless loops": (replacing(endless), r"took over \d+ s"),
    "wild indices": (replacing(wild_indices), LOADING),
}
