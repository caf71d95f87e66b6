"""The outputs of a contract, by what the graph gives for the rows of a draft."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx

from quintet.columns import Array
from quintet.onnx_model import OnnxModel
from quintet.serving.golden import score_columns
from quintet_publish import kit
from quintet_publish.init.draft import Draft, golden_rows, head, scored
from quintet_publish.init.guess import Guess
from quintet_publish.init.layout import SINGLES, Layout, Row, run_alone
from quintet_publish.init.outputs import output_guesses
from quintet_publish.noise import dependence
from quintet_publish.problems import PackageError

__all__ = ["take_outputs"]

SLACK = 2  # how many times the largest output of the sample one may be


def take_outputs(draft: Draft, layout: Layout, rows: Sequence[Row], constants: Row) -> None:
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
    _free_outputs(draft, layout, rows, constants)
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


def _free_outputs(draft: Draft, layout: Layout, rows: Sequence[Row], constants: Row) -> None:
    """Find the dimensions of outputs that follow the shapes of rows, or their values."""
    alone = run_alone(layout, [*rows[:SINGLES], *_largest(draft, rows[0])], constants)
    for output in draft.contract["outputs"]:
        name = output["name"]
        found = [_row_shape(layout, name, outputs[name]) for outputs in alone]
        sizes = [sorted(set(axis)) for axis in zip(*found, strict=True)]
        free = [at for at, seen in enumerate(sizes) if len(seen) > 1]
        shape = [-1 if at in free else seen[0] for at, seen in enumerate(sizes)]
        output["shape"] = _with_rows(shape, layout.axes[name])
        if free:
            # the last run had the largest row that is allowed; values may make it larger
            bound = 1 if found[-1] == tuple(seen[-1] for seen in sizes) else SLACK
            largest = [max(1, bound * sizes[at][-1]) for at in free]
            output["max"] = largest[0] if len(largest) == 1 else largest
    draft.model = _cleaned(draft)


def _largest(draft: Draft, row: Row) -> list[Row]:
    """A row with every free axis as long as the contract allows, if there is one."""
    features = {feature["name"]: feature for feature in draft.contract["features"]}
    found = dict(row)
    for tensor in draft.contract["inputs"]:
        feature = features[tensor["features"][0]]
        if -1 in feature.get("shape", ()):
            most = feature["max"] if isinstance(feature["max"], list) else [feature["max"]]
            bounds = iter(most)
            shape = [next(bounds) if size == -1 else size for size in feature["shape"]]
            found[tensor["name"]] = np.resize(row[tensor["name"]], shape)
    return [found] if any(found[name] is not row[name] for name in row) else []


def _row_shape(layout: Layout, name: str, value: Array) -> tuple[int, ...]:
    """The shape of an output in one row, without a dimension for the rows."""
    if value.ndim == layout.outputs[name].ndim:
        return value.shape
    return np.shape(np.take(value, 0, layout.axes[name]))


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
