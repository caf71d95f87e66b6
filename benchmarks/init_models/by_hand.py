"""Graphs by onnx's helper, with the shapes and names that exporters give theirs."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from benchmarks.init_models.case import Case
from numpy.typing import NDArray
from onnx import TensorProto as T
from onnx import helper, numpy_helper
from onnx.external_data_helper import convert_model_to_external_data, write_external_data_tensors

__all__ = ["BY_HAND", "huge"]

ROWS = 24
HAND = "onnx.helper"
Tensors = Mapping[str, tuple[int, Sequence[Any]]]
node = helper.make_node


def _graph(
    nodes: Sequence[onnx.NodeProto],
    inputs: Tensors,
    outputs: Tensors,
    opset: int = 17,
    **weights: NDArray[Any],
) -> onnx.ModelProto:
    info = helper.make_tensor_value_info
    made = helper.make_graph(
        nodes,
        "g",
        [info(name, *what) for name, what in inputs.items()],
        [info(name, *what) for name, what in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    version = 4 if opset < 12 else 8 if opset < 21 else 10
    return helper.make_model(
        made, opset_imports=[helper.make_opsetid("", opset)], ir_version=version
    )


def _random() -> np.random.Generator:
    return np.random.default_rng(7)


def _numbers(*shape: int, dtype: Any = np.float32) -> NDArray[Any]:
    return _random().normal(size=shape).astype(dtype)


def _columns(values: NDArray[Any]) -> list[dict[str, Any]]:
    return [{f"c{at}": value for at, value in enumerate(row)} for row in values.tolist()]


def _case(name: str, model: onnx.ModelProto, records: Any, feeds: Any, **more: Any) -> Case:
    return Case(name, HAND, model.SerializeToString(), records, feeds, **more)


def _mlp(name: str, opset: int, dims: Sequence[Any], dtype: Any = np.float32) -> Case:
    """Two layers with a softmax."""
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    nodes = [
        node("MatMul", ["x", "w"], ["h"]),
        node("Add", ["h", "b"], ["a"]),
        node("Relu", ["a"], ["r"]),
        node("MatMul", ["r", "v"], ["s"]),
        node("Softmax", ["s"], ["y"], axis=1),
    ]
    random = _random()
    weights = {
        "w": random.normal(size=(6, 8)).astype(dtype),
        "b": random.normal(size=8).astype(dtype),
        "v": random.normal(size=(8, 3)).astype(dtype),
    }
    given, found = {"x": (kind, dims)}, {"y": (kind, [dims[0], 3])}
    model = _graph(nodes, given, found, opset, **weights)
    rows = random.normal(size=(ROWS, 6)).astype(dtype)
    return _case(name, model, _columns(rows), [{"x": row[None]} for row in rows])


def opset9() -> Case:
    """Initialisers are inputs too, as they were then."""
    case = _mlp("opset9", 9, ["N", 6])
    model = onnx.load_model_from_string(case.graph)
    for tensor in model.graph.initializer:
        info = helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        model.graph.input.append(info)
    model.ir_version = 3
    return _case("opset9", model, case.records, case.feeds)


def opset13() -> Case:
    return _mlp("opset13", 13, ["batch_size", 6])


def opset22() -> Case:
    return _mlp("opset22", 22, ["batch", 6])


def float64() -> Case:
    return _mlp("float64", 17, ["N", 6], np.float64)


def float16() -> Case:
    return _mlp("float16", 17, ["N", 6], np.float16)


def unnamed() -> Case:
    return _mlp("unnamed-dims", 17, [None, None])


def fixed_eight() -> Case:
    """Exported for eight rows."""
    case = _mlp("fixed-eight", 17, [8, 6])
    feeds = [{"x": np.repeat(feed["x"], 8, axis=0)} for feed in case.feeds]
    return _case("fixed-eight", onnx.load_model_from_string(case.graph), case.records, feeds)


def without_sample() -> Case:
    case = _mlp("no-sample", 17, ["N", 6])
    return Case("no-sample", HAND, case.graph, [], [])


def colons() -> Case:
    """Names as tf2onnx leaves them."""
    start, end = "serving_default_x:0", "StatefulPartitionedCall:0"
    weights: dict[str, Any] = {"layer/w:0": _numbers(4, 3)}
    nodes = [node("MatMul", [start, "layer/w:0"], [end])]
    model = _graph(nodes, {start: (T.FLOAT, [None, 4])}, {end: (T.FLOAT, [None, 3])}, **weights)
    rows = _numbers(ROWS, 4)
    return _case("colons", model, _columns(rows), [{start: row[None]} for row in rows])


def _cnn(name: str, batch: Any, target: Sequence[int], flat: bool) -> Case:
    """A convolution whose features a Reshape flattens, as torch's `view` does."""
    nodes = [
        node("Conv", ["image", "k"], ["c"], pads=[1, 1, 1, 1]),
        node("Relu", ["c"], ["r"]),
        node("AveragePool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Reshape", ["p", "to"], ["f"]),
        node("MatMul", ["f", "w"], ["logits"]),
    ]
    model = _graph(
        nodes,
        {"image": (T.FLOAT, [batch, 1, 8, 8])},
        {"logits": (T.FLOAT, [batch, 10])},
        k=_numbers(4, 1, 3, 3),
        w=_numbers(64, 10),
        to=np.array(target, np.int64),
    )
    images = _random().uniform(0, 1, size=(ROWS, 1, 8, 8)).astype(np.float32)
    feeds = [{"image": image[None]} for image in images]
    if flat:
        records = [
            {f"pixel{at}": v for at, v in enumerate(row)}
            for row in images.reshape(ROWS, 64).tolist()
        ]
        return _case(name, model, records, feeds)
    return _case(name, model, [{"image": i.tolist()} for i in images], feeds, suffix=".jsonl")


def cnn_dynamic() -> Case:
    return _cnn("cnn-dynamic", "batch", [-1, 64], flat=False)


def cnn_fixed() -> Case:
    return _cnn("cnn-fixed-one", 1, [1, 64], flat=False)


def cnn_pixels() -> Case:
    return _cnn("cnn-pixel-columns", "N", [0, -1], flat=True)


def not_batchable() -> Case:
    """Exported for one row, whose normalisation is over all rows: rows must run alone."""
    nodes = [
        node("ReduceMean", ["x"], ["m"], keepdims=0),
        node("Sub", ["x", "m"], ["d"]),
        node("MatMul", ["d", "w"], ["y"]),
    ]
    model = _graph(nodes, {"x": (T.FLOAT, [1, 5])}, {"y": (T.FLOAT, [1, 2])}, w=_numbers(5, 2))
    rows = _numbers(ROWS, 5)
    return _case("not-batchable", model, _columns(rows), [{"x": row[None]} for row in rows])


def bare_image() -> Case:
    """No dimension for the rows at all."""
    nodes = [
        node("ReduceMean", ["image"], ["m"], axes=[1, 2], keepdims=0),
        node("MatMul", ["m", "w"], ["y"]),
    ]
    model = _graph(nodes, {"image": (T.FLOAT, [3, 6, 6])}, {"y": (T.FLOAT, [4])}, w=_numbers(3, 4))
    images = _numbers(ROWS, 3, 6, 6)
    records = [{"image": image.tolist()} for image in images]
    return _case("bare-image", model, records, [{"image": i} for i in images], suffix=".jsonl")


def two_inputs() -> Case:
    """A number of columns and a vector."""
    nodes = [
        node("MatMul", ["user", "w"], ["u"]),
        node("Mul", ["u", "item"], ["p"]),
        node("ReduceSum", ["p", "axis"], ["score"], keepdims=1),
    ]
    model = _graph(
        nodes,
        {"user": (T.FLOAT, ["batch", 3]), "item": (T.FLOAT, ["batch", 4])},
        {"score": (T.FLOAT, ["batch", 1])},
        w=_numbers(3, 4),
        axis=np.array([1], np.int64),
    )
    users, items = _numbers(ROWS, 3), _numbers(ROWS, 4) * 2
    pairs = [*zip(users, items, strict=True)]
    records = [{"user": u.tolist(), "item": i.tolist()} for u, i in pairs]
    feeds = [{"user": u[None], "item": i[None]} for u, i in pairs]
    return _case("two-inputs", model, records, feeds, suffix=".jsonl")


def two_by_columns() -> Case:
    """Two inputs that columns feed in order."""
    case = two_inputs()
    records = [{f"f{at}": v for at, v in enumerate([*r["user"], *r["item"]])} for r in case.records]
    model = onnx.load_model_from_string(case.graph)
    return _case("two-inputs-by-order", model, records, case.feeds)


def sequences() -> Case:
    """(batch, time, feature), with rows of different lengths."""
    nodes = [
        node("MatMul", ["series", "w"], ["h"]),
        node("Tanh", ["h"], ["t"]),
        node("ReduceMean", ["t"], ["forecast"], axes=[1], keepdims=0),
    ]
    model = _graph(
        nodes,
        {"series": (T.FLOAT, ["batch", "time", 3])},
        {"forecast": (T.FLOAT, ["batch", 2])},
        w=_numbers(3, 2),
    )
    series = [_random().normal(size=(4 + at % 5, 3)).astype(np.float32) for at in range(ROWS)]
    records = [{"series": one.tolist()} for one in series]
    return _case(
        "sequences", model, records, [{"series": s[None]} for s in series], suffix=".jsonl"
    )


def time_first() -> Case:
    """(time, batch, feature), as torch's recurrent layers take it."""
    nodes = [node("GRU", ["series", "w", "r"], ["all", "last"], hidden_size=2)]
    nodes.append(node("Squeeze", ["last", "axis"], ["state"]))
    model = _graph(
        nodes,
        {"series": (T.FLOAT, ["time", "batch", 3])},
        {"state": (T.FLOAT, ["batch", 2])},
        w=_numbers(1, 6, 3),
        r=_numbers(1, 6, 2),
        axis=np.array([0], np.int64),
    )
    series = [_random().normal(size=(5, 3)).astype(np.float32) + at for at in range(ROWS)]
    records = [{"series": one.tolist()} for one in series]
    feeds = [{"series": one[:, None]} for one in series]
    return _case("time-first", model, records, feeds, suffix=".jsonl")


def tokens() -> Case:
    """Token ids with a mask, of any length."""
    nodes = [
        node("Gather", ["table", "tokens"], ["e"]),
        node("Cast", ["mask"], ["m"], to=T.FLOAT),
        node("Unsqueeze", ["m", "last"], ["m3"]),
        node("Mul", ["e", "m3"], ["kept"]),
        node("ReduceSum", ["kept", "middle"], ["sum"], keepdims=0),
        node("MatMul", ["sum", "w"], ["y"]),
    ]
    model = _graph(
        nodes,
        {"tokens": (T.INT64, ["batch", "length"]), "mask": (T.INT64, ["batch", "length"])},
        {"y": (T.FLOAT, ["batch", 2])},
        table=_numbers(50, 4),
        w=_numbers(4, 2),
        last=np.array([2], np.int64),
        middle=np.array([1], np.int64),
    )
    ids = [_random().integers(0, 50, 3 + at % 6) for at in range(ROWS)]
    records = [{"tokens": one.tolist(), "mask": [1] * len(one)} for one in ids]
    feeds = [{"tokens": one[None], "mask": np.ones((1, len(one)), np.int64)} for one in ids]
    return _case("tokens", model, records, feeds, suffix=".jsonl")


def constant() -> Case:
    """A sampling rate beside the waveform."""
    nodes = [
        node("Cast", ["sr"], ["rate"], to=T.FLOAT),
        node("Div", ["wave", "rate"], ["d"]),
        node("MatMul", ["d", "w"], ["y"]),
    ]
    model = _graph(
        nodes,
        {"wave": (T.FLOAT, ["N", 16]), "sr": (T.INT64, [])},
        {"y": (T.FLOAT, ["N", 1])},
        w=1000 * _numbers(16, 1),
    )
    waves = _numbers(ROWS, 16)
    records = [{"wave": wave.tolist(), "sr": 160} for wave in waves]
    feeds = [{"wave": wave[None], "sr": np.array(160, np.int64)} for wave in waves]
    return _case("constant", model, records, feeds, suffix=".jsonl")


def int8_static() -> Case:
    """Quantised with scales of its own: quantise, dequantise, multiply."""
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        node("DequantizeLinear", ["wq", "s", "z"], ["w"]),
        node("MatMul", ["d", "w"], ["y"]),
    ]
    model = _graph(
        nodes,
        {"x": (T.FLOAT, ["N", 6])},
        {"y": (T.FLOAT, ["N", 1])},
        s=np.array(0.05, np.float32),
        z=np.array(0, np.int8),
        wq=_random().integers(-100, 100, (6, 1)).astype(np.int8),
    )
    rows = _numbers(ROWS, 6)
    return _case("int8-static", model, _columns(rows), [{"x": row[None]} for row in rows])


def int8_dynamic() -> Case:
    """One scale for all rows of a run: rows depend on each other."""
    nodes = [
        node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
        node("MatMulInteger", ["q", "wq", "z"], ["i"]),
        node("Cast", ["i"], ["f"], to=T.FLOAT),
        node("Mul", ["f", "s"], ["y"]),
    ]
    model = _graph(
        nodes,
        {"x": (T.FLOAT, ["N", 6])},
        {"y": (T.FLOAT, ["N", 2])},
        wq=_random().integers(-100, 100, (6, 2)).astype(np.int8),
    )
    rows = _numbers(ROWS, 6)
    return _case("int8-dynamic", model, _columns(rows), [{"x": row[None]} for row in rows])


def external() -> Case:
    """Weights in a file beside the graph."""
    case = _mlp("external-data", 17, ["N", 6])
    model = onnx.load_model_from_string(case.graph)
    convert_model_to_external_data(model, location="weights.bin", size_threshold=0)
    with tempfile.TemporaryDirectory() as folder:
        write_external_data_tensors(model, folder)
        files = {"weights.bin": Path(folder, "weights.bin").read_bytes()}
    return _case("external-data", model, case.records, case.feeds, files=files)


def detections() -> Case:
    """As many values as a row has positive ones, at least none."""
    nodes = [
        node("Reshape", ["x", "flat"], ["f"]),
        node("Greater", ["f", "zero"], ["positive"]),
        node("Compress", ["x", "positive"], ["kept"], axis=1),
    ]
    model = _graph(
        nodes,
        {"x": (T.FLOAT, [1, 6])},
        {"kept": (T.FLOAT, [1, None])},
        flat=np.array([-1], np.int64),
        zero=np.array(0, np.float32),
    )
    rows = _numbers(ROWS, 6)
    return _case("detections", model, _columns(rows), [{"x": row[None]} for row in rows])


def gaps_in_vectors() -> Case:
    """Elements of a vector are missing, and become 0."""
    nodes = [
        node("IsNaN", ["x"], ["gap"]),
        node("Where", ["gap", "zero", "x"], ["full"]),
        node("MatMul", ["full", "w"], ["y"]),
    ]
    model = _graph(
        nodes,
        {"x": (T.FLOAT, ["N", 4])},
        {"y": (T.FLOAT, ["N", 1])},
        zero=np.array(0, np.float32),
        w=_numbers(4, 1),
    )
    rows = _numbers(ROWS, 4)
    rows[::3, 1] = np.nan
    records = [{"x": [None if np.isnan(v) else v for v in row]} for row in rows.tolist()]
    feeds = [{"x": row[None]} for row in rows]
    return _case("gaps-in-vectors", model, records, feeds, suffix=".jsonl")


def own_operator() -> Case:
    """An operator of a library of its own, which is refused."""
    model = _graph(
        [helper.make_node("Mystery", ["x"], ["y"], domain="com.example")],
        {"x": (T.FLOAT, ["N", 4])},
        {"y": (T.FLOAT, ["N", 4])},
    )
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    rows = _numbers(ROWS, 4)
    feeds = [{"x": row[None]} for row in rows]
    reason = "expected only standard operators"
    return _case("own-operator", model, _columns(rows), feeds, refused=reason)


def huge() -> Case:
    """196 MB of weights."""
    size = 7000
    weights = (np.arange(size * size, dtype=np.float32) % 13 - 6).reshape(size, size) / size
    nodes = [
        node("MatMul", ["x", "a"], ["h"]),
        node("MatMul", ["h", "w"], ["g"]),
        node("ReduceMean", ["g"], ["y"], axes=[1], keepdims=1),
    ]
    model = _graph(
        nodes,
        {"x": (T.FLOAT, ["N", 4])},
        {"y": (T.FLOAT, ["N", 1])},
        a=_numbers(4, size),
        w=weights,
    )
    rows = _numbers(ROWS, 4)
    return _case("huge", model, _columns(rows), [{"x": row[None]} for row in rows])


#: each makes a case; the large one is apart
BY_HAND: tuple[Callable[[], Case], ...] = (
    opset9,
    opset13,
    opset22,
    float64,
    float16,
    unnamed,
    fixed_eight,
    without_sample,
    colons,
    cnn_dynamic,
    cnn_fixed,
    cnn_pixels,
    not_batchable,
    bare_image,
    two_inputs,
    two_by_columns,
    sequences,
    time_first,
    tokens,
    constant,
    int8_static,
    int8_dynamic,
    external,
    detections,
    gaps_in_vectors,
    own_operator,
)
