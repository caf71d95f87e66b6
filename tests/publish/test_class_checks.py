"""The names of classes agree with the graph's own labels and with the golden rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from quintet.columns import flat_columns, json_rows
from quintet.contract import Contract, Output, from_dict, to_dict
from quintet.monitoring.histograms import Histogram
from quintet_publish.graph_checks import check_graph
from quintet_publish.model_yaml import read_contract
from quintet_publish.package import read_package
from quintet_publish.problems import PackageError

YAML = """\
name: flowers
version: 1
task: classification
features:
  - {{name: a, dtype: float32}}
  - {{name: b, dtype: float32}}
inputs:
  - {{name: x, dtype: float32, shape: [-1, 2], features: [a, b]}}
outputs:
  - {{name: label, dtype: {dtype}, shape: [-1], meaning: label{label}}}
  - {{name: probabilities, dtype: float32, shape: [-1, 3], meaning: probabilities{columns}}}
"""
NAMES = "[setosa, versicolor, virginica]"
MAPPED = "{1: setosa, 2: versicolor, 3: virginica}"


def contract(label: str = "", columns: str = "", dtype: str = "int64") -> Contract:
    """A contract whose outputs have those `classes`."""
    text = YAML.format(
        dtype=dtype,
        label=f", classes: {label}" if label else "",
        columns=f", classes: {columns}" if columns else "",
    )
    return read_contract(text.encode())


def classifier(labels: list[Any], after: list[Any] | None = None, **constants: Any) -> Any:
    """A linear classifier with those labels; nodes `after` it make `label` of `raw`."""
    texts = isinstance(labels[0], str)
    named: dict[str, Any] = {"classlabels_strings" if texts else "classlabels_ints": labels}
    node = helper.make_node(
        "LinearClassifier",
        ["x"],
        ["raw", "probabilities"],
        domain="ai.onnx.ml",
        coefficients=[1.0, 0.0, 0.0, 1.0, -1.0, -1.0],
        intercepts=[0.0, 0.0, 0.0],
        post_transform="SOFTMAX",
        **named,
    )
    return graph_of(
        [node, *(after or [helper.make_node("Identity", ["raw"], ["label"])])], texts, constants
    )


def graph_of(nodes: list[Any], texts: bool, constants: dict[str, Any]) -> onnx.ModelProto:
    value = helper.make_tensor_value_info
    return helper.make_model(
        helper.make_graph(
            nodes,
            "g",
            [value("x", TensorProto.FLOAT, ["n", 2])],
            [
                value("label", TensorProto.STRING if texts else TensorProto.INT64, ["n"]),
                value("probabilities", TensorProto.FLOAT, ["n", 3]),
            ],
            [numpy_helper.from_array(array, name) for name, array in constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", 20), helper.make_opsetid("ai.onnx.ml", 3)],
    )


def differences(model: Any, **classes: str) -> list[str]:
    try:
        check_graph(contract(**classes), model)
    except PackageError as error:
        return [f"{problem.field}: {problem.text}" for problem in error.problems]
    return []


@pytest.mark.parametrize("labels", [[1, 2, 3], [-1, 0, 1], [0, 2, 4]])
def test_a_list_names_labels_that_count_from_zero_alone(labels: list[int]) -> None:
    shown = ", ".join(map(str, labels))
    mapping = ", ".join(map("{}: {}".format, labels, ["setosa", "versicolor", "virginica"]))
    assert differences(classifier(labels), label=NAMES, columns=NAMES) == [
        f"outputs.label.classes: a list names the labels 0 to 2, the graph's are {shown}; "
        f"expected names by label, such as {{{mapping}}}"
    ]
    assert differences(classifier([0, 1, 2]), label=NAMES, columns=NAMES) == []


def test_a_mapping_names_any_labels() -> None:
    assert differences(classifier([1, 2, 3]), label=MAPPED, columns=MAPPED) == []
    assert differences(classifier([1, 2, 3]), label=MAPPED, columns=NAMES) == []
    assert differences(classifier([0, 1, 2]), label=MAPPED) == [
        "outputs.label.classes: expected names for the graph's labels 0, 1, 2"
    ]


def test_a_mapping_of_columns_needs_ascending_labels() -> None:
    assert differences(classifier([3, 1, 2]), columns=MAPPED) == [
        "outputs.probabilities.classes: the graph's columns are of the labels 3, 1, 2, not in "
        "ascending order; expected a list, in the order of the columns"
    ]


def test_text_labels_in_another_order_mislabel_the_columns() -> None:
    texts = ["setosa", "versicolor", "virginica"]
    other = "[versicolor, setosa, virginica]"
    found = differences(classifier(texts), dtype="string", columns=other)
    assert found == [
        "outputs.probabilities.classes: column 0 is the graph's label setosa, got the name "
        "versicolor; expected the graph's order: setosa, versicolor, virginica"
    ]
    assert differences(classifier(texts), dtype="string", label=NAMES, columns=NAMES) == []
    renamed = "[one, two, three]"
    assert differences(classifier(texts), dtype="string", columns=renamed) == []


def test_every_label_of_the_graph_has_a_name() -> None:
    (found,) = differences(classifier([0, 1, 2]), label="[nay, yea]")
    assert found == (
        "outputs.label.classes: expected a name for each of the graph's labels, 0, 1, 2; got 2"
    )


def test_names_in_two_orders_contradict_each_other() -> None:
    other = "[virginica, versicolor, setosa]"
    (found,) = differences(classifier([0, 1, 2]), label=NAMES, columns=other)
    assert found.startswith("outputs.probabilities.classes: are virginica, versicolor, setosa;")
    # a label by a threshold may have names of its own
    assert differences(classifier([0, 1, 2]), label="[a, b, c]", columns=NAMES) == []


CHOSEN = [
    helper.make_node("ArgMax", ["probabilities"], ["best"], axis=1, keepdims=0),
    helper.make_node("ArrayFeatureExtractor", ["names", "best"], ["row"], domain="ai.onnx.ml"),
    helper.make_node("Reshape", ["row", "flat"], ["kept"]),
    helper.make_node("Cast", ["kept"], ["label"], to=TensorProto.INT64),
]
ENCODED = [
    helper.make_node(
        "LabelEncoder",
        ["raw"],
        ["label"],
        domain="ai.onnx.ml",
        keys_int64s=[0, 1, 2],
        values_int64s=[10, 20, 30],
    )
]


@pytest.mark.parametrize(
    ("model", "shown"),
    [
        (classifier([0, 1, 2], CHOSEN, names=np.array([7, 8, 9]), flat=np.array([-1])), "7, 8, 9"),
        (classifier([0, 1, 2], ENCODED), "10, 20, 30"),
    ],
)
def test_labels_are_found_behind_what_converters_add(model: Any, shown: str) -> None:
    (found,) = differences(model, label=NAMES)
    assert f"the graph's are {shown};" in found


def golden_problems(folder: Path, labels: list[Any], **classes: str) -> list[str]:
    folder.mkdir(exist_ok=True)
    text = YAML.format(
        dtype=classes.pop("dtype", "int64"), label=f", classes: {classes['label']}", columns=""
    )
    (folder / "model.yaml").write_text(text)
    (folder / "model.onnx").write_bytes(b"")
    rows = len(labels)
    data = {
        "columns": {"a": [0.0] * rows, "b": [0.0] * rows},
        "outputs": {"label": labels, "probabilities": [[0.2, 0.3, 0.5]] * rows},
    }
    (folder / "golden.json").write_text(json.dumps(data))
    try:
        read_package(folder)
    except PackageError as error:
        return [str(problem) for problem in error.problems]
    return []


def test_golden_labels_without_a_name_are_refused(tmp_path: Path) -> None:
    assert golden_problems(tmp_path, [1, 3], label=NAMES) == [
        "golden.json: outputs.label: row 1: 3 has no name in `classes`, which name 0, 1, 2; "
        "a mapping names any labels: {1: first, 2: second}"
    ]
    assert golden_problems(tmp_path, [1, 3], label=MAPPED) == []
    (found,) = golden_problems(tmp_path, [-1], label=NAMES)
    assert "row 0: -1 has no name" in found
    (found,) = golden_problems(tmp_path, ["rose"], label=NAMES, dtype="string")
    assert "row 0: 'rose' has no name" in found


@pytest.mark.parametrize(
    ("label", "found"),
    [
        ("{1: a, 2: a, 3: b}", "expected different names, at least one"),
        ("{}", "expected different names, at least one"),
        ("{one: a, 2: b}", "expected labels of int64, got 2, one"),
        ("{1: a, 01: b}", "expected labels of int64, got 1, 01"),
    ],
)
def test_a_mapping_that_names_nothing_is_refused(label: str, found: str) -> None:
    with pytest.raises(PackageError) as caught:
        contract(label=label)
    assert found in str(caught.value)


def test_answers_name_labels_and_columns_by_the_mapping() -> None:
    made = contract(label="{-1: down, 1: up, 2: far}", columns="{2: far, -1: down, 1: up}")
    # the manifest sorts keys as text
    made = from_dict(json.loads(json.dumps(to_dict(made), sort_keys=True)))
    outputs: dict[str, Any] = {
        "label": np.array([-1, 2, 5]),
        "probabilities": np.array([[0.5, 0.25, 0.25]] * 3, np.float32),
    }
    rows = [json.loads(row) for row in json_rows(made, outputs, np.zeros(3, bool))]
    assert [row["label_class"] for row in rows] == ["down", "far", None]
    assert rows[0]["probabilities"] == {"down": 0.5, "up": 0.25, "far": 0.25}
    flat = flat_columns(made, outputs, np.zeros(3, bool))
    assert list(flat) == ["label", "probabilities_down", "probabilities_up", "probabilities_far"]
    histogram = Histogram(made.outputs[0])
    histogram.add(outputs["label"])
    assert histogram.document()["classes"] == {"down": 1, "far": 1, "5": 1}


def test_text_labels_have_names_by_the_mapping_alone() -> None:
    named = Output(
        name="y", dtype="string", shape=(-1,), meaning="label", classes={"n": "no", "y": "yes"}
    )
    assert named.class_of == {"n": "no", "y": "yes"}
    listed = Output(name="y", dtype="string", shape=(-1,), meaning="label", classes=("n", "y"))
    assert listed.class_of == {}
