"""Refuses unsafe graphs by their protobuf, before any session is created. Pure.

Bombs that only running shows (Loop, Expand, ConstantOfShape...) are for `load_check`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from quintet_publish.problems import PackageError, first_problems
from quintet_publish.wire import count_parts

__all__ = ["CAPS", "Caps", "read_graph"]

DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
# com.microsoft's operators that read a file or a library beside the graph
REFUSED_OPERATORS = frozenset({"EPContext", "PyOp", "Snpe"})
#: locales that every system has
LOCALES = (b"C", b"POSIX")
TENSOR = onnx.TensorProto


@dataclass(frozen=True, slots=True)
class Caps:
    """The limits of a graph's size."""

    bytes: int = 200_000_000
    nodes: int = 200_000
    tensors: int = 100_000
    elements: int = 2**28  # of one tensor
    dims: int = 64  # of one tensor; also numpy's maximum
    depth: int = 16  # nested graphs
    parts: int = 5_000_000  # messages, texts and byte strings, at every level


CAPS = Caps()


def read_graph(content: bytes, caps: Caps = CAPS, file: str = "model.onnx") -> onnx.ModelProto:
    """Return the parsed graph, if nothing in it is refused.

    Raises:
        PackageError: it is not ONNX, or holds refused content; every reason is named.
    """
    if len(content) > caps.bytes:
        text = f"expected at most {caps.bytes:,} bytes, got {len(content):,}"
        raise PackageError.of(file, text)
    # a message takes a hundred bytes once parsed, and two in the file
    if count_parts(content, onnx.ModelProto.DESCRIPTOR, caps.parts) > caps.parts:
        raise PackageError.of(file, f"expected at most {caps.parts:,} parts, got more")
    try:
        model = onnx.load_model_from_string(content)
    except DecodeError as error:
        raise PackageError.of(file, "is not an ONNX graph") from error
    if not model.graph.node or not model.opset_import:
        raise PackageError.of(file, "is not an ONNX graph: it has no nodes or no opset")
    if found := first_problems(file, _refused(model, caps)):
        raise PackageError(found)
    return model


def _refused(model: onnx.ModelProto, caps: Caps) -> Iterator[str]:
    for opset in model.opset_import:
        if opset.domain not in DOMAINS:
            yield (
                f"expected only standard operators, got the domain {opset.domain[:80]!r}; remove "
                "it from the graph's opset_import if no operator uses it"
            )
    own = {(function.domain, function.name) for function in model.functions}
    for function in model.functions:
        yield from _not_text(function.domain, function.name)
        if function.domain in DOMAINS:
            domain = function.domain or "ai.onnx"
            yield f"the function {function.name[:80]!r} takes the place of one of {domain}"
    if model.training_info:
        yield "holds training information; export the graph for inference"
    count = _Count(caps)
    yield from count.graph(model.graph, own, 1)
    for function in model.functions:
        for opset in function.opset_import:
            if opset.domain not in DOMAINS and opset.domain not in {d for d, _ in own}:
                yield f"expected only standard operators, got the domain {opset.domain[:80]!r}"
        yield from _not_text(*function.input, *function.output, *function.attribute)
        for info in function.value_info:
            yield from count.declared(info)
        for attribute in function.attribute_proto:  # the defaults of its attributes
            yield from count.attribute(attribute, own, 1)
        yield from count.nodes(function.node, own, 1)
    yield from count.over()


class _Count:
    """Walks nested graphs and counts everything that has a cap."""

    def __init__(self, caps: Caps) -> None:
        self._caps = caps
        self._nodes = 0
        self._tensors = 0

    def over(self) -> Iterator[str]:
        """Report the caps that the totals exceed."""
        if self._nodes > self._caps.nodes:
            yield f"expected at most {self._caps.nodes:,} nodes, got {self._nodes:,}"
        if self._tensors > self._caps.tensors:
            yield f"expected at most {self._caps.tensors:,} tensors, got {self._tensors:,}"

    def graph(self, graph: onnx.GraphProto, own: set[tuple[str, str]], depth: int) -> Iterator[str]:
        if depth > self._caps.depth:
            yield f"expected graphs nested at most {self._caps.depth} deep"
            return
        yield from self.tensors(graph.initializer)
        for sparse in graph.sparse_initializer:
            yield from self.sparse(sparse)
        for info in (*graph.input, *graph.output, *graph.value_info):
            yield from self.declared(info)
        yield from self.nodes(graph.node, own, depth)

    def nodes(
        self, nodes: Iterable[onnx.NodeProto], own: set[tuple[str, str]], depth: int
    ) -> Iterator[str]:
        for node in nodes:
            self._nodes += 1
            yield from _not_text(node.domain, node.op_type, node.name, *node.input, *node.output)
            if node.domain not in DOMAINS and (node.domain, node.op_type) not in own:
                yield f"expected only standard operators, got {node.domain}.{node.op_type}"[:160]
            if node.op_type in REFUSED_OPERATORS:
                yield f"the operator {node.op_type} reads files, and is refused"
            if node.op_type == "StringNormalizer":
                yield from _locale(node)
            for attribute in node.attribute:
                yield from self.attribute(attribute, own, depth)

    def attribute(
        self, attribute: onnx.AttributeProto, own: set[tuple[str, str]], depth: int
    ) -> Iterator[str]:
        """Return what is refused in an attribute: its tensors and graphs."""
        yield from _not_text(attribute.name)
        if attribute.HasField("t"):
            yield from self.tensors([attribute.t])
        yield from self.tensors(attribute.tensors)
        if attribute.HasField("sparse_tensor"):
            yield from self.sparse(attribute.sparse_tensor)
        for sparse in attribute.sparse_tensors:
            yield from self.sparse(sparse)
        if attribute.HasField("g"):
            yield from self.graph(attribute.g, own, depth + 1)
        for graph in attribute.graphs:
            yield from self.graph(graph, own, depth + 1)

    def sparse(self, tensor: onnx.SparseTensorProto) -> Iterator[str]:
        yield from self.tensors([tensor.values, tensor.indices])
        yield from self._shape(tensor.values.name, tensor.dims)

    def tensors(self, tensors: Iterable[onnx.TensorProto]) -> Iterator[str]:
        for tensor in tensors:
            self._tensors += 1
            yield from _not_text(tensor.name)
            if tensor.data_location == TENSOR.EXTERNAL or tensor.external_data:
                yield (
                    f"the tensor {tensor.name[:80]!r} is in another file; save the graph with "
                    "its weights inside (torch: `torch.onnx.export(..., external_data=False)`; "
                    "onnx: `onnx.save(onnx.load(path), path)`)"
                )
            yield from self._shape(tensor.name, tensor.dims)
            yield from _wrong_size(tensor)

    def _shape(self, name: str, dims: Sequence[int]) -> Iterator[str]:
        if len(dims) > self._caps.dims:
            yield (
                f"expected at most {self._caps.dims} dimensions a tensor, "
                f"{name[:80]!r} has {len(dims):,}"
            )
        elif any(size < 0 for size in dims):
            yield f"the tensor {name[:80]!r} has a negative dimension"
        elif math.prod(dims) > self._caps.elements:
            yield (
                f"expected at most {self._caps.elements:,} elements a tensor, "
                f"{name[:80]!r} has {math.prod(dims):,}"
            )

    def declared(self, info: onnx.ValueInfoProto) -> Iterator[str]:
        """Return what is refused in a declared input, output or value."""
        yield from _not_text(info.name)
        sizes = [dim.dim_value for dim in info.type.tensor_type.shape.dim if dim.dim_value > 0]
        yield from self._shape(info.name, sizes)


def _locale(node: onnx.NodeProto) -> Iterator[str]:
    """Report a locale that Lambda's image does not have, if the node's work needs one.

    Python 3.12's and newer images have no language packs; without the attribute, it is en_US.
    """
    given = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    changes = given.get("case_change_action", b"NONE") != b"NONE"
    blind = not given.get("is_case_sensitive", 0) and given.get("stopwords")
    found = given.get("locale", b"en_US")
    if (changes or blind) and found not in LOCALES:
        yield (
            f"StringNormalizer needs the locale {found[:40].decode(errors='replace')}, which "
            "Lambda's image does not have; set its attribute `locale` to C or POSIX, which change "
            "the case of ASCII letters alone (`quintet_publish.kit.clean` sets C)"
        )


def _not_text(*names: str | bytes) -> Iterator[str]:
    """Report names that are not UTF-8: protobuf returns these as bytes."""
    for name in names:
        if isinstance(name, bytes):
            yield f"expected UTF-8, got the name {name[:80]!r}"


def _wrong_size(tensor: onnx.TensorProto) -> Iterator[str]:
    """Report raw bytes whose size does not match the shape."""
    if not tensor.HasField("raw_data") or tensor.data_type in (TENSOR.UNDEFINED, TENSOR.STRING):
        return
    try:
        width = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    except (KeyError, TypeError):
        yield f"the tensor {tensor.name[:80]!r} is of an unknown type"
        return
    packed = tensor.data_type in _PACKED or len(tensor.dims) > CAPS.dims
    expected = 0 if packed else math.prod(tensor.dims) * width
    if not packed and expected != len(tensor.raw_data):
        yield (
            f"the tensor {tensor.name[:80]!r} has {len(tensor.raw_data):,} bytes, "
            f"its shape says {expected:,}"
        )


#: types smaller than a byte, several elements of which share one
_PACKED = frozenset(
    getattr(TENSOR, name)
    for name in ("INT4", "UINT4", "FLOAT4E2M1", "INT2", "UINT2")
    if hasattr(TENSOR, name)
)
