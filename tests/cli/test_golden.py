"""`quintet golden`: after a changed graph, golden rows get its outputs, or a reason why not."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from tests.kits.packages import COLUMNS, golden, graph, model_of, package
from tests.kits.schemas import valid
from typer.testing import CliRunner, Result

from quintet_cli import advice
from quintet_cli.app import app
from quintet_publish import golden_anew
from quintet_publish.golden_anew_child import findings
from quintet_publish.problems import GoldenDiffers, PackageError
from quintet_publish.release import prepare

MODELS = Path(__file__).parents[2] / "models"


def run(folder: Path, *options: str, answer: str = "") -> Result:
    """What a command printed; what it raises is raised."""
    result = CliRunner().invoke(app, ["golden", str(folder), *options], input=answer)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def changed(folder: Path, **data: Any) -> Path:
    """A package whose graph was trained anew: three times `a` in place of two times."""
    package(folder)
    (folder / "model.onnx").write_bytes(graph(3.0))
    if data:
        (folder / "golden.json").write_text(json.dumps({**golden(), **data}), encoding="utf-8")
    return folder


def stored(folder: Path) -> Any:
    return json.loads((folder / "golden.json").read_text(encoding="utf-8"))


def test_what_check_advises_mends_a_changed_graph(tmp_path: Path) -> None:
    folder = changed(tmp_path / "m", tolerance=1e-5, entities=["x", "y", "z"])
    (folder / "golden.json").chmod(0o640)
    with pytest.raises(GoldenDiffers) as stale:
        prepare(folder, lambda *_: None)
    assert advice.next_command(stale.value, ["check", str(folder)]) == f"quintet golden {folder}"
    told = run(folder, "--yes").output
    assert "y      │ 2 of 3       │ 2           │ 9.0    │ 11.5 │ 2.5" in told
    assert f"quintet publish {folder}" in told
    assert stored(folder) == {
        "columns": COLUMNS,
        "outputs": {"y": [[1.0], [5.0], [11.5]]},
        "tolerance": 1e-5,
        "entities": ["x", "y", "z"],
    }
    assert stat.S_IMODE((folder / "golden.json").stat().st_mode) == 0o640
    assert {path.name for path in folder.iterdir()} == {"golden.json", "model.onnx", "model.yaml"}
    prepare(folder, lambda *_: None)
    assert "the 3 rows agree with model.onnx; nothing to do" in run(folder).output


def test_the_changes_are_seen_before_they_are_written(tmp_path: Path) -> None:
    folder = changed(tmp_path / "m")
    before = (folder / "golden.json").read_bytes()
    with pytest.raises(Exception, match="nothing was written"):
        run(folder, answer="n\n")
    assert (folder / "golden.json").read_bytes() == before
    asked = run(folder, answer="y\n")
    assert asked.stderr.index("11.5") < asked.stderr.index("Write these outputs into golden.json?")
    assert stored(folder)["outputs"] == {"y": [[1.0], [5.0], [11.5]]}


def test_json_is_as_its_schema_says(tmp_path: Path) -> None:
    found = valid("quintet golden", run(changed(tmp_path / "m"), "--yes", "--json").stdout)
    change = {"output": "y", "rows": 2, "row": 2, "before": "9.0", "now": "11.5", "apart": 2.5}
    assert found == {"file": "golden.json", "rows": 3, "written": True, "changes": [change]}
    again = valid("quintet golden", run(tmp_path / "m", "--json").stdout)
    assert again == {"file": "golden.json", "rows": 3, "written": False, "changes": []}


@pytest.mark.parametrize("outputs", [{"score": [1, 2, 3]}, None])
def test_earlier_outputs_need_not_fit_the_contract(tmp_path: Path, outputs: Any) -> None:
    folder = changed(tmp_path / "m", outputs=outputs)
    told = run(folder, "--yes").output
    assert "no earlier outputs to compare with: golden.json: " in told
    assert stored(folder)["outputs"] == {"y": [[1.0], [5.0], [11.5]]}


def test_arrays_stay_arrays(tmp_path: Path) -> None:
    folder = changed(tmp_path / "m")
    (folder / "golden.json").unlink()
    y = np.array(golden()["outputs"]["y"], np.float32)
    columns = {name: np.array(values, np.float64) for name, values in COLUMNS.items()}
    np.savez(folder / "golden.npz", allow_pickle=False, **columns, y=y, tolerance=1e-4)
    run(folder, "--yes")
    with np.load(folder / "golden.npz") as found:
        assert {name: found[name].tolist() for name in found.files} == {
            **COLUMNS,
            "y": [[1.0], [5.0], [11.5]],
            "tolerance": 1e-4,
        }
        assert (found["a"].dtype, found["y"].dtype) == (np.float64, np.float32)
    prepare(folder, lambda *_: None)


def of_two() -> bytes:
    """Two numbers a row: the contract says one."""
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 2])
    return model_of([helper.make_node("Identity", ["x"], ["y"])], y=y)


def centred() -> bytes:
    """Subtracts the mean of the rows that are run together."""
    return model_of(
        [
            helper.make_node("ReduceMean", ["x", "both"], ["mean"], keepdims=1),
            helper.make_node("Sub", ["x", "mean"], ["apart"]),
            helper.make_node("ReduceSum", ["apart", "axis"], ["y"], keepdims=1),
        ],
        [
            helper.make_tensor("both", TensorProto.INT64, [2], [0, 1]),
            helper.make_tensor("axis", TensorProto.INT64, [1], [1]),
        ],
    )


def endless() -> bytes:
    """1 / a, which is no number for the first row."""
    one = helper.make_tensor("one", TensorProto.FLOAT, [2, 1], [1, 0])
    nodes = [
        helper.make_node("MatMul", ["x", "one"], ["a"]),
        helper.make_node("Reciprocal", ["a"], ["y"]),
    ]
    return model_of(nodes, [one])


@pytest.mark.parametrize(
    ("model", "data", "reason"),
    [
        (of_two(), {}, r"model\.yaml: outputs\.y\.shape"),
        (endless(), {}, "row 0: "),
        (b"", {}, r"model\.onnx: "),
        (b"no graph", {}, r"model\.onnx: "),
        (graph(3.0), {"columns": {"a": [1.0, 2.0], "b": [1.0, 101.0], "c": [1, 2]}}, "columns.c"),
        (graph(3.0), {"columns": {"a": [1.0, 101.0], "b": [1.0, 2.0]}}, "row 1: a: expected "),
        (graph(3.0), {"columns": {}}, "expected an object with columns"),
        (graph(3.0), {"tolerance": 1}, "tolerance: expected a number from 0 to 0.01"),
    ],
    ids=["shape", "infinite", "empty", "bytes", "column", "range", "none", "tolerance"],
)
def test_what_does_not_fit_the_contract_is_refused(
    tmp_path: Path, model: bytes, data: dict[str, Any], reason: str
) -> None:
    folder = changed(tmp_path / "m", **data)
    (folder / "model.onnx").write_bytes(model)
    with pytest.raises(PackageError, match=reason):
        findings(folder)


def test_what_publish_would_refuse_is_not_written(tmp_path: Path) -> None:
    folder = changed(tmp_path / "m")
    (folder / "model.onnx").write_bytes(centred())
    before = (folder / "golden.json").read_bytes()
    with pytest.raises(PackageError, match="row 0 depends on the rows beside it") as refused:
        run(folder, "--yes")
    assert not isinstance(refused.value, GoldenDiffers)
    assert advice.next_command(refused.value, ["golden", str(folder)]) == f"quintet golden {folder}"
    assert (folder / "golden.json").read_bytes() == before


def test_what_is_no_package_is_said(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="expected a folder with model"):
        run(tmp_path / "nowhere")


def test_a_graph_that_changes_meanwhile_is_not_mixed_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = changed(tmp_path / "m")
    found = golden_anew.golden_anew(folder)
    (folder / "model.onnx").write_bytes(graph(4.0))
    with pytest.raises(PackageError, match="changed while the rows were run"):
        golden_anew.write_golden_file(folder, found)
    assert stored(folder) == golden()


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> int:
        with path.open("wb") as file:
            file.write(content[:3])
        raise OSError(28, "No space left on device", str(path))

    folder = changed(tmp_path / "m")
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        run(folder, "--yes")
    assert stored(folder) == golden()
    assert not list(folder.glob(".golden*"))


@pytest.mark.parametrize("model", ["fraud", "tickets"])
def test_outputs_are_those_that_training_wrote(tmp_path: Path, model: str) -> None:
    folder = tmp_path / model
    folder.mkdir()
    for name in ("model.yaml", "model.onnx"):
        (folder / name).write_bytes((MODELS / model / name).read_bytes())
    written = (MODELS / model / "golden.json").read_text(encoding="utf-8")
    data = json.loads(written)
    (folder / "golden.json").write_text(json.dumps({**data, "outputs": {}}), encoding="utf-8")
    run(folder, "--yes")
    assert (folder / "golden.json").read_text(encoding="utf-8") == written
