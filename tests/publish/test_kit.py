"""The kit that train.py scripts use: tables and clean graphs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from quintet.columns import ragged
from quintet.contract import Contract, Feature, Input, Output
from quintet_publish.kit import clean, drop_notes, predict, read_table, save, write_table
from quintet_publish.release import prepare

CONTRACT = Contract(
    name="doubled",
    version=1,
    task="regression",
    features=(Feature(name="text", dtype="string"), Feature(name="a", dtype="float32")),
    inputs=(
        Input(name="text", dtype="string", shape=(-1,)),
        Input(name="x", dtype="float32", shape=(-1, 1), features=("a",)),
    ),
    outputs=(
        Output(name="lower", dtype="string", shape=(-1,), meaning="label"),
        Output(name="twice", dtype="float32", shape=(-1, 1), meaning="value"),
    ),
)


@pytest.fixture
def converted() -> onnx.ModelProto:
    """A graph with what converters leave: a random name, a wrong shape, an unused branch."""
    unused = helper.make_tensor("unused", TensorProto.FLOAT, [1], [9.0])
    nodes = [
        helper.make_node("Add", ["x", "x"], ["twice"]),
        helper.make_node("Mul", ["x", "unused"], ["other"]),
        helper.make_node(
            "StringNormalizer", ["text"], ["lower"], case_change_action="LOWER", locale="en_US"
        ),
    ]
    graph = helper.make_graph(
        nodes,
        "a1b2c3",
        [
            helper.make_tensor_value_info("text", TensorProto.STRING, [None]),
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 1]),
        ],
        [
            helper.make_tensor_value_info("twice", TensorProto.FLOAT, [1, 1]),
            helper.make_tensor_value_info("other", TensorProto.FLOAT, [None, 1]),
            helper.make_tensor_value_info("lower", TensorProto.STRING, [None]),
        ],
        [unused],
    )
    imports = [helper.make_opsetid("ai.onnx.ml", 3), helper.make_opsetid("", 15)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def test_clean_graph_is_the_contracts(converted: onnx.ModelProto) -> None:
    graph = clean(converted, CONTRACT).graph
    assert graph.name == "doubled"
    assert [node.op_type for node in graph.node] == ["Add", "StringNormalizer"]
    assert list(graph.initializer) == []
    shapes = {
        output.name: [d.dim_param or d.dim_value for d in output.type.tensor_type.shape.dim]
        for output in graph.output
    }
    assert shapes == {"lower": ["rows"], "twice": ["rows", 1]}
    assert [i.domain for i in converted.opset_import] == ["", "ai.onnx.ml"]


def test_notes_of_the_exporter_are_removed_at_every_depth() -> None:
    trace = "File /home/me/net.py, line 3"
    value = helper.make_tensor_value_info("y", TensorProto.FLOAT, [])
    one = helper.make_tensor("one", TensorProto.FLOAT, [], [1.0])
    inner = helper.make_node("Constant", [], ["y"], doc_string=trace, value=one)
    branch = helper.make_graph([inner], "branch", [], [value], doc_string=trace)
    node = helper.make_node("If", ["if"], ["y"], then_branch=branch, else_branch=branch)
    helper.set_model_props(node, {"pkg.torch.onnx.stack_trace": trace})
    chosen = helper.make_tensor("if", TensorProto.BOOL, [], [True])
    chosen.doc_string = trace
    model = helper.make_model(helper.make_graph([node], "g", [], [value], [chosen]))
    helper.set_model_props(model, {"licence": "MIT"})  # its author's own
    assert trace.encode() in model.SerializeToString()
    assert drop_notes(model)
    assert trace.encode() not in model.SerializeToString()
    assert [prop.key for prop in model.metadata_props] == ["licence"]
    assert not drop_notes(model)


def test_clean_sets_the_locale_that_slim_images_have(converted: onnx.ModelProto) -> None:
    (_, normaliser) = clean(converted, CONTRACT).graph.node
    told = {a.name: helper.get_attribute_value(a) for a in normaliser.attribute}
    assert told == {"case_change_action": b"LOWER", "locale": b"C"}


def with_zipmap() -> onnx.ModelProto:
    """A classifier as CatBoost exports it: labels, and a list of maps of probabilities."""
    nodes = [
        helper.make_node(
            "LinearClassifier",
            ["x"],
            ["label", "probability_tensor"],
            domain="ai.onnx.ml",
            classlabels_ints=[0, 1],
            coefficients=[-1.0, 1.0],
            intercepts=[0.0, 0.0],
            post_transform="SOFTMAX",
        ),
        helper.make_node(
            "ZipMap",
            ["probability_tensor"],
            ["probabilities"],
            domain="ai.onnx.ml",
            classlabels_int64s=[0, 1],
        ),
    ]
    maps = helper.make_map_type_proto(
        TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, [])
    )
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1])],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, ["n"]),
            helper.make_value_info("probabilities", helper.make_sequence_type_proto(maps)),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("ai.onnx.ml", 3)])


ZIPPED = replace(
    CONTRACT,
    features=(Feature(name="a", dtype="float32"),),
    inputs=(Input(name="x", dtype="float32", shape=(-1, 1), features=("a",)),),
    outputs=(
        Output(name="label", dtype="int64", shape=(-1,), meaning="label"),
        Output(name="probabilities", dtype="float32", shape=(-1, 2), meaning="probabilities"),
    ),
)


def test_clean_cuts_a_zipmap() -> None:
    columns = {"a": np.array([0.0, 1.0])}
    outputs = predict(clean(with_zipmap(), ZIPPED), ZIPPED, columns)
    assert outputs["label"].tolist() == [0, 1]
    odds = 1 / (1 + np.exp(-2.0))
    assert outputs["probabilities"] == pytest.approx(np.array([[0.5, 0.5], [1 - odds, odds]]))


def test_a_zipmap_that_the_contract_leaves_out_is_published(tmp_path: Path) -> None:
    (tmp_path / "model.yaml").write_text(
        "{name: zipped, version: 1, task: t, features: [{name: a, dtype: float32}], inputs: "
        "[{name: x, dtype: float32, shape: [-1, 1], features: [a]}], outputs: [{name: label, "
        "dtype: int64, shape: [-1], meaning: label}]}"
    )
    model = with_zipmap()
    model.ir_version = 9
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    (tmp_path / "golden.json").write_text(
        '{"columns": {"a": [-1.0, 1.0]}, "outputs": {"label": [0, 1]}}'
    )
    release = prepare(tmp_path, lambda step, detail: None)
    assert [output.name for output in release.contract.outputs] == ["label"]


def test_predict_gives_outputs_by_name(converted: onnx.ModelProto) -> None:
    columns = {"text": np.array(["A", "b"], dtype=object), "a": np.array([1.5, -2.0])}
    outputs = predict(clean(converted, CONTRACT), CONTRACT, columns)
    assert {name: values.tolist() for name, values in outputs.items()} == {
        "lower": ["a", "b"],
        "twice": [[3.0], [-4.0]],
    }


def test_saved_files_are_the_same_bytes_each_time(
    converted: onnx.ModelProto, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = clean(converted, CONTRACT)
    numbers = np.array([0.1, np.nan], dtype=np.float32)
    golden = {"text": np.array(["A", "B"], dtype=object), "a": numbers}
    for folder in ("one", "two"):
        save(tmp_path / folder, CONTRACT, model, golden=golden, metrics={"auc": 0.75})
    assert capsys.readouterr().out.splitlines()[0].split() == ["auc", "0.75"]
    made = {path.name: path.read_bytes() for path in (tmp_path / "one").iterdir()}
    assert made == {path.name: path.read_bytes() for path in (tmp_path / "two").iterdir()}
    assert made["golden.json"].decode() == (
        '{\n  "columns": {\n    "text": ["A", "B"],\n    "a": [0.1, null]\n  },\n'
        '  "outputs": {\n    "lower": ["a", "b"],\n    "twice": [[0.2], [null]]\n  },\n'
        '  "tolerance": 1e-06\n}\n'
    )


def test_table_reads_back_as_written(tmp_path: Path) -> None:
    columns = {
        "text": np.array(["é", "", "a\nb"], dtype=object),
        "number": np.array([0.5, np.nan, -1.0], dtype=np.float32),
        "count": np.array([1, 2, 3], dtype=np.int8),
    }
    write_table(tmp_path / "t.parquet", columns)
    read = read_table(tmp_path / "t.parquet")
    assert {name: values.dtype for name, values in read.items()} == {
        name: values.dtype for name, values in columns.items()
    }
    for name, values in columns.items():
        np.testing.assert_array_equal(read[name], values)


def test_an_array_a_row_comes_back_flat(tmp_path: Path) -> None:
    images = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    write_table(tmp_path / "t.parquet", {"image": images, "a": np.array([1, 2])})
    back = read_table(tmp_path / "t.parquet")
    assert back["image"].dtype == np.float32
    np.testing.assert_array_equal(back["image"], images.reshape(2, 12))


def test_tables_keep_lists_of_any_length(tmp_path: Path) -> None:
    rows = ragged([np.array([3, 1], np.int64), np.array([], np.int64), np.array([7], np.int64)])
    write_table(tmp_path / "lists.parquet", {"items": rows})
    ((name, read),) = read_table(tmp_path / "lists.parquet").items()
    assert (name, [row.tolist() for row in read]) == ("items", [[3, 1], [], [7]])
    assert {row.dtype for row in read} == {np.dtype(np.int64)}
