"""Compares a contract's class names with the labels in the graph itself. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import onnx
import onnx.numpy_helper

from quintet.contract import Contract, Output

__all__ = ["class_differences", "label_differences"]

CLASSIFIERS = ("LinearClassifier", "SVMClassifier", "TreeEnsembleClassifier")
LABEL_LISTS = ("classlabels_int64s", "classlabels_ints", "classlabels_strings")
KEYS = ("keys_int64s", "keys_strings", "keys_tensor")
VALUES = ("values_int64s", "values_strings", "values_tensor")
INTEGERS = (onnx.TensorProto.INT32, onnx.TensorProto.INT64)
MAX_LABELS = 100_000
#: operators that keep every row and column in its position
KEEPING = (
    "Cast",
    "Flatten",
    "Identity",
    "Normalizer",
    "Reshape",
    "Softmax",
    "Squeeze",
    "Unsqueeze",
)
COMPARISONS = ("And", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Not", "Or")
MAX_STEPS = 50

#: a field of the contract, and what was expected there
Found = Iterator[tuple[str, str]]


def class_differences(contract: Contract, graph: onnx.GraphProto) -> Found:
    """List where `classes` disagree with the graph's labels or with each other."""
    labels = {output.name: graph_labels(graph, output.name) for output in contract.outputs}
    for output in contract.outputs:
        found = labels[output.name]
        if found is None or output.class_names is None:
            continue
        if output.meaning == "label" or output.row_shape == (len(found),):
            yield from _difference(output, tuple(map(str, found)))
    yield from _contradiction(contract, labels)


def _difference(output: Output, found: tuple[str, ...]) -> Found:
    """Return how an output's class names disagree with the graph's labels for it."""
    field, names = f"outputs.{output.name}.classes", output.class_names or ()
    positional = not isinstance(output.classes, dict)
    shown = ", ".join(found[:20])
    if len(names) != len(found):
        yield field, f"expected a name for each of the graph's labels, {shown}; got {len(names)}"
    elif not positional and set(output.labels) != set(found):
        yield field, f"expected names for the graph's labels {shown}"
    elif not positional and output.meaning == "probabilities" and output.labels != found:
        yield (
            field,
            f"the graph's columns are of the labels {shown}, not in ascending order; expected a "
            "list, in the order of the columns",
        )
    elif positional and output.meaning == "label" and output.dtype != "string":
        if output.labels != found:
            mapping = ", ".join(map("{}: {}".format, found, names))
            yield (
                field,
                f"a list names the labels 0 to {len(names) - 1}, the graph's are {shown}; expected "
                f"names by label, such as {{{mapping}}}",
            )
    elif positional:
        yield from _moved(field, names, found)


def _moved(field: str, names: Sequence[str], found: Sequence[str]) -> Found:
    """Return a name that is the graph's label of another column."""
    for position, name in enumerate(names):
        if name in found and found[position] != name:
            yield (
                field,
                f"column {position} is the graph's label {found[position]}, got the name {name}; "
                f"expected the graph's order: {', '.join(found[:20])}",
            )
            return


def _contradiction(contract: Contract, labels: dict[str, list[Any] | None]) -> Found:
    """Find the same names for labels and probabilities in different orders."""
    of = {o.meaning: o for o in contract.outputs if o.class_names}
    label, columns = of.get("label"), of.get("probabilities")
    if label is None or columns is None:
        return
    ours, theirs = label.class_names or (), columns.class_names or ()
    found = labels[label.name]
    if found is not None and set(map(str, found)) == set(label.labels):
        names = dict(zip(label.labels, ours, strict=True))
        ours = tuple(names[str(value)] for value in found)
    if set(ours) == set(theirs) and ours != theirs:
        yield (
            f"outputs.{columns.name}.classes",
            f"are {', '.join(theirs)}; those of {label.name}, in the order of its labels, "
            f"are {', '.join(ours)}",
        )


def label_differences(contract: Contract, outputs: dict[str, Any]) -> Found:
    """Return golden labels that no class of the contract covers."""
    for output in contract.outputs:
        known = set(output.class_of)
        if output.meaning == "label" and output.dtype == "string":
            known = set(output.class_names or ())
            known |= set(output.labels) if isinstance(output.classes, dict) else set()
        if output.meaning != "label" or not known:
            continue
        for row, value in enumerate(outputs[output.name]):
            label = value[0] if isinstance(value, list) and len(value) == 1 else value
            if isinstance(label, int | str) and label not in known:
                expected = ", ".join(map(str, sorted(known, key=str)[:20]))
                yield (
                    f"outputs.{output.name}",
                    f"row {row}: {label!r} has no name in `classes`, which name {expected}; "
                    "a mapping names any labels: {1: first, 2: second}",
                )
                return


# ---- the labels of a graph -----------------------------------------------------------------------


def graph_labels(graph: onnx.GraphProto, name: str) -> list[Any] | None:
    """Return an output's labels, or those of its columns, in order; None if unknown."""
    made = {out: (node, i) for node in graph.node for i, out in enumerate(node.output)}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    encoders: list[onnx.NodeProto] = []
    found: list[Any] | None = None
    for _ in range(MAX_STEPS):
        if name not in made:
            return None
        node, position = made[name]
        if node.op_type not in (*KEEPING, "LabelEncoder"):
            found = _given(node, position, made, constants)
            break
        if node.op_type == "LabelEncoder":
            encoders.append(node)
        name = node.input[0]
    for encoder in reversed(encoders):
        found = _encoded(encoder, found)
    return found


def _given(
    node: onnx.NodeProto,
    position: int,
    made: dict[str, tuple[onnx.NodeProto, int]],
    constants: dict[str, onnx.TensorProto],
) -> list[Any] | None:
    """Return the labels that a node gives its output."""
    if node.op_type in CLASSIFIERS and position < 2:
        return _listed(node, LABEL_LISTS) or None
    if node.op_type in ("ArrayFeatureExtractor", "Gather"):  # the label of the best column
        return _constant(node.input[0], made, constants)
    return [0, 1] if node.op_type in COMPARISONS else None


def _encoded(encoder: onnx.NodeProto, labels: list[Any] | None) -> list[Any] | None:
    """Return an encoder's output for the labels; for unknown labels, all that it can produce."""
    keys, values = _listed(encoder, KEYS), _listed(encoder, VALUES)
    if labels is None or len(keys) != len(values):
        return list(dict.fromkeys(values)) or None
    table = dict(zip(keys, values, strict=True))
    return [table[label] for label in labels] if table.keys() >= set(labels) else None


def _listed(node: onnx.NodeProto, names: Sequence[str]) -> list[Any]:
    """Return the first attribute that exists and is not empty, as Python values."""
    for attribute in node.attribute:
        if attribute.name in names:
            if attribute.HasField("t"):
                return _plain(attribute.t)
            if attribute.ints:
                return list(attribute.ints)
            if attribute.strings:
                return [text.decode("utf-8", "replace") for text in attribute.strings]
    return []


def _constant(
    name: str,
    made: dict[str, tuple[onnx.NodeProto, int]],
    constants: dict[str, onnx.TensorProto],
) -> list[Any] | None:
    """Return the values of an initialiser or a Constant if they can be labels."""
    if name in constants:
        return _plain(constants[name]) or None
    if name in made and made[name][0].op_type == "Constant":
        return _listed(made[name][0], ("value", "value_ints", "value_strings")) or None
    return None


def _plain(tensor: onnx.TensorProto) -> list[Any]:
    """Return the values of a vector of integers or texts; of any other tensor, nothing."""
    texts = tensor.data_type == onnx.TensorProto.STRING
    if (tensor.data_type not in INTEGERS and not texts) or math.prod(tensor.dims) > MAX_LABELS:
        return []
    if texts:
        return [text.decode("utf-8", "replace") for text in tensor.string_data]
    try:
        values: list[Any] = onnx.numpy_helper.to_array(tensor).reshape(-1).tolist()
    except ValueError:  # fewer values than its shape declares
        return []
    return values
