"""Tensors of any name: inputs fed by features of other names, outputs as exporters name them."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import orjson
import pytest
from arro3 import core
from arro3 import io as arrow_io
from onnx import TensorProto, helper
from tests.kits.forms import JSON_FORMS, invoke, npy, oip, parquet

from quintet.columns import Batch, flat_columns
from quintet.contract import Contract, Feature, Input, Output
from quintet.errors import BadInput
from quintet.formats.writers import write_table
from quintet.onnx_model import OnnxModel
from quintet.protocols import oip_metadata, records
from quintet.scoring import score
from quintet.serving.golden import score_columns
from quintet.serving.prediction import Prediction

X, Y = (
    "serving_default_x:0",
    "StatefulPartitionedCall/model/dense/BiasAdd_of_a_name_beyond_sixty_characters:0",
)
TF = Contract(
    name="tf",
    version=1,
    task="t",
    features=(Feature(name="x", dtype="float32", shape=(3,)), Feature(name="k", dtype="float32")),
    inputs=(
        Input(name=X, dtype="float32", shape=(-1, 3), features=("x",)),
        Input(name="onnx::Gemm_0", dtype="float32", shape=(-1,), features=("k",)),
    ),
    outputs=(
        Output(name=Y, dtype="float32", shape=(-1, 3), meaning="value"),
        Output(name="/head/out 1", dtype="float32", shape=(-1,), meaning="score"),
    ),
)


def echo() -> OnnxModel:
    """Gives back its inputs."""
    kinds: dict[Any, Any] = {(3,): ["rows", 3], (): ["rows"]}

    def info(tensor: Any) -> Any:
        shape = kinds[tensor.shape[1:]]
        return helper.make_tensor_value_info(tensor.name, TensorProto.FLOAT, shape)

    pairs = zip(TF.inputs, TF.outputs, strict=True)
    nodes = [helper.make_node("Identity", [i.name], [o.name]) for i, o in pairs]
    graph = helper.make_graph(nodes, "g", [*map(info, TF.inputs)], [*map(info, TF.outputs)])
    opsets = [helper.make_opsetid("", 17)]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    return OnnxModel(TF, made.SerializeToString())


MODEL = echo()
ROWS = [{"x": "[1, 2, 3]", "k": "4"}, {"x": "[5, 6, 7]", "k": "8"}]
WANTED: dict[str, Any] = {Y: [[1, 2, 3], [5, 6, 7]], "/head/out 1": [4, 8]}
XS, KS = [1, 2, 3, 5, 6, 7], [4, 8]


def parquet_rows(contract: Contract) -> Batch:
    flat = core.Array(np.array(XS, np.float32))
    return parquet(contract, x=core.fixed_size_list_array(flat, 3), k=np.array(KS, np.float32))


FORMS: dict[str, Callable[[], Batch]] = {
    **{name: lambda read=read: read(TF, ROWS) for name, read in JSON_FORMS.items()},  # type: ignore[misc]
    "csv": lambda: invoke(TF, b"1,2,3,4\n5,6,7,8\n", "text/csv"),
    "in order": lambda: invoke(TF, b"[[1,2,3,4],[5,6,7,8]]", "application/json"),
    "npy": lambda: npy(TF, np.array([[1, 2, 3, 4], [5, 6, 7, 8]], np.float32)),
    "parquet": lambda: parquet_rows(TF),
    "the graph's inputs": lambda: oip(
        TF, **{X: ("FP32", [2, 3], XS), "onnx::Gemm_0": ("FP32", [2], KS)}
    ),
    "features": lambda: oip(TF, x=("FP32", [2, 3], XS), k=("FP32", [2, 1], KS)),
    "both": lambda: oip(TF, **{X: ("FP32", [2, 3], XS)}, k=("FP32", [2], KS)),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_feature_feeds_an_input_of_another_name(form: str) -> None:
    scores = score(MODEL, FORMS[form]())
    assert scores.refusals == []
    assert {name: values.tolist() for name, values in scores.outputs.items()} == WANTED


def test_golden_rows_name_the_feature() -> None:
    scores = score_columns(MODEL, {"x": WANTED[Y], "k": KS})
    assert {name: values.tolist() for name, values in scores.outputs.items()} == WANTED


def test_metadata_names_the_graphs_inputs() -> None:
    assert oip_metadata.inputs(TF) == [
        {"name": X, "datatype": "FP32", "shape": [-1, 3]},
        {"name": "onnx::Gemm_0", "datatype": "FP32", "shape": [-1]},
    ]


def test_one_tensor_for_an_input_and_its_feature_is_refused() -> None:
    both: dict[str, Any] = {
        X: ("FP32", [2, 3], XS),
        "x": ("FP32", [2, 3], XS),
        "k": ("FP32", [2], KS),
    }
    with pytest.raises(BadInput) as caught:
        oip(TF, **both)
    assert str(caught.value) == "x: expected it once, got it in another tensor too"


def test_answers_and_tables_have_the_graphs_names() -> None:
    batch = FORMS["records"]()
    scores = score(MODEL, batch)
    prediction = Prediction(TF, "live", batch, np.arange(2), scores, np.empty((2, 0)))
    answer = orjson.loads(records.encode(records.Asked(batch), prediction).body)
    assert answer["predictions"] == [
        {Y: [1.0, 2.0, 3.0], "/head/out 1": 4.0},
        {Y: [5.0, 6.0, 7.0], "/head/out 1": 8.0},
    ]
    columns = flat_columns(TF, scores.outputs, scores.fallback)
    assert [*columns] == [f"{Y}_0", f"{Y}_1", f"{Y}_2", "/head/out 1"]
    header = f"{Y}_0,{Y}_1,{Y}_2,/head/out 1\n"
    assert write_table(columns, "csv").decode() == header + "1.0,2.0,3.0,4.0\n5.0,6.0,7.0,8.0\n"

    read = arrow_io.read_parquet(io.BytesIO(write_table(columns, "parquet"))).read_all()
    assert {name: read.column(name).to_pylist() for name in read.column_names} == {
        name: values.tolist() for name, values in columns.items()
    }
