"""The training kit for a package's `train.py`: tables, a clean graph, golden vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from arro3.core import Array, DataType, Table, fixed_size_list_array, list_array
from arro3.io import read_parquet, write_parquet
from numpy.typing import NDArray

from quintet.columns import cell_value, ragged
from quintet.contract import Contract, Feature
from quintet.onnx_model import OnnxModel
from quintet_publish.golden_files import JSON, text_of
from quintet_publish.model_yaml import read_contract

__all__ = [
    "Columns",
    "clean",
    "contract_of",
    "cut_zipmaps",
    "drop_notes",
    "predict",
    "read_table",
    "save",
    "write",
    "write_table",
]

Columns = Mapping[str, NDArray[Any]]

#: the maximum difference of golden outputs: the tolerance of parity between paths
TOLERANCE = 1e-6
OPSET = 17  # of a graph that had none


def contract_of(package: Path) -> Contract:
    """Return the contract in a package's model.yaml."""
    return read_contract((package / "model.yaml").read_bytes())


def read_table(path: Path) -> dict[str, NDArray[Any]]:
    """Return the columns of a Parquet file by name; strings are object arrays of `str`.

    Lists, all of one length, become the rows of an array; lists of any length, an array in each row
    of an object array.
    """
    table = read_parquet(path).read_all()
    columns: dict[str, NDArray[Any]] = {}
    for name in table.column_names:
        column = table.column(name)
        if DataType.is_string(column.type):
            columns[name] = np.array(column.to_pylist(), dtype=object)
        elif DataType.is_fixed_size_list(column.type):
            assert column.type.value_type is not None
            kind = Array([], column.type.value_type).to_numpy().dtype
            columns[name] = np.array(column.to_pylist(), dtype=kind)
        elif DataType.is_list(column.type):
            assert column.type.value_type is not None
            kind = Array([], column.type.value_type).to_numpy().dtype
            columns[name] = ragged([np.array(row, dtype=kind) for row in column.to_pylist()])
        else:
            columns[name] = np.asarray(column.to_numpy())
    return columns


def write_table(path: Path, columns: Columns) -> None:
    """Write columns as Parquet (zstd).

    An array of several dimensions, or an array in each row, becomes one list per row.
    """
    arrays = [_column(values) for values in columns.values()]
    table = Table.from_arrays(arrays, names=list(columns))
    write_parquet(table, path, compression="zstd(12)", created_by="quintet")


def _column(values: NDArray[Any]) -> Array:
    if values.dtype == object and len(values) and isinstance(values[0], np.ndarray):
        offsets = np.cumsum([0, *map(len, values)]).astype(np.int32)
        return list_array(Array.from_numpy(offsets), Array.from_numpy(np.concatenate(values)))
    if values.dtype == object:
        return Array(values.tolist(), DataType.utf8())
    if values.ndim > 1:
        rows = values.reshape(len(values), -1)
        return fixed_size_list_array(Array.from_numpy(rows.reshape(-1)), rows.shape[1])
    # a data frame's column may be a strided view of a block
    return Array.from_numpy(np.ascontiguousarray(values))


def clean(model: onnx.ModelProto, contract: Contract) -> onnx.ModelProto:
    """Prepare a converter's graph for publishing, with the same bytes at every training.

    Sets the graph's name to the contract's (converters set a random one), puts outputs in
    the contract's order and shape (LightGBM's converter declares one label, whatever the
    rows), cuts ZipMap off them, removes what feeds none of them and what converters note of
    themselves, and normalises text in the `C` locale (slim images do not have the default one).
    """
    graph = model.graph
    cut_zipmaps(model)
    graph.name = contract.name
    drop_notes(model)
    imports = sorted(model.opset_import, key=lambda i: i.domain)  # converters keep them in a set
    del model.opset_import[:]
    model.opset_import.extend(imports)
    declared = {output.name: output for output in graph.output}
    del graph.output[:]
    for output in contract.outputs:
        info = declared[output.name]
        kind = info.type.tensor_type.elem_type or onnx.TensorProto.FLOAT  # a ZipMap had none
        if contract.rows == "one":  # it may have no dimension for the rows
            graph.output.append(info)
            continue
        shape: list[Any] = [
            f"{output.name}_{axis}" if size == -1 else size
            for axis, size in enumerate(output.row_shape)
        ]
        shape.insert(output.batch_axis, "rows")
        graph.output.append(onnx.helper.make_tensor_value_info(output.name, kind, shape))
    _prune(graph)
    for node in graph.node:
        if node.op_type == "StringNormalizer":
            kept = [a for a in node.attribute if a.name != "locale"]
            del node.attribute[:]
            node.attribute.extend([*kept, onnx.helper.make_attribute("locale", "C")])
    onnx.checker.check_model(model)
    return model


def cut_zipmaps(model: onnx.ModelProto) -> None:
    """Give a classifier's probabilities as the tensor that ZipMap makes a list of maps from."""
    for node in model.graph.node:
        if node.op_type == "ZipMap":
            node.op_type, node.domain = "Identity", ""
            del node.attribute[:]
            if all(opset.domain for opset in model.opset_import):  # only ai.onnx.ml's
                model.opset_import.append(onnx.helper.make_opsetid("", OPSET))


def drop_notes(model: onnx.ModelProto) -> bool:
    """Remove what an exporter noted in the graph; whether there was anything.

    Torch writes a stack trace at each node, with the paths of the machine that trained the model.
    """
    found = bool(model.doc_string)
    model.doc_string = ""
    for part in (model.graph, *model.functions):  # the model's own properties are its author's
        found = _drop_notes(part) or found
    return found


def _drop_notes(message: Any) -> bool:
    found = False
    for name in ("doc_string", "metadata_props"):
        if name in message.DESCRIPTOR.fields_by_name:
            found |= bool(getattr(message, name))
            message.ClearField(name)
    if message.DESCRIPTOR.name == "TensorProto":  # its values are not read, which would copy them
        return found
    for field, value in message.ListFields():
        if field.message_type is not None:
            parts = [value] if hasattr(value, "DESCRIPTOR") else value
            for part in parts:
                found = _drop_notes(part) or found
    return found


def _prune(graph: onnx.GraphProto) -> None:
    """Remove the nodes and initialisers that no output needs."""
    needed = {output.name for output in graph.output}
    kept = []
    for node in reversed(graph.node):  # a graph's nodes are sorted: consumers come later
        if needed & set(node.output):
            needed.update(node.input)
            kept.append(node)
    initialisers = [tensor for tensor in graph.initializer if tensor.name in needed]
    del graph.node[:]
    graph.node.extend(reversed(kept))
    del graph.initializer[:]
    graph.initializer.extend(initialisers)


def predict(
    model: onnx.ModelProto, contract: Contract, columns: Columns
) -> dict[str, NDArray[Any]]:
    """Return the outputs of a graph for columns of features, by output name; on one thread.

    A feature with free axes has an array or nested lists in each row, in any sequence; an output
    with free axes an array in each row, in an object array.
    """
    loaded = OnnxModel(contract, model.SerializeToString())
    if not contract.grouped:
        return _run(loaded, columns)
    rows = []
    for place in range(len(next(iter(columns.values())))):
        values = {f.name: _row(f, columns[f.name][place]) for f in contract.features}
        rows.append(_run(loaded, values))
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def _run(loaded: OnnxModel, columns: Columns) -> dict[str, NDArray[Any]]:
    """Run rows of one shape together."""
    feeds = {}
    for i in loaded.contract.inputs:
        kind = object if i.dtype == "string" else i.dtype
        values = np.stack([columns[name] for name in i.names], axis=1).astype(kind)
        shape = values.shape[2:] if -1 in i.row_shape else i.row_shape
        feeds[i.name] = values.reshape(len(values), *shape)
    free = {output.name: output.free for output in loaded.contract.outputs}
    outputs = zip(free, loaded.run(list(free), feeds), strict=True)
    return {name: ragged(list(values)) if free[name] else values for name, values in outputs}


def _row(feature: Feature, value: Any) -> NDArray[Any]:
    """Return one row of a feature as a column."""
    if feature.free and isinstance(value, np.ndarray):
        value = value.tolist()
    return np.asarray(cell_value(feature, value) if feature.free else value)[np.newaxis]


def save(
    out: Path,
    contract: Contract,
    model: onnx.ModelProto,
    *,
    golden: Columns,
    metrics: Mapping[str, float],
    entities: Sequence[str] | None = None,
) -> None:
    """Write model.onnx, golden.json (the graph's own outputs) and metrics.json, and print."""
    write(out, contract, model, golden=golden, entities=entities)
    (out / "metrics.json").write_text(text_of(metrics), encoding="utf-8")
    for name, value in metrics.items():
        print(f"{name:<28} {value:.10g}")
    print(f"{'model.onnx, bytes':<28} {(out / 'model.onnx').stat().st_size}")


def write(
    out: Path,
    contract: Contract,
    model: onnx.ModelProto,
    *,
    golden: Columns,
    entities: Sequence[str] | None = None,
) -> None:
    """Write model.onnx and golden.json, which has the graph's own outputs."""
    outputs = predict(model, contract, golden)
    columns = {feature.name: _plain(golden[feature.name]) for feature in contract.features}
    vectors: dict[str, Any] = {"columns": columns}
    if entities is not None:
        vectors["entities"] = list(entities)
    vectors["outputs"] = {name: _plain(values) for name, values in outputs.items()}
    vectors["tolerance"] = TOLERANCE
    out.mkdir(parents=True, exist_ok=True)
    (out / "model.onnx").write_bytes(model.SerializeToString(deterministic=True))
    (out / JSON).write_text(text_of(vectors), encoding="utf-8")


def _plain(values: NDArray[Any] | list[Any]) -> Any:
    """Return an array as lists; NaN as None, floats in the shortest form that reads back alike."""
    if isinstance(values, list):  # rows of different shapes
        return values
    if values.ndim > 1 or any(isinstance(value, np.ndarray) for value in values):
        return [_plain(row) for row in values]
    if values.dtype.kind == "f":
        return [None if np.isnan(value) else float(str(value)) for value in values]
    return values.tolist()
