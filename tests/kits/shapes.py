"""Small graphs whose tensors are not one fixed row after another, and their contracts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from tests.kits.packages import parsed

from quintet.columns import numpy_dtype
from quintet.contract import Contract, Feature, Input, Limits, Output, Slo, to_dict
from quintet_publish import kit

__all__ = [
    "EXPORTED",
    "FOUND",
    "IMAGE",
    "PADDED",
    "QUANTISED",
    "SERIES",
    "SHAPED",
    "STATE",
    "TOKENS",
    "WORDS",
    "Shaped",
    "graph_of",
    "package",
    "write_contract",
]

_TYPES = {
    "float32": TensorProto.FLOAT,
    "int64": TensorProto.INT64,
    "string": TensorProto.STRING,
}


def graph_of(
    nodes: Sequence[Any],
    inputs: Mapping[str, tuple[str, Sequence[Any]]],
    outputs: Mapping[str, tuple[str, Sequence[Any]]],
    values: Mapping[str, Any] | None = None,
) -> bytes:
    """A graph of these nodes; tensors are (dtype, shape) by name, `values` its initialisers."""
    taken, given = (
        [helper.make_tensor_value_info(n, _TYPES[dtype], shape) for n, (dtype, shape) in some]
        for some in (inputs.items(), outputs.items())
    )
    kept = [numpy_helper.from_array(np.asarray(v), name) for name, v in (values or {}).items()]
    made = helper.make_model(
        helper.make_graph(list(nodes), "graph", taken, given, kept),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=9,
    )
    content: bytes = made.SerializeToString()
    return content


@dataclass(frozen=True)
class Shaped:
    """A model, and some rows of it: values by feature."""

    contract: Contract
    graph: bytes
    rows: Sequence[dict[str, Any]]

    def alone(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """onnxruntime's own outputs for one row, each without the dimension of rows."""
        session = onnxruntime.InferenceSession(self.graph, providers=["CPUExecutionProvider"])
        ranks = {i.name: len(i.shape) for i in session.get_inputs()}
        feeds = {name: np.array(v, np.float32) for name, v in self.contract.constants.items()}
        for i in self.contract.inputs:
            dtype = numpy_dtype(i.dtype)
            feeds[i.name] = np.array([row[name] for name in i.names], dtype)
            if len(i.names) == 1:
                feeds[i.name] = np.array(row[i.names[0]], dtype)
                feeds[i.name] = feeds[i.name].reshape(_sized(i.row_shape, feeds[i.name].shape))
            if len(feeds[i.name].shape) < ranks[i.name]:
                feeds[i.name] = np.expand_dims(feeds[i.name], i.batch_axis)
        names = [output.name for output in self.contract.outputs]
        arrays = session.run(names, feeds)
        return {
            o.name: array.take(0, axis=o.batch_axis) if array.ndim == len(o.shape) else array
            for o, array in zip(self.contract.outputs, arrays, strict=True)
        }


def _sized(shape: Sequence[int], have: Sequence[int]) -> list[int]:
    """The shape of an empty list whose inner sizes are not written."""
    return [
        size if size >= 0 else (list(have) + [0] * len(shape))[n] for n, size in enumerate(shape)
    ]


def _contract(name: str, features: Sequence[Feature], *outputs: Output, **more: Any) -> Contract:
    """A contract whose features are its inputs, rows first."""
    return Contract(
        name=name,
        version=1,
        task="test",
        features=tuple(features),
        inputs=tuple(Input(name=f.name, dtype=f.dtype, shape=(-1, *f.shape)) for f in features),
        outputs=outputs,
        **more,
    )


def _value(name: str, shape: tuple[int, ...], dtype: Any = "float32", **more: Any) -> Output:
    return Output(name=name, dtype=dtype, shape=shape, meaning="value", **more)


def _tokens(**more: Any) -> Shaped:
    """Two features that share a free axis: what is masked out, and the sum of what is not."""
    graph = graph_of(
        [
            helper.make_node("Mul", ["tokens", "mask"], ["kept"]),
            helper.make_node("ReduceSum", ["kept", "last"], ["total"], keepdims=0),
        ],
        {"tokens": ("int64", ["rows", "length"]), "mask": ("int64", ["rows", "length"])},
        {"kept": ("int64", ["rows", "length"]), "total": ("int64", ["rows"])},
        {"last": np.array([-1])},
    )
    features = [
        Feature(name="tokens", dtype="int64", shape=(-1,), max=6, range=(0, 1000), **more),
        Feature(name="mask", dtype="int64", shape=(-1,), max=6, **more),
    ]
    outputs = [_value("kept", (-1, -1), "int64", max=6), _value("total", (-1,), "int64")]
    outputs = outputs[1:] if more else outputs
    rows: list[dict[str, Any]] = [
        {"tokens": [5, 6, 7], "mask": [1, 0, 1]},
        {"tokens": [9], "mask": [1]},
        {"tokens": [1, 2, 3], "mask": [1, 1, 1]},
        {"tokens": [], "mask": []},
        {"tokens": [1, 2, 3, 4, 5, 6], "mask": [0, 0, 0, 0, 0, 1]},
    ]
    return Shaped(_contract("tokens", features, *outputs), graph, rows)


def _image() -> Shaped:
    """Two free axes of three, and an output that is empty for an image of one line."""
    graph = graph_of(
        [
            helper.make_node("Slice", ["image", "one", "end", "one"], ["below"]),
            helper.make_node("ReduceMax", ["image", "inner"], ["peak"], keepdims=0),
        ],
        {"image": ("float32", ["rows", "height", "width", 2])},
        {
            "below": ("float32", ["rows", "lines", "width", 2]),
            "peak": ("float32", ["rows", 2]),
        },
        {"one": np.array([1]), "end": np.array([1 << 40]), "inner": np.array([1, 2])},
    )
    features = [Feature(name="image", dtype="float32", shape=(-1, -1, 2), max=(3, 4))]
    outputs = [_value("below", (-1, -1, -1, 2), max=(2, 4)), _value("peak", (-1, 2))]
    shapes = [(2, 3), (1, 2), (3, 4), (2, 3), (1, 1), (3, 2)]
    rows: list[dict[str, Any]] = [
        {"image": (np.arange(h * w * 2).reshape(h, w, 2) * 0.1 + number).round(3).tolist()}
        for number, (h, w) in enumerate(shapes)
    ]
    return Shaped(_contract("image", features, *outputs), graph, rows)


def _found() -> Shaped:
    """Detections in a graph without rows: the positions of what is positive, of any number."""
    graph = graph_of(
        [
            helper.make_node("Greater", ["x", "zero"], ["high"]),
            helper.make_node("NonZero", ["high"], ["places"]),
            helper.make_node("Transpose", ["places"], ["found"], perm=[1, 0]),
            helper.make_node("ReduceMax", ["x"], ["peak"], keepdims=0),
        ],
        {"x": ("float32", [3]), "zero": ("float32", [])},
        {"found": ("int64", ["n", 1]), "peak": ("float32", [])},
    )
    outputs = [_value("found", (-1, -1, 1), "int64", max=3), _value("peak", (-1,))]
    features = [Feature(name="x", dtype="float32", shape=(3,))]
    contract = _contract("found", features, *outputs, rows="one", constants={"zero": 0})
    rows = [{"x": x} for x in ([1, -1, 1], [-1, -2, -3], [0.5, 0, 0], [1, 2, 3])]
    return Shaped(contract, graph, rows)


def _words() -> Shaped:
    """Texts, as many as there are."""
    graph = graph_of(
        [helper.make_node("Identity", ["words"], ["same"])],
        {"words": ("string", ["rows", "length"])},
        {"same": ("string", ["rows", "length"])},
    )
    features = [Feature(name="words", dtype="string", shape=(-1,), max=3)]
    rows = [{"words": words} for words in (["a", "ß"], [], ["", "b c", "1"], ["\u20ac", "x"])]
    same = _value("same", (-1, -1), "string", max=3)
    return Shaped(_contract("words", features, same), graph, rows)


def _series() -> Shaped:
    """Measurements with gaps, which the graph sees as NaN."""
    graph = graph_of(
        [
            helper.make_node("IsNaN", ["series"], ["gap"]),
            helper.make_node("Where", ["gap", "zero", "series"], ["filled"]),
        ],
        {"series": ("float32", ["rows", "length"])},
        {"filled": ("float32", ["rows", "length"])},
        {"zero": np.float32(0)},
    )
    features = [
        Feature(name="series", dtype="float32", shape=(-1,), max=4, missing="nan", range=(-9, 9))
    ]
    rows = [{"series": s} for s in ([1.5, None], [0.1, 0.2, None, -9.0], [], [None], [3.0, 4.0])]
    return Shaped(_contract("series", features, _value("filled", (-1, -1), max=4)), graph, rows)


def _quantised() -> Shaped:
    """Dynamic int8: the scale is that of all rows of a run, which so depend on each other."""
    graph = graph_of(
        [
            helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "scale", "zero"]),
            helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"]),
        ],
        {"x": ("float32", ["rows", 2])},
        {"y": ("float32", ["rows", 2])},
    )
    features = [Feature(name="a", dtype="float32"), Feature(name="b", dtype="float32")]
    contract = _contract("quantised", features, _value("y", (-1, 2)), rows="one")
    both = (Input(name="x", dtype="float32", shape=(-1, 2), features=("a", "b")),)
    rows = [{"a": 0.1 * row, "b": 10.0**row} for row in range(4)]
    return Shaped(replace(contract, inputs=both), graph, rows)


def _exported_for_one() -> Shaped:
    """A graph whose batch is fixed at 1, with an input of one number a row."""
    graph = graph_of(
        [helper.make_node("Mul", ["x", "by"], ["y"])],
        {"x": ("float32", [1, 3]), "by": ("float32", [1, 1])},
        {"y": ("float32", [1, 3])},
    )
    features = [
        Feature(name="x", dtype="float32", shape=(3,)),
        Feature(name="by", dtype="float32"),
    ]
    contract = _contract("exported", features, _value("y", (-1, 3)), rows="one")
    inputs = (contract.inputs[0], Input(name="by", dtype="float32", shape=(-1, 1)))
    rows = [{"x": [1, 2, float(row)], "by": row + 0.5} for row in range(3)]
    return Shaped(replace(contract, inputs=inputs), graph, rows)


def _recurrent() -> Shaped:
    """One step of a recurrent model: the states of two layers, rows on their second axis."""
    nodes = [
        helper.make_node("Div", ["rate", "thousand"], ["factor"]),
        helper.make_node("Mul", ["x", "factor"], ["y"]),
        helper.make_node("ReduceSum", ["x", "last"], ["sums"], keepdims=1),
        helper.make_node("Add", ["state", "sums"], ["state_out"]),
    ]
    graph = graph_of(
        nodes,
        {
            "x": ("float32", ["rows", 2]),
            "state": ("float32", [2, "rows", 3]),
            "rate": ("float32", []),
        },
        {"y": ("float32", ["rows", 2]), "state_out": ("float32", [2, "rows", 3])},
        {"thousand": np.float32(1000), "last": np.array([-1])},
    )
    contract = Contract(
        name="recurrent",
        version=1,
        task="speech",
        features=(
            Feature(name="x", dtype="float32", shape=(2,)),
            Feature(name="state", dtype="float32", shape=(2, 3)),
        ),
        inputs=(
            Input(name="x", dtype="float32", shape=(-1, 2)),
            Input(name="state", dtype="float32", shape=(2, -1, 3), batch_axis=1),
        ),
        outputs=(
            Output(name="y", dtype="float32", shape=(-1, 2), meaning="value"),
            Output(
                name="state_out", dtype="float32", shape=(2, -1, 3), batch_axis=1, meaning="value"
            ),
        ),
        constants={"rate": 16000},
    )
    rows: list[dict[str, Any]] = [
        {"x": [float(row), 0.5], "state": [[row, 1.0, 2.0], [3.0, 4.0, float(row)]]}
        for row in range(4)
    ]
    return Shaped(contract, graph, rows)


STATE = _recurrent()
TOKENS = _tokens()
PADDED = _tokens(pad=0)
IMAGE = _image()
FOUND = _found()
WORDS = _words()
SERIES = _series()
QUANTISED = _quantised()
EXPORTED = _exported_for_one()

SHAPED = {
    "rows on another axis, and a constant": STATE,
    "a free axis": TOKENS,
    "two free axes, and outputs without values": IMAGE,
    "texts on a free axis": WORDS,
    "missing values on a free axis": SERIES,
    "filled up to the longest": PADDED,
    "one row at a time, no dimension of rows": FOUND,
    "one row at a time, dynamic int8": QUANTISED,
    "one row at a time, exported for one": EXPORTED,
}


def package(folder: Path, shaped: Shaped) -> Path:
    """A package of the model, made by the kit; a row may take long on a busy machine."""
    contract = replace(shaped.contract, limits=Limits(rows=20), slo=Slo(p95_ms=20_000))
    golden: Any = {f.name: [row[f.name] for row in shaped.rows] for f in contract.features}
    fixed = {f.name: np.array(golden[f.name], f.dtype) for f in contract.features if not f.free}
    model = kit.clean(parsed(shaped.graph), contract)
    kit.save(folder, contract, model, golden=golden | fixed, metrics={})
    write_contract(folder, contract)
    return folder


def write_contract(folder: Path, contract: Contract) -> None:
    """Write a contract as a package's model.yaml."""
    (folder / "model.yaml").write_text(json.dumps(to_dict(contract)))
