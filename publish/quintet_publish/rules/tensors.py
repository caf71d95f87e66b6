"""The rules of a graph's inputs and outputs. Pure."""

from __future__ import annotations

from quintet.columns import numpy_dtype
from quintet.contract import Contract, Input, Output
from quintet_publish.rules.terms import Found, dimensions, tensor_name

__all__ = ["check_constant", "check_input", "check_output"]

#: a larger constant belongs in the graph
MAX_CONSTANT = 1000


def check_input(contract: Contract, graph_input: Input) -> Found:
    """List where an input disagrees with the features that feed it, and what was expected."""
    yield from _tensor(graph_input)
    names = graph_input.names
    alike = [f.name for f in contract.features if f.key == graph_input.name]
    if alike and names != (*alike,):
        yield (
            ("name",),
            f"is also the name of a feature that does not feed it alone: a tensor "
            f"{graph_input.name} would be one or the other; rename the feature",
        )
    if len(names) == 1:
        yield from _fed_by_one(contract, graph_input, names[0])
        return
    expected = (len(names), -1) if graph_input.batch_axis == 1 else (-1, len(names))
    if graph_input.shape != expected:
        yield ("shape",), f"expected {list(expected)} for {len(names)} features"
    for position, name in enumerate(names):
        feature = contract.by_name.get(name)
        if feature is None:
            yield ("features", position), f"expected a feature of the contract, got {name!r}"
        elif feature.shape:
            yield (
                ("features", position),
                f"expected a single value, {name} is a vector; a vector feeds an input alone",
            )
        elif feature.dtype != graph_input.dtype:
            yield (
                ("features", position),
                f"expected {graph_input.dtype}, as the input is; {name} is {feature.dtype}",
            )
        if name in names[:position]:
            yield ("features", position), f"{name} is listed twice"


def _fed_by_one(contract: Contract, graph_input: Input, name: str) -> Found:
    feature = contract.by_name.get(name)
    if feature is None:
        if graph_input.features is None:
            yield ("features",), f"is required, since no feature is called {name}"
        else:
            yield ("features", 0), f"expected a feature of the contract, got {name!r}"
        return
    if feature.dtype != graph_input.dtype:
        yield ("dtype",), f"expected {feature.dtype}, as the feature {feature.name} is"
    allowed = [feature.shape] if feature.shape else [(), (1,)]
    if graph_input.row_shape not in allowed:
        axis = graph_input.batch_axis
        shapes = " or ".join(str([*s[:axis], -1, *s[axis:]]) for s in allowed)
        yield ("shape",), f"expected {shapes}, as the feature {feature.name} is"


def check_constant(contract: Contract, name: str) -> Found:
    """List where a constant disagrees with the contract, and what was expected."""
    value = contract.constants[name]
    yield from tensor_name((), name)
    if any(graph_input.name == name for graph_input in contract.inputs):
        yield (), "is also in `inputs`; a constant feeds its input alone"
    if isinstance(value, list) and not 1 <= len(value) <= MAX_CONSTANT:
        yield (), f"expected from 1 to {MAX_CONSTANT} values, got {len(value)}"


def check_output(output: Output) -> Found:
    """List where an output disagrees with its meaning, and what was expected."""
    yield from _tensor(output)
    kind = numpy_dtype(output.dtype).kind
    if output.meaning == "label" and kind not in "iuOb":
        yield ("dtype",), "expected an integer, a string or a bool for a label"
    if output.meaning in ("score", "probabilities", "embedding") and kind != "f":
        yield ("dtype",), f"expected a float for {output.meaning}"
    if not output.finite and kind != "f":
        yield ("finite",), f"false is for floats; {output.name} is {output.dtype}"
    if output.free:
        if output.meaning == "probabilities":
            yield ("meaning",), f"expected value or another for the shape {list(output.shape)}"
        if output.classes is not None:
            yield ("classes",), f"expected none for the shape {list(output.shape)}"
        return
    if output.meaning in ("probabilities", "embedding") and len(output.row_shape) != 1:
        yield ("shape",), f"expected [-1, n] for {output.meaning}"
    names = output.class_names
    if names is None:
        return
    if len(set(names)) != len(names) or not names:
        yield ("classes",), "expected different names, at least one"
    if output.meaning == "probabilities" and output.row_shape != (len(names),):
        yield ("classes",), f"expected as many as the columns of {list(output.shape)}"
    if output.meaning == "label" and kind in "iu" and len(output.class_of) != len(names):
        yield ("classes",), f"expected labels of {output.dtype}, got {', '.join(output.labels)}"


def _tensor(tensor: Input | Output) -> Found:
    yield from tensor_name(("name",), tensor.name)
    axis, shape = tensor.batch_axis, list(tensor.shape)
    if not 0 <= axis < max(1, len(shape)):
        yield ("batch_axis",), f"expected the position of a dimension of {shape}, got {axis}"
    elif shape[axis : axis + 1] != [-1]:
        place = f"at position {axis}" if axis else "first"
        yield ("shape",), f"expected -1, the rows, {place}, got {shape}"
    elif isinstance(tensor, Output):
        yield from dimensions(tensor.row_shape, tensor.max)
