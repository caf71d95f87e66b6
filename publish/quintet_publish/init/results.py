"""The outputs of a contract, by what the graph gives for the rows of a draft."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from quintet.columns import Array, numpy_dtype
from quintet.onnx_model import OnnxModel
from quintet.serving.golden import score_columns
from quintet_publish import kit
from quintet_publish.init.draft import Draft, golden_rows, head, scored
from quintet_publish.init.guess import Guess
from quintet_publish.init.layout import Layout, probe
from quintet_publish.init.outputs import output_guesses
from quintet_publish.noise import dependence
from quintet_publish.problems import PackageError

__all__ = ["take_outputs"]


def take_outputs(draft: Draft, layout: Layout) -> None:
    """Run the rows by the contract, and guess from what comes out; cleans the draft's graph.

    Raises:
        PackageError: every row is refused.
        ModelFailure: the graph failed.
    """
    contract = draft.contract
    contract["outputs"] = [
        {
            "name": name,
            "dtype": "string" if value.dtype.kind in "OU" else str(value.dtype),
            "shape": _with_rows([*value.shape], layout.axes[name]),
            "meaning": "value",
            **({"batch_axis": layout.axes[name]} if layout.axes[name] else {}),
            **({"finite": False} if value.dtype.kind == "f" else {}),
        }
        for name, value in layout.outputs.items()
    ]
    _free_outputs(draft, layout)
    found = _values(draft)
    parsed = draft.validated()
    for output in contract["outputs"]:
        output.pop("finite", None)
    for output in parsed.outputs:
        draft.take([*output_guesses(draft.model.graph, output, found[output.name])])
    meanings = {output["meaning"] for output in contract["outputs"]}
    task = "classification" if meanings & {"label", "probabilities"} else "regression"
    draft.take([Guess.of(("task",), task, "by the meaning of the outputs")])


def _with_rows(shape: list[int], axis: int) -> list[int]:
    return [*shape[:axis], -1, *shape[axis:]]


def _free_outputs(draft: Draft, layout: Layout) -> None:
    """Find the dimensions of outputs that follow those of rows of different shapes."""
    contract = draft.contract
    if not any(-1 in feature.get("shape", ()) for feature in contract["features"]):
        draft.model = _cleaned(draft)
        return
    session = probe(layout.model)
    names = [output["name"] for output in contract["outputs"]]
    axes = {i["name"]: i.get("batch_axis", 0) for i in contract["inputs"]}
    by_name = {feature["name"]: feature for feature in contract["features"]}
    shapes: dict[str, list[tuple[int, ...]]] = {name: [] for name in names}
    for is_largest in (False, True):
        feeds = {}
        for tensor in contract["inputs"]:
            feature = by_name[tensor["features"][0]]
            values = draft.columns[feature["name"]]
            value = np.array(values[0], numpy_dtype(tensor["dtype"]))
            if is_largest and -1 in feature.get("shape", ()):
                most = feature["max"] if isinstance(feature["max"], list) else [feature["max"]]
                bounds = iter(most)
                value = np.resize(value, [next(bounds) if n == -1 else n for n in feature["shape"]])
            row = value if value.ndim else value.reshape(1)
            feeds[tensor["name"]] = np.expand_dims(row, axes[tensor["name"]])
        constants = _arrays_of(contract, layout)
        for name, value in zip(names, session.run(names, {**feeds, **constants}), strict=True):
            shapes[name].append(np.take(value, 0, layout.axes[name]).shape)
    for output in contract["outputs"]:
        short, long = shapes[output["name"]]
        free = [at for at, (n, most) in enumerate(zip(short, long, strict=True)) if n != most]
        sizes = [-1 if at in free else n for at, n in enumerate(short)]
        output["shape"] = _with_rows(sizes, layout.axes[output["name"]])
        if free:
            largest = [long[at] for at in free]
            output["max"] = largest[0] if len(largest) == 1 else largest
    draft.model = _cleaned(draft)


def _arrays_of(contract: dict[str, Any], layout: Layout) -> dict[str, Array]:
    kinds = {info.name: info.type.tensor_type.elem_type for info in layout.model.graph.input}
    return {
        name: np.array(value, onnx.helper.tensor_dtype_to_np_dtype(kinds[name]))
        for name, value in contract.get("constants", {}).items()
    }


def _cleaned(draft: Draft) -> onnx.ModelProto:
    return kit.clean(draft.model, draft.validated())


def _values(draft: Draft) -> dict[str, list[Array]]:
    """The outputs of the draft's rows; the number of rows becomes one where they depend."""
    contract = draft.validated()
    graph = draft.model.SerializeToString()
    model = OnnxModel(contract, graph)
    if contract.rows == "many":
        first = scored(model, head(draft.columns, golden_rows(contract)))
        found = dependence(model, first) if first.rows else None
        if found is not None:
            reason = f"row {found.row} of the sample gives another {found.output} among others"
            draft.take([Guess.of(("rows",), "one", reason)])
            model = OnnxModel(draft.validated(), graph)
    scores = score_columns(model, draft.columns)
    if not len(scores.index):
        refusal = scores.refusals[0]
        text = f"{refusal.field}: expected {refusal.expected}, got {refusal.got}"
        raise PackageError.of("sample", f"every row is refused: {text}")
    return {name: [np.asarray(row) for row in values] for name, values in scores.outputs.items()}
