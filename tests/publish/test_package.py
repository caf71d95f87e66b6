"""A package's folder: what is read of it, what is missing, and whether graph and contract agree."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from tests.kits.packages import contract, golden, graph, model_of, package, parsed, vectors
from tests.kits.shapes import STATE, graph_of

from quintet.contract import from_dict, to_dict
from quintet.manifest import digest_of, sha256
from quintet.serving.golden import Golden
from quintet_publish import kit
from quintet_publish.graph_checks import check_graph
from quintet_publish.package import read_package
from quintet_publish.problems import PackageError
from quintet_publish.release import prepare


def refusals(folder: Path) -> list[str]:
    with pytest.raises(PackageError) as caught:
        read_package(folder)
    return [str(problem) for problem in caught.value.problems]


def test_reads_every_file_once(tmp_path: Path) -> None:
    folder = package(tmp_path / "p", extra="training_data: data/rows.csv\n")
    (folder / "data").mkdir()
    (folder / "data" / "rows.csv").write_text("a,b\n1,2\n")
    (folder / "train.py").write_text("not published")
    found = read_package(folder)
    assert found.contract.name == "small"
    assert found.golden == vectors()
    assert {path: content[:9] for path, content in found.files.items()} == {
        "model.yaml": b"name: sma",
        "model.onnx": graph()[:9],
        "golden.json": b'{"columns',
        "data/rows.csv": b"a,b\n1,2\n",
    }


def test_the_digest_is_of_the_sources_alone(tmp_path: Path) -> None:
    one, other = package(tmp_path / "one"), package(tmp_path / "other")
    (other / "train.py").write_text("differs, and is not part of it")
    assert read_package(one).digest == read_package(other).digest
    assert read_package(package(tmp_path / "third", factor=3.0)).digest != read_package(one).digest


def test_the_digests_form() -> None:
    # the form of `sha256sum`, so that a shell can check it
    sources = {"b": sha256(b"2"), "a": sha256(b"1")}
    lines = f"{sha256(b'1')}  a\n{sha256(b'2')}  b\n"
    assert digest_of(sources) == sha256("".join(sorted(lines.splitlines(True))).encode())


@pytest.mark.parametrize("name", ["model.yaml", "model.onnx", "golden.json"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    folder = package(tmp_path / "p")
    (folder / name).unlink()
    assert refusals(folder) == [f"{name}: is missing from the package's folder"]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "nothing"
    assert refusals(folder) == [f"{folder}: expected a folder with model.yaml and model.onnx"]


def test_training_data_has_a_known_suffix(tmp_path: Path) -> None:
    folder = package(tmp_path / "p", extra="training_data: rows.xlsx\n")
    assert refusals(folder) == [
        "model.yaml: training_data: expected a file ending in .csv or .parquet"
    ]


# ---- golden vectors ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{", "golden.json: is not JSON: Expecting property name enclosed in double quotes"),
        (
            '{"a": NaN}',
            "golden.json: is not JSON: NaN is not a number that JSON has; a missing value is null",
        ),
        ("[" * 100_000, "golden.json: is not JSON: nested too deep"),
        ("[]", "golden.json: expected an object with columns and outputs"),
        ("{}", "golden.json: expected an object with columns and outputs"),
    ],
)
def test_golden_vectors_that_are_no_vectors(tmp_path: Path, text: str, found: str) -> None:
    folder = package(tmp_path / "p")
    (folder / "golden.json").write_text(text)
    (problem,) = refusals(folder)
    assert problem.startswith(found)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        (
            {"columns": {"a": [1.0], "c": [1.0]}, "outputs": {"y": [[1.0]]}},
            [
                "golden.json: columns.c: is not in the contract",
                "golden.json: columns: b is missing",
            ],
        ),
        (
            {"outputs": {"z": [[1.0]] * 3}},
            [
                "golden.json: outputs.z: is not in the contract",
                "golden.json: outputs: y is missing",
            ],
        ),
        (
            {"outputs": {"y": [[1.0]]}},
            ["golden.json: expected lists of one and the same length, at least 1"],
        ),
        (
            {"columns": {"a": [], "b": []}, "outputs": {"y": []}},
            ["golden.json: expected lists of one and the same length, at least 1"],
        ),
        (
            {"columns": {"a": 1, "b": 1}},
            ["golden.json: expected lists of one and the same length, at least 1"],
        ),
        (
            {"tolerance": 0.5},
            ["golden.json: tolerance: expected a number from 0 to 0.01"],
        ),
        (
            {"tolerence": 1e-3},
            [
                "golden.json: tolerence: expected one of columns, outputs, tolerance, entities; "
                "do you mean tolerance?"
            ],
        ),
        (
            {"columns": {"a": [1.0, None, 2.0], "b": [None] * 3}},
            [
                "golden.json: columns.a: row 1: null, and the feature is required; if values may "
                "be missing, give it missing: nan (the model gets NaN) or a default in model.yaml"
            ],
        ),
        (
            {"outputs": {"y": [[1.0], [None], [2.0]]}},
            ["golden.json: outputs.y: row 1: expected float32, got [None]"],
        ),
        (
            {"outputs": {"y": [[1.0], [[2.0], 3.0], {}]}},
            ["golden.json: outputs.y: row 1: expected float32, got [[2.0], 3.0]"],
        ),
    ],
)
def test_golden_vectors_of_another_contract(
    tmp_path: Path, changes: dict[str, Any], found: list[str]
) -> None:
    folder = package(tmp_path / "p")
    (folder / "golden.json").write_text(json.dumps({**golden(), **changes}))
    assert refusals(folder) == found


@pytest.mark.parametrize("value", ["[" * 900 + "1" + "]" * 900, "9" * 5000, "{}", '"x"', "true"])
def test_odd_golden_outputs_are_refused(tmp_path: Path, value: str) -> None:
    folder = package(tmp_path / "p")
    content = json.dumps(golden()).replace("[[1.0]", f"[[{value}]")
    (folder / "golden.json").write_text(content)
    (found,) = refusals(folder)
    assert found.startswith(("golden.json: outputs.y: row 0: expected", "golden.json: is not JSON"))


def test_a_path_of_training_data_with_a_nul_is_refused(tmp_path: Path) -> None:
    folder = package(tmp_path / "p", extra='training_data: "a\\0.csv"\n')
    (found,) = refusals(folder)
    assert found == "model.yaml: expected the path of a file, got 'a\\x00.csv'"


def test_golden_vectors_that_overflow_are_refused(tmp_path: Path) -> None:
    folder = package(tmp_path / "p")
    text = json.dumps(golden()).replace("4.0", "1e999")
    (folder / "golden.json").write_text(text)
    assert refusals(folder) == ["golden.json: expected finite numbers"]


# ---- the graph -----------------------------------------------------------------------------------


def differences(content: bytes) -> list[str]:
    with pytest.raises(PackageError) as caught:
        check_graph(contract(), parsed(content))
    return [str(problem).removeprefix("model.yaml: ") for problem in caught.value.problems]


def tensor(name: str, kind: int, shape: list[Any] | None) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def test_a_graph_as_the_contract_says_passes() -> None:
    check_graph(contract(), parsed(graph()))


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        (
            {"x": tensor("z", TensorProto.FLOAT, ["rows", 2])},
            [
                "inputs.x: the graph's inputs are z",
                "inputs: the graph's input z is not in the contract; an input whose value is the "
                "same for every row is a constant: `constants: {z: 16000}`",
            ],
        ),
        (
            {"x": tensor("x", TensorProto.DOUBLE, ["rows", 2])},
            ["inputs.x.dtype: is float32, the graph's is float64"],
        ),
        (
            {"x": tensor("x", TensorProto.BFLOAT16, ["rows", 2])},
            ["inputs.x.dtype: is float32, the graph's is bfloat16"],
        ),
        (
            {"x": tensor("x", TensorProto.FLOAT, ["rows", 3])},
            ["inputs.x.shape: is [-1, 2], the graph's is [-1, 3]"],
        ),
        (
            {"x": tensor("x", TensorProto.FLOAT, ["rows", 2, 1])},
            ["inputs.x.shape: is [-1, 2], the graph's is [-1, 2, 1]"],
        ),
        (
            {"x": tensor("x", TensorProto.FLOAT, [1, 2])},
            [
                "inputs.x.shape: expected a graph of variable rows, its dimension 0 is 1; "
                "export it with a dynamic batch (torch: `dynamic_shapes=({0: 'rows'},)`), or set "
                "`rows: one`, which runs each row alone"
            ],
        ),
        (
            {"x": tensor("x", TensorProto.FLOAT, [2, "rows"])},
            [
                "inputs.x.shape: expected a graph of variable rows, its dimension 0 is 2; "
                "export it with a dynamic batch (torch: `dynamic_shapes=({0: 'rows'},)`), or set "
                "`batch_axis: 1` if its variable dimension 1 is the rows"
            ],
        ),
        (
            {"y": tensor("q", TensorProto.FLOAT, ["rows", 1])},
            ["outputs.y: the graph's outputs are q"],
        ),
        (
            {"y": tensor("y", TensorProto.INT64, ["rows", 4])},
            [
                "outputs.y.dtype: is float32, the graph's is int64",
                "outputs.y.shape: is [-1, 1], the graph's is [-1, 4]",
            ],
        ),
        (
            {"y": helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, [None])},
            [
                "outputs.y: the graph has no tensor there, but a sequence or a map. For a "
                "classifier's ZipMap, export with the option zipmap=False, or let "
                "`quintet_publish.kit.clean` cut it (from CatBoost, which has no such option); an "
                "output that clients do not need may be left out of the contract"
            ],
        ),
    ],
)
def test_every_difference_is_named(changes: dict[str, Any], found: list[str]) -> None:
    assert differences(graph(**changes)) == found


@pytest.mark.parametrize(
    ("constant", "shape", "found"),
    [
        ("loud", [], "constants.rate: expected float32, as the graph's input is, got 'loud'"),
        ([1, 2], [3], "constants.rate: expected 3 values for the graph's shape [3], got 2"),
        (1, ["n"], "constants.rate: expected a list, as the graph's input has the shape [-1]"),
        ([1], ["n", 2], "constants.rate: expected an input of a fixed shape, the graph's is [-1"),
    ],
)
def test_a_constant_fits_its_input(constant: Any, shape: list[Any], found: str) -> None:
    content = graph_of(
        [helper.make_node("Mul", ["x", "rate"], ["y"])],
        {"x": ("float32", ["rows", 2]), "rate": ("float32", shape)},
        {"y": ("float32", ["rows", 1])},
    )
    with pytest.raises(PackageError) as caught:
        check_graph(replace(contract(), constants={"rate": constant}), parsed(content))
    assert str(caught.value).startswith(f"model.yaml: {found}")


def test_a_constant_is_of_an_input() -> None:
    with pytest.raises(PackageError) as caught:
        check_graph(replace(contract(), constants={"rate": 1}), parsed(graph()))
    assert str(caught.value) == "model.yaml: constants.rate: the graph's inputs are x"


def test_rows_on_another_axis_and_constants_publish(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    folder.mkdir()
    columns = {name: np.array([row[name] for row in STATE.rows]) for name in ("x", "state")}
    model = kit.clean(parsed(STATE.graph), STATE.contract)
    kit.save(folder, STATE.contract, model, golden=columns, metrics={})
    (folder / "model.yaml").write_text(json.dumps(to_dict(STATE.contract)))
    release = prepare(folder, lambda step, detail: None)
    assert release.contract == STATE.contract
    assert from_dict(json.loads(release.files["contract.json"])) == STATE.contract
    golden = json.loads(release.files["golden.json"])["outputs"]
    assert golden["y"] == [[16 * row, 8.0] for row in range(4)]
    assert golden["state_out"][1] == [[2.5, 2.5, 3.5], [4.5, 5.5, 2.5]]


def test_what_the_graph_leaves_open_is_left_to_the_run() -> None:
    check_graph(contract(), parsed(graph(y=tensor("y", TensorProto.FLOAT, None))))
    check_graph(contract(), parsed(graph(x=tensor("x", TensorProto.FLOAT, [None, None]))))
    # LightGBM's converter declares one row of labels, whatever the batch
    check_graph(contract(), parsed(graph(y=tensor("y", TensorProto.FLOAT, [1, 1]))))


def test_rows_that_the_graph_fixes_within_are_found_by_running(tmp_path: Path) -> None:
    folder = package(tmp_path / "p")
    fixed = model_of(
        [
            helper.make_node("ReduceSum", ["x", "axis"], ["sums"], keepdims=1),
            helper.make_node("Gather", ["sums", "first"], ["y"], axis=0),
        ],
        [
            helper.make_tensor("axis", TensorProto.INT64, [1], [1]),
            helper.make_tensor("first", TensorProto.INT64, [1], [0]),
        ],
    )
    (folder / "model.onnx").write_bytes(fixed)
    with pytest.raises(PackageError) as caught:
        prepare(folder, lambda step, detail: None)
    assert str(caught.value) == (
        "model.onnx: the model's output y is float32 [1, 1]; its contract says float32 [3, 1]"
    )


# ---- a release -----------------------------------------------------------------------------------


def test_a_release_has_everything_to_store(tmp_path: Path) -> None:
    steps: list[str] = []
    release = prepare(package(tmp_path / "p"), lambda step, detail: steps.append(step))
    assert steps == ["contract", "safety", "graph", "golden vectors", "tolerance", "baseline"]
    assert sorted(release.files) == [
        "baseline.json",
        "contract.json",
        "golden.json",
        "model.onnx",
        "model.yaml",
    ]
    assert json.loads(release.files["contract.json"])["features"][0]["name"] == "a"
    assert release.golden == Golden(**golden()).to_dict()
    assert sorted(release.sources) == ["golden.json", "model.onnx", "model.yaml"]
