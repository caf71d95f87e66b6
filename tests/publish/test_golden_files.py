"""Golden vectors in golden.npz, and few of them for large inputs."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper
from tests.kits.packages import COLUMNS, contract, golden, package, vectors
from tests.kits.registries import release_of

from quintet.serving.golden import Golden, golden_from_dict, packed
from quintet_publish.golden_files import read_golden
from quintet_publish.package import read_package
from quintet_publish.problems import PackageError
from quintet_publish.read_check_child import rows_at_load
from quintet_publish.release import prepare

ARRAYS = {name: np.array(values, np.float32) for name, values in COLUMNS.items()} | {
    "y": np.array(golden()["outputs"]["y"], np.float32)
}
IMAGE_YAML = """\
name: image
version: 1
task: image
features:
  - {{name: image, dtype: {dtype}, shape: [{size}, {size}, 3]}}
inputs:
  - {{name: image, dtype: {dtype}, shape: [-1, {size}, {size}, 3]}}
outputs:
  - {{name: bright, dtype: {dtype}, shape: [-1, {size}, {size}, 3], meaning: value}}
limits: {{rows: 2}}
"""


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def in_npz(folder: Path, **arrays: Any) -> Path:
    """The small package with its golden vectors as arrays."""
    package(folder)
    (folder / "golden.json").unlink()
    (folder / "golden.npz").write_bytes(npz(**arrays))
    return folder


def refusal(content: bytes) -> str:
    with pytest.raises(PackageError) as caught:
        read_golden(contract(), "golden.npz", content)
    return str(caught.value)


def image_package(folder: Path, size: int, dtype: str = "float32") -> Path:
    """A model that gives images back, with one golden row in golden.npz."""
    folder.mkdir()
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    shape: list[str | int | None] = ["rows", size, size, 3]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["image"], ["bright"])],
        "g",
        [helper.make_tensor_value_info("image", kind, shape)],
        [helper.make_tensor_value_info("bright", kind, shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    (folder / "model.yaml").write_text(IMAGE_YAML.format(size=size, dtype=dtype))
    image = np.random.default_rng(0).integers(0, 255, (1, size, size, 3)).astype(dtype)
    (folder / "golden.npz").write_bytes(npz(image=image, bright=image))
    return folder


def test_arrays_are_the_same_vectors_as_json(tmp_path: Path) -> None:
    folder = in_npz(tmp_path / "p", **ARRAYS, tolerance=np.float64(1e-5))
    found = read_package(folder)
    assert found.golden == Golden(vectors().columns, vectors().outputs, 1e-5)
    assert sorted(found.files) == ["golden.npz", "model.onnx", "model.yaml"]
    release = release_of(folder)
    assert sorted(release.files) == [
        "baseline.json",
        "contract.json",
        "golden.npz",
        "model.onnx",
        "model.yaml",
    ]
    assert golden_from_dict(release.golden) == found.golden


def test_a_float_that_is_not_a_number_is_missing() -> None:
    arrays = {"a": np.array([1.0, 2.0]), "b": np.array([np.nan, 4.0]), "y": np.array([[3], [8]])}
    found = read_golden(contract(), "golden.npz", npz(**arrays))
    assert found.columns == {"a": [1.0, 2.0], "b": [None, 4.0]}


def test_differences_name_the_file(tmp_path: Path) -> None:
    folder = in_npz(tmp_path / "p", **{**ARRAYS, "y": ARRAYS["y"] + 1})
    with pytest.raises(PackageError, match=r"golden\.npz: row 0: y\[0\]: expected 2\.0, got 1\.0;"):
        release_of(folder)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"not an archive", "golden.npz: cannot be read (File is not a zip file); expected numpy"),
        (npz(**ARRAYS | {"a": np.array([1, None, 2], object)}), "golden.npz: cannot be read (Obje"),
        (npz(**ARRAYS, z=np.zeros(3)), "golden.npz: outputs.z: is not in the contract"),
        (npz(a=ARRAYS["a"], y=ARRAYS["y"]), "golden.npz: columns: b is missing"),
        (npz(**ARRAYS | {"b": np.zeros(2)}), "golden.npz: expected lists of one and the same"),
        (npz(**ARRAYS | {"a": np.zeros(3, complex)}), "golden.npz: a: expected numbers or texts"),
        (npz(**ARRAYS, tolerance=0.5), "golden.npz: tolerance: expected a number from 0 to 0.01"),
        (npz(a=np.zeros(20_000_000, np.float64)), "golden.npz: expected at most 100,000,000 bytes"),
        (npz(a=np.zeros(20_000_000, np.int8)), "golden.npz: expected at most 10,000,000 values"),
    ],
)
def test_what_is_no_golden_npz_is_named(content: bytes, text: str) -> None:
    assert refusal(content).startswith(text)


def test_one_name_for_a_feature_and_an_output_needs_json() -> None:
    output = replace(contract().outputs[0], name="a")
    with pytest.raises(PackageError, match=r"a could mean two things there; use golden\.json$"):
        read_golden(replace(contract(), outputs=(output,)), "golden.npz", npz(a=np.zeros(3)))


def test_both_files_are_refused(tmp_path: Path) -> None:
    folder = package(tmp_path / "p")
    (folder / "golden.npz").write_bytes(npz(**ARRAYS))
    with pytest.raises(PackageError, match=r"^golden\.npz: expected golden vectors in one file, "):
        read_package(folder)


# ---- large rows ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_one_golden_row_of_a_large_input_is_enough(tmp_path: Path, dtype: str) -> None:
    warnings: list[str] = []
    folder = image_package(tmp_path / "p", 200, dtype)
    release = prepare(folder, lambda step, detail: None, warnings.append)
    assert warnings == []
    # base64 of the values, not their digits
    width = 200 * 200 * 3 * np.dtype(dtype).itemsize
    assert len(json.dumps(release.golden)) < 2 * (width * 4 / 3 + 200)
    image = np.load(folder / "golden.npz")["image"]
    assert golden_from_dict(release.golden).columns["image"] == image.tolist()


def test_large_rows_are_few_at_load() -> None:
    """Of small rows a manifest keeps eight, of the others as many as have 200,000 values."""
    assert [rows_at_load(width) for width in (1, 25_000, 60_000, 1_000_000)] == [8, 8, 3, 1]


def test_small_rows_stay_readable() -> None:
    assert packed(contract(), vectors()) == vectors().to_dict()


@pytest.mark.parametrize(
    "values",
    [
        [[0.1] * 300, [1e-9] * 300],  # digits beyond float32
        [[1.5] * 300, [None] * 300],
        [[2.0] * 300, [3.0] * 299],
    ],
)
def test_packing_loses_nothing(values: Any) -> None:
    feature = replace(contract().features[0], shape=(300,))
    large = replace(contract(), features=(feature, contract().features[1]))
    one = Golden({"a": values, "b": [1.0, 2.0]}, {"y": [[1.0], [2.0]]})
    assert golden_from_dict(json.loads(json.dumps(packed(large, one)))) == one
