"""Reads a graph as its exporter left it, and mends what no package may have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx.external_data_helper import (
    load_external_data_for_model,
    uses_external_data,
)

from quintet_publish.graph_checks import dtype_name
from quintet_publish.init.guess import Guess
from quintet_publish.kit import cut_zipmaps, drop_notes
from quintet_publish.problems import PackageError
from quintet_publish.safety import CAPS, DOMAINS, read_graph

__all__ = ["Source", "Tensor", "read_source"]

FLOAT = onnx.TensorProto.FLOAT


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output as the graph declares it, which is not always what it takes or gives.

    A dimension is a size, a name, or None without either; `dims` is None without a rank.
    """

    name: str
    dtype: str
    dims: tuple[int | str | None, ...] | None


@dataclass(frozen=True, slots=True)
class Source:
    """A graph that may be published, its tensors, and what was done to it."""

    model: onnx.ModelProto
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    guesses: tuple[Guess, ...]


def read_source(path: Path) -> Source:
    """Read a graph with its external data; cut ZipMap off, remove what is not used in it.

    Raises:
        PackageError: it is not ONNX, or holds what no package may have.
        FileNotFoundError: there is no such file.
    """
    if path.stat().st_size > CAPS.bytes:
        text = f"expected at most {CAPS.bytes:,} bytes, got {path.stat().st_size:,}"
        raise PackageError.of(path.name, f"{text}; export it with float16 or int8 weights")
    try:
        model = onnx.load_model(path, load_external_data=False)
    except DecodeError as error:
        raise PackageError.of(path.name, "is not an ONNX graph") from error
    guesses = [*_folded(model, path), *_mended(model)]
    read_graph(model.SerializeToString(), file=path.name)
    initialised = {tensor.name for tensor in model.graph.initializer}
    inputs = [info for info in model.graph.input if info.name not in initialised]
    outputs = [o for o in model.graph.output if o.type.WhichOneof("value") == "tensor_type"]
    for info in inputs:
        if info.type.WhichOneof("value") != "tensor_type":
            text = f"the input {info.name} is no tensor; export the graph with tensors alone"
            raise PackageError.of(path.name, text)
    for output in model.graph.output:
        if output not in outputs:
            reason = "is a sequence or a map, which is not served"
            guesses.append(Guess(f"output {output.name}", "left out", reason))
    if not outputs:
        raise PackageError.of(path.name, "expected an output that is a tensor")
    return Source(
        model,
        tuple(_tensor(path.name, info) for info in inputs),
        tuple(_tensor(path.name, info, output=True) for info in outputs),
        tuple(guesses),
    )


def _folded(model: onnx.ModelProto, path: Path) -> Iterator[Guess]:
    """Read the tensors that are in other files into the graph."""
    outside = [t for t in model.graph.initializer if uses_external_data(t)]
    if not outside:
        return
    entries = [{e.key: e.value for e in tensor.external_data} for tensor in outside]
    size = sum(int(entry.get("length", 0)) for entry in entries)
    if size > CAPS.bytes:
        text = f"expected at most {CAPS.bytes:,} bytes with its external data, got {size:,}"
        raise PackageError.of(path.name, f"{text}; export it with float16 or int8 weights")
    files = sorted({entry.get("location", "") for entry in entries})
    try:
        load_external_data_for_model(model, str(path.parent))
    except Exception as error:  # onnx's errors for files have no base class of their own
        text = f"its weights are in {', '.join(files)}, which cannot be read beside it"
        raise PackageError.of(path.name, f"{text}; copy it to {path.parent}") from error
    reason = f"its weights were in {', '.join(files)}; a package has one file"
    yield Guess("graph", "external data folded in", reason)


def _mended(model: onnx.ModelProto) -> Iterator[Guess]:
    zipped = {name for node in model.graph.node if node.op_type == "ZipMap" for name in node.output}
    if zipped:
        cut_zipmaps(model)
        for output in model.graph.output:
            if output.name in zipped:
                output.type.Clear()
                output.type.tensor_type.elem_type = FLOAT
        reason = "it makes a list of maps, which is slow and no tensor"
        yield Guess("graph", f"ZipMap taken off {', '.join(sorted(zipped))}", reason)
    changed = [node for node in model.graph.node if _locale_set(node)]
    if changed:
        reason = "Lambda's image has no other locale; it changes the case of ASCII letters alone"
        yield Guess("graph", "text is normalised in the locale C", reason)
    if model.training_info:
        del model.training_info[:]
        yield Guess("graph", "training information removed", "serving does not use it")
    if drop_notes(model):
        reason = "a package does not need them, and they may name files of the machine that made it"
        yield Guess("graph", "the exporter's notes removed", reason)
    used = {node.domain for node in model.graph.node}
    odd = [o for o in model.opset_import if o.domain not in DOMAINS and o.domain not in used]
    for opset in odd:
        model.opset_import.remove(opset)
    del model.graph.value_info[:]  # what the exporter expected inside; onnxruntime infers it


def _locale_set(node: onnx.NodeProto) -> bool:
    if node.op_type != "StringNormalizer":
        return False
    kept = [a for a in node.attribute if a.name != "locale"]
    found = any(a.name == "locale" and a.s == b"C" for a in node.attribute)
    del node.attribute[:]
    node.attribute.extend([*kept, onnx.helper.make_attribute("locale", "C")])
    return not found


def _tensor(file: str, info: onnx.ValueInfoProto, *, output: bool = False) -> Tensor:
    tensor = info.type.tensor_type
    dtype = dtype_name(tensor.elem_type)
    if dtype == "bfloat16" and output:
        dtype = "float32"  # it is widened
    if dtype is None or dtype == "bfloat16":
        kind = onnx.TensorProto.DataType.Name(tensor.elem_type).lower()
        text = f"{info.name} is {kind}, which is not served; begin the graph in a Cast of float32"
        raise PackageError.of(file, text)
    dims = tuple(
        dim.dim_value if dim.HasField("dim_value") else dim.dim_param or None
        for dim in tensor.shape.dim
    )
    return Tensor(info.name, dtype, dims if tensor.HasField("shape") else None)
