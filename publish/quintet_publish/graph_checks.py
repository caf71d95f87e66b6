"""Compares a contract with its graph and names every difference. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import onnx

from quintet.contract import Contract, Input, Output
from quintet_publish.class_checks import class_differences
from quintet_publish.problems import PackageError, Problem
from quintet_publish.rules.terms import is_of

__all__ = ["check_graph", "dtype_name"]

BFLOAT16 = onnx.TensorProto.BFLOAT16
_NAMES: dict[int, str] = {
    onnx.TensorProto.BOOL: "bool",
    onnx.TensorProto.INT8: "int8",
    onnx.TensorProto.INT16: "int16",
    onnx.TensorProto.INT32: "int32",
    onnx.TensorProto.INT64: "int64",
    onnx.TensorProto.UINT8: "uint8",
    onnx.TensorProto.UINT16: "uint16",
    onnx.TensorProto.UINT32: "uint32",
    onnx.TensorProto.UINT64: "uint64",
    onnx.TensorProto.FLOAT16: "float16",
    onnx.TensorProto.FLOAT: "float32",
    onnx.TensorProto.DOUBLE: "float64",
    onnx.TensorProto.STRING: "string",
}


def check_graph(contract: Contract, model: onnx.ModelProto) -> None:
    """Compare the tensors of the contract with the graph's.

    Raises:
        PackageError: they differ.
    """
    if found := list(_differences(contract, model.graph)):
        raise PackageError([Problem("model.yaml", text, field=field) for field, text in found])


def _differences(contract: Contract, graph: onnx.GraphProto) -> Iterator[tuple[str, str]]:
    initialised = {tensor.name for tensor in graph.initializer}
    inputs = {i.name: i for i in graph.input if i.name not in initialised}
    outputs = {o.name: o for o in graph.output}
    for graph_input in contract.inputs:
        if graph_input.name in inputs:
            yield from _tensor(contract, graph_input, inputs[graph_input.name])
        else:
            yield f"inputs.{graph_input.name}", f"the graph's inputs are {_list(inputs)}"
    for name, value in contract.constants.items():
        if name in inputs:
            yield from _constant(f"constants.{name}", value, inputs[name])
        else:
            yield f"constants.{name}", f"the graph's inputs are {_list(inputs)}"
    named = {graph_input.name for graph_input in contract.inputs} | contract.constants.keys()
    for name in sorted(inputs.keys() - named):
        yield (
            "inputs",
            f"the graph's input {name} is not in the contract; an input whose value is the same "
            f"for every row is a constant: `constants: {{{name}: 16000}}`",
        )
    texts = any(graph_input.dtype == "string" for graph_input in contract.inputs)
    for output in contract.outputs:
        if output.name in outputs:
            yield from _tensor(contract, output, outputs[output.name])
            if texts and outputs[output.name].type.tensor_type.elem_type == BFLOAT16:
                yield (
                    f"outputs.{output.name}.dtype",
                    "the graph's is bfloat16, which onnxruntime does not return beside string "
                    "inputs; end the graph in a Cast to float32",
                )
        else:
            yield f"outputs.{output.name}", f"the graph's outputs are {_list(outputs)}"
    yield from class_differences(contract, graph)


def _tensor(
    contract: Contract, ours: Input | Output, theirs: onnx.ValueInfoProto
) -> Iterator[tuple[str, str]]:
    fed = isinstance(ours, Input)
    field = f"{'inputs' if fed else 'outputs'}.{ours.name}"
    if theirs.type.WhichOneof("value") != "tensor_type":
        yield (
            field,
            "the graph has no tensor there, but a sequence or a map. For a classifier's ZipMap, "
            "export with the option zipmap=False, or let `quintet_publish.kit.clean` cut it (from "
            "CatBoost, which has no such option); an output that clients do not need may be left "
            "out of the contract",
        )
        return
    tensor = theirs.type.tensor_type
    dtype = _dtype(tensor.elem_type)
    if not fed and dtype == "bfloat16":
        dtype = "float32"  # it is widened
    if dtype != ours.dtype:
        yield f"{field}.dtype", f"is {ours.dtype}, the graph's is {dtype}"
    one = contract.rows == "one"
    if not tensor.HasField("shape"):
        if one and fed:  # it does not show whether it takes a dimension for the row
            yield f"{field}.shape", "expected a graph that declares its dimensions, for `rows: one`"
        return
    shape = [dim.dim_value if dim.HasField("dim_value") else -1 for dim in tensor.shape.dim]
    declared = f"the graph's is {list(shape)}"
    if one and not fed and len(shape) < len(ours.shape):
        return  # without a dimension for the row, or of another rank: the golden run shows it
    if one and len(shape) == len(ours.row_shape):
        rows = -1  # one row, without a dimension of its own
    elif len(shape) == len(ours.shape):
        rows = shape.pop(ours.batch_axis)
    elif not fed:  # its rank is not reliable either: CatBoost declares [-1] for [-1, 1]
        return
    else:
        hint = "; a graph without a dimension for the rows takes `rows: one`"
        bare = len(shape) == len(ours.row_shape)
        yield f"{field}.shape", f"is {list(ours.shape)}, {declared}{hint if bare else ''}"
        return
    if fed and rows >= 0 and not (one and rows == 1):
        yield f"{field}.shape", _fixed_rows(ours.batch_axis, rows, shape)
    # an output's declared rows are not reliable: LightGBM's converter declares 1 for a label
    # whatever the batch. The golden run checks it.
    elif any(mine not in (-1, have) for mine, have in zip(shape, ours.row_shape, strict=True)):
        yield f"{field}.shape", f"is {list(ours.shape)}, {declared}"


def _fixed_rows(axis: int, rows: int, others: Sequence[int]) -> str:
    """Say what to do about an input whose rows are fixed; `others` are its other dimensions."""
    ways = [f"export it with a dynamic batch (torch: `dynamic_shapes=({{{axis}: 'rows'}},)`)"]
    free = [at + (at >= axis) for at, size in enumerate(others) if size < 0]
    if len(free) == 1:
        ways.append(f"set `batch_axis: {free[0]}` if its variable dimension {free[0]} is the rows")
    if rows == 1:
        ways.append("set `rows: one`, which runs each row alone")
    what = f"expected a graph of variable rows, its dimension {axis} is {rows}"
    return f"{what}; {', or '.join(ways)}"


def _constant(field: str, value: Any, theirs: onnx.ValueInfoProto) -> Iterator[tuple[str, str]]:
    """Compare a constant with its input: the values must have its dtype, and fill its shape."""
    tensor = theirs.type.tensor_type
    dtype = _NAMES.get(tensor.elem_type)
    values = value if isinstance(value, list) else [value]
    if dtype is None:
        yield field, f"the graph's input is {_dtype(tensor.elem_type)}, which no contract has"
    elif not all(is_of(dtype, item) for item in values):
        yield field, f"expected {dtype}, as the graph's input is, got {value!r:.60}"
    sizes = [dim.dim_value if dim.HasField("dim_value") else -1 for dim in tensor.shape.dim]
    count = math.prod(sizes)
    if -1 in sizes and len(sizes) > 1:
        yield field, f"expected an input of a fixed shape, the graph's is {sizes}"
    elif -1 in sizes and not isinstance(value, list):
        yield field, f"expected a list, as the graph's input has the shape {sizes}"
    elif -1 not in sizes and len(values) != count:
        text = f"{count} values" if count != 1 else "one value"
        yield field, f"expected {text} for the graph's shape {sizes}, got {len(values)}"


def dtype_name(kind: int) -> str | None:
    """The contract's name of a tensor's type, or bfloat16; None for one that no contract has."""
    return "bfloat16" if kind == BFLOAT16 else _NAMES.get(kind)


def _dtype(kind: int) -> str:
    """A dtype of the graph, also one that no contract has, such as bfloat16."""
    try:
        return _NAMES.get(kind) or onnx.TensorProto.DataType.Name(kind).lower()
    except ValueError:
        return f"the unknown type {kind}"


def _list(names: Sequence[str] | dict[str, onnx.ValueInfoProto]) -> str:
    return ", ".join(names)
