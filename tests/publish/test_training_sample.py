"""Training data go through the contract and the model before a package is published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.kits.packages import MODEL_YAML, golden, graph, model_of, package

from quintet.contract import Contract
from quintet_publish.child import Limits
from quintet_publish.kit import write_table
from quintet_publish.load_check import load_check
from quintet_publish.model_yaml import read_contract
from quintet_publish.problems import PackageError
from quintet_publish.release import prepare

RANDOM = np.random.default_rng(7)
A = RANDOM.uniform(0, 10, 400).astype(np.float32)
B = RANDOM.uniform(0, 10, 400).astype(np.float32)


def trained(folder: Path, columns: dict[str, Any], extra: str = "", swap: bool = False) -> Path:
    """A package with training data; `swap` puts its features in the wrong order."""
    made = package(folder, extra=f"training_data: data.parquet\n{extra}")
    write_table(made / "data.parquet", columns)
    if swap:
        text = (made / "model.yaml").read_text().replace("features: [a, b]", "features: [b, a]")
        (made / "model.yaml").write_text(text)
        rows = zip(golden()["columns"]["a"], golden()["columns"]["b"], strict=True)
        outputs = {"y": [[2 * b + a] for a, b in rows]}
        (made / "golden.json").write_text(json.dumps({**golden(), "outputs": outputs}))
    return made


def checked(folder: Path) -> tuple[dict[str, str], list[str]]:
    ticks: dict[str, str] = {}
    warnings: list[str] = []
    prepare(folder, ticks.__setitem__, warnings.append)
    return ticks, warnings


def test_rows_that_the_contract_refuses_are_counted_by_reason(tmp_path: Path) -> None:
    a = A.copy()
    a[:30] = 101
    a[30:40] = np.nan
    ticks, warnings = checked(trained(tmp_path / "p", {"a": a, "b": B}))
    assert warnings == [
        "data.parquet: 40 of 400 rows would be refused: 30 for a: expected a number from 0 to "
        "100; 10 for a: expected a number (float32)"
    ]
    assert ticks["training data"] == "360 of 400 rows are as the contract says"


def test_data_that_is_refused_whole_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PackageError) as caught:
        checked(trained(tmp_path / "p", {"a": A + 200, "b": B}))
    assert str(caught.value) == (
        "data.parquet: 400 of 400 rows would be refused: 400 for a: expected a number from 0 to 100"
    )


def test_text_in_a_column_of_numbers_is_refused(tmp_path: Path) -> None:
    texts = np.array([str(value) for value in A], object)
    with pytest.raises(PackageError, match="400 of 400 rows would be refused: 400 for a: expected"):
        checked(trained(tmp_path / "p", {"a": texts, "b": B}))
    texts[3] = "many"
    with pytest.raises(PackageError, match=r"data\.parquet: a: expected float32"):
        checked(trained(tmp_path / "q", {"a": texts, "b": B}))


def test_the_target_measures_the_outputs(tmp_path: Path) -> None:
    columns = {"a": A, "b": B, "right": 2 * A + B + 1}
    ticks, _ = checked(trained(tmp_path / "p", columns, "training_target: right\n"))
    assert ticks["training data"] == "400 of 400 rows are as the contract says, RMSE 1"
    columns["right"] = (2 * A + B > 15).astype(np.int64)
    ticks, _ = checked(trained(tmp_path / "q", columns, "training_target: right\n"))
    assert ticks["training data"].endswith(", AUC 1")


@pytest.mark.parametrize("kind", ["RMSE", "AUC"])
def test_two_features_in_each_others_place_are_found(tmp_path: Path, kind: str) -> None:
    right = 2 * A + B if kind == "RMSE" else (2 * A + B > 15).astype(np.int64)
    columns = {"a": A, "b": B, "right": right}
    with pytest.raises(PackageError) as caught:
        checked(trained(tmp_path / "p", columns, "training_target: right\n", swap=True))
    text = str(caught.value)
    assert text.startswith("model.yaml: inputs.x.features: with b and a swapped, the training data")
    assert kind in text
    assert text.endswith("expected the order of the graph")
    # without the column of right answers nobody can tell
    checked(trained(tmp_path / "q", columns, swap=True))


def test_a_target_that_the_data_lack_is_named(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="expected the column right, which `training_target`"):
        checked(trained(tmp_path / "p", {"a": A, "b": B}, "training_target: right\n"))
    folder = package(tmp_path / "q", extra="training_target: right\n")
    with pytest.raises(PackageError, match="training_target: needs `training_data`"):
        checked(folder)


def test_classes_are_matched_by_name_or_label(tmp_path: Path) -> None:
    text = """\
name: kinds
version: 1
task: classification
features: [{name: a, dtype: float32}, {name: b, dtype: float32}]
inputs: [{name: x, dtype: float32, shape: [-1, 2], features: [a, b]}]
outputs:
  - {name: y, dtype: float32, shape: [-1, 2], meaning: probabilities, classes: [low, high]}
training_data: data.csv
training_target: kind
"""
    softmax = model_of(
        [helper.make_node("Softmax", ["x"], ["y"], axis=1)],
        y=helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 2]),
    )
    folder = tmp_path / "p"
    folder.mkdir()
    (folder / "model.yaml").write_text(text)
    (folder / "model.onnx").write_bytes(softmax)
    (folder / "golden.json").write_text(
        json.dumps(
            {"columns": {"a": [1.0, 0.0], "b": [1.0, 0.0]}, "outputs": {"y": [[0.5, 0.5]] * 2}}
        )
    )
    for names in (("low", "high"), ("0", "1")):
        lines = [f"{a},{b},{names[int(b > a)]}" for a, b in zip(A, B, strict=True)]
        (folder / "data.csv").write_text("\n".join(["a,b,kind", *lines]))
        ticks, _ = checked(folder)
        assert ticks["training data"].endswith("AUC 1")


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        (1, "golden.json has one row: about twenty, with the edges of each feature, show more"),
        (3, "golden.json has 3 rows, all alike: they show what one row shows"),
    ],
)
def test_golden_rows_that_show_little_are_warned_of(tmp_path: Path, rows: int, found: str) -> None:
    folder = package(tmp_path / "p")
    data = {"columns": {"a": [1.0] * rows, "b": [2.0] * rows}, "outputs": {"y": [[4.0]] * rows}}
    (folder / "golden.json").write_text(json.dumps(data))
    assert checked(folder)[1] == [found]


# ---- the largest request -------------------------------------------------------------------------


def heavy(floats_a_row: int) -> bytes:
    """y = x @ w, beside a tensor of so many float32 for each row."""
    weights = numpy_helper.from_array(np.array([[2.0], [1.0]], np.float32), "w")
    return model_of(
        [
            helper.make_node("MatMul", ["x", "w"], ["plain"]),
            helper.make_node("Unsqueeze", ["plain", "last"], ["deep"]),
            helper.make_node("Expand", ["deep", "many"], ["big"]),
            helper.make_node("ReduceMin", ["big", "last"], ["least"], keepdims=0),
            helper.make_node("Identity", ["least"], ["y"]),
        ],
        [
            weights,
            helper.make_tensor("last", TensorProto.INT64, [1], [2]),
            helper.make_tensor("many", TensorProto.INT64, [3], [1, 1, floats_a_row]),
        ],
    )


def limited(rows: int) -> Contract:
    text = MODEL_YAML.format(name="small", version=1) + f"limits: {{rows: {rows}}}\n"
    return read_contract(text.encode())


def test_a_request_within_the_limits_that_serving_cannot_hold_is_refused() -> None:
    content = json.dumps(golden()).encode()
    with pytest.raises(PackageError) as caught:
        load_check(heavy(1_000_000), limited(1000), content, Limits(memory=1_000_000_000))
    text = str(caught.value)
    assert text.startswith("model.yaml: limits.rows: ")
    assert "rows took over 1 GB of memory; " in text
    assert "48 rows fit and take " in text or "192 rows fit and take " in text
    checked = load_check(heavy(1_000_000), limited(48), content, Limits(memory=1_000_000_000))
    assert checked.full_rows == 48
    assert 150_000_000 < checked.memory < 1_000_000_000


def test_a_request_within_the_limits_that_takes_too_long_is_refused() -> None:
    content = json.dumps(golden()).encode()
    with pytest.raises(PackageError) as caught:
        load_check(heavy(300_000), limited(1000), content, request_seconds=0.01)
    text = str(caught.value)
    assert text.startswith("model.yaml: limits.rows: ")
    assert "s, a request has 0.01 s; " in text
    assert text.endswith("ms: lower it to at most that")


def test_the_rows_of_the_contract_are_always_reached() -> None:
    content = json.dumps(golden()).encode()
    checked = load_check(graph(), limited(1_000_000), content)
    assert checked.full_rows == 1_000_000
