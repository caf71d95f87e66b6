"""How a graph takes and gives rows, found by running it: declared shapes are not reliable."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import onnx
import onnx.numpy_helper

from quintet.columns import Array
from quintet.contract import Contract
from quintet.errors import ModelFailure
from quintet.onnx_model import OnnxModel
from quintet_publish.init.graph import Source, Tensor
from quintet_publish.init.guess import Guess
from quintet_publish.problems import PackageError

__all__ = ["SINGLES", "Layout", "Row", "Unfit", "find_layout", "probe", "run_alone"]

#: an input's values in one row, without a dimension for the rows, by the input's name
Row = Mapping[str, Array]

#: how far a row's outputs may differ among others and alone, relative to max(1, |value|): float
#: noise is far below, another computation far above
NEAR = 1e-2
ROWS = 3
SINGLES = 8  # rows that are run one by one
#: names that exporters give the dimension of the rows
_ROWS = re.compile(r"batch|batch_?size|rows?|n|bs|none|unk__\d+", re.IGNORECASE)
_NOTHING = Contract(name="probe", version=1, task="", features=(), inputs=(), outputs=())


@dataclass(frozen=True, slots=True)
class Layout:
    """A graph, how many rows it takes in a run, and the dimension of the rows in each tensor.

    `outputs` has the shape of each output's row; `guesses` say what was changed and why.
    """

    model: onnx.ModelProto
    rows: Literal["many", "one"]
    axes: dict[str, int]
    outputs: dict[str, Array]
    guesses: tuple[Guess, ...] = ()


def probe(model: onnx.ModelProto) -> OnnxModel:
    """A session that is fed and read as the graph is, without a contract.

    Raises:
        ModelFailure: onnxruntime does not load it.
    """
    return OnnxModel(_NOTHING, model.SerializeToString())


def find_layout(source: Source, rows: Sequence[Row], constants: Row) -> Layout:
    """Run the rows together and alone, as the graph is and with a variable number of rows.

    Raises:
        PackageError: no way gives outputs that belong to the rows.
    """
    errors: list[str] = []
    fixed = [tensor for tensor in source.inputs if _fixed(tensor, rows)]
    axes = _axes(source.inputs, rows)
    names = [output.name for output in source.outputs]
    for model, guesses in _models(source, fixed, axes):
        try:
            found = _many(probe(model), names, axes, rows, constants)
        except Unfit as error:
            errors.append(str(error))
        except ModelFailure as error:
            errors.append(_short(error))
        else:
            return replace(found, model=model, guesses=guesses)
    try:
        found = _one(probe(source.model), names, source.inputs, rows[0], constants)
    except Unfit as error:
        errors.append(str(error))
    except ModelFailure as error:
        errors.append(_short(error))
    else:
        reason = f"rows do not run together ({errors[0]})" if errors else "it takes one row"
        return replace(found, model=source.model, guesses=(Guess.of(("rows",), "one", reason),))
    raise PackageError.of(
        "model.onnx",
        f"does not run on the sample: {errors[-1]}; together: {errors[0]}. Compare the sample's "
        "columns with the graph's inputs "
        f"({', '.join(f'{t.name} {t.dtype} {_shown(t)}' for t in source.inputs)}), or export it "
        "with a variable number of rows",
    )


class Unfit(Exception):
    """The graph does not take or give rows in this way; the text says why."""


def _short(error: Exception) -> str:
    return " ".join(str(error.__cause__ or error).split())[:240]


def _shown(tensor: Tensor) -> str:
    return "of any shape" if tensor.dims is None else str([*tensor.dims]).replace("'", "")


# ---- which graphs and which dimensions to try ----------------------------------------------------


def _fixed(tensor: Tensor, rows: Sequence[Row]) -> bool:
    """Whether an input declares a number of rows, or none at all."""
    if tensor.dims is None or tensor.name not in rows[0]:
        return False
    rank = rows[0][tensor.name].ndim
    return len(tensor.dims) == rank or (bool(tensor.dims) and isinstance(tensor.dims[0], int))


def _axes(inputs: Sequence[Tensor], rows: Sequence[Row]) -> dict[str, int]:
    """The dimension of the rows in each input: the first, or the one that is named so."""
    found = {tensor.name: 0 for tensor in inputs if tensor.name in rows[0]}
    for tensor in inputs:
        named = [
            at
            for at, dim in enumerate(tensor.dims or ())
            if isinstance(dim, str) and _ROWS.fullmatch(dim)
        ]
        if len(named) == 1 and tensor.name in found:
            found[tensor.name] = named[0]
    return found


def _models(
    source: Source, fixed: Sequence[Tensor], axes: Mapping[str, int]
) -> Iterator[tuple[onnx.ModelProto, tuple[Guess, ...]]]:
    """The graph as it is, or with variable rows in place of fixed ones."""
    if not any(axes[tensor.name] == 0 for tensor in fixed):
        yield source.model, ()
        return
    for reshaped in (False, True):
        model = onnx.ModelProto()
        model.CopyFrom(source.model)
        changed = _freed(model, {tensor.name for tensor in fixed}, reshaped=reshaped)
        reason = "the graph was exported for a fixed number; rows give the same outputs together"
        guess = Guess("graph", "made to take any number of rows", reason)
        if changed or not reshaped:
            yield model, (guess,)


def _freed(model: onnx.ModelProto, names: set[str], *, reshaped: bool) -> bool:
    """Make the first dimension of inputs and outputs variable; and where a Reshape writes it."""
    graph = model.graph
    size = 1
    for info in (*graph.input, *graph.output):
        dims = info.type.tensor_type.shape.dim
        if dims and (info.name in names or info in graph.output):
            size = dims[0].dim_value if info.name in names else size
            dims[0].dim_param = "rows"
    if not reshaped:
        return False
    shapes = {node.input[1] for node in graph.node if node.op_type == "Reshape"}
    tensors = [tensor for tensor in graph.initializer if tensor.name in shapes]
    for node in graph.node:
        if node.op_type == "Constant" and node.output[0] in shapes:
            tensors += [attribute.t for attribute in node.attribute if attribute.name == "value"]
    changed = False
    for tensor in tensors:
        target = onnx.numpy_helper.to_array(tensor).copy()
        if target.ndim == 1 and target.size > 1 and target[0] == size:
            # 0 keeps what comes in, -1 is computed
            target[0] = 0 if -1 in target else -1
            tensor.CopyFrom(onnx.numpy_helper.from_array(target, tensor.name))
            changed = True
    return changed


# ---- running -------------------------------------------------------------------------------------


def _many(
    session: OnnxModel,
    names: Sequence[str],
    axes: Mapping[str, int],
    rows: Sequence[Row],
    constants: Row,
) -> Layout:
    """Rows run together and alone give the same outputs."""
    chosen = [*itertools.islice(itertools.cycle(_one_shape(rows)), ROWS)]
    together = _run(session, names, _stacked(chosen, axes), constants)
    alone = [_run(session, names, _stacked([row], axes), constants) for row in chosen]
    found, shapes = dict(axes), {}
    sizes = {
        tuple(np.shape(_run(session, names, _stacked([row], axes), constants)[n]) for n in names)
        for row in _one_shape(rows, SINGLES)
    }
    if len(sizes) > 1:
        raise Unfit("the shape of an output depends on a row's values")
    for name in names:
        axis = found[name] = _rows_axis(name, together[name].shape, alone[0][name].shape)
        for at, outputs in enumerate(alone):
            among = np.asarray(np.take(together[name], at, axis))
            single = np.asarray(np.take(outputs[name], 0, axis))
            if not _near(among, single):
                raise Unfit(f"the output {name} of a row depends on the rows beside it")
        shapes[name] = np.asarray(np.take(alone[0][name], 0, axis))
    return Layout(onnx.ModelProto(), "many", found, shapes)


def _one_shape(rows: Sequence[Row], most: int = ROWS) -> list[Row]:
    """The first rows that have the shapes of the first."""
    shapes = {name: value.shape for name, value in rows[0].items()}
    alike = (r for r in rows if {name: value.shape for name, value in r.items()} == shapes)
    return [*itertools.islice(alike, most)]


def _rows_axis(name: str, together: tuple[int, ...], alone: tuple[int, ...]) -> int:
    differing = [at for at, (n, one) in enumerate(zip(together, alone, strict=False)) if n != one]
    if len(together) != len(alone) or len(differing) != 1:
        raise Unfit(
            f"the output {name} has no dimension for the rows: {list(together)} of {ROWS}, "
            f"{list(alone)} of one"
        )
    axis = differing[0]
    if (together[axis], alone[axis]) != (ROWS, 1):
        raise Unfit(f"the output {name} has {together[axis]} values of {ROWS} rows")
    return axis


def run_alone(layout: Layout, rows: Sequence[Row], constants: Row) -> list[dict[str, Array]]:
    """The outputs of rows in a run of each, with the dimensions that the graph gives.

    Raises:
        Unfit: the graph does not run with it.
        ModelFailure: it does not load.
    """
    ranks = {i.name: len(i.type.tensor_type.shape.dim) for i in layout.model.graph.input}
    session, names = probe(layout.model), [*layout.outputs]
    feeds = [
        {
            name: value
            if layout.rows == "one" and ranks[name] == value.ndim
            else np.expand_dims(value, layout.axes[name])
            for name, value in row.items()
        }
        for row in rows
    ]
    return [_run(session, names, feed, constants) for feed in feeds]


def _one(
    session: OnnxModel,
    names: Sequence[str],
    inputs: Sequence[Tensor],
    row: Row,
    constants: Row,
) -> Layout:
    """A row runs alone, with a dimension of 1 for it or without."""
    ranks = {tensor.name: len(tensor.dims) for tensor in inputs if tensor.dims is not None}
    feeds = {
        name: value if ranks.get(name) == value.ndim else value[np.newaxis]
        for name, value in row.items()
    }
    outputs = _run(session, names, feeds, constants)
    axes = dict.fromkeys((*row, *names), 0)
    bare = any(feeds[name].ndim == row[name].ndim for name in row)
    shapes = {}
    for name, value in outputs.items():
        rowed = value.ndim > 0 and value.shape[0] == 1 and not (bare and value.ndim == 1)
        shapes[name] = np.asarray(value[0] if rowed else value)
    return Layout(onnx.ModelProto(), "one", axes, shapes)


def _stacked(rows: Sequence[Row], axes: Mapping[str, int]) -> dict[str, Array]:
    return {name: np.stack([row[name] for row in rows], axes[name]) for name in rows[0]}


def _run(
    session: OnnxModel, names: Sequence[str], feeds: Mapping[str, Array], constants: Row
) -> dict[str, Array]:
    try:
        values: list[Any] = session.run(list(names), {**feeds, **constants})
    except Exception as error:  # onnxruntime's errors have no base class of their own
        raise Unfit(" ".join(str(error).split())[:240]) from error
    return {name: np.asarray(value) for name, value in zip(names, values, strict=True)}


def _near(one: Array, other: Array) -> bool:
    if one.shape != other.shape:
        return False
    if one.dtype.kind != "f":
        return bool(np.array_equal(one, other))
    scale = np.maximum(1.0, np.abs(other.astype(np.float64)))
    apart = np.abs(one.astype(np.float64) - other.astype(np.float64))
    same = (apart <= NEAR * scale) | (one == other) | (np.isnan(one) & np.isnan(other))
    return bool(same.all())
