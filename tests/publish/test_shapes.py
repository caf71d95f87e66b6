"""Packages of models with free axes, constants, other axes of rows, and one row at a time."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from arro3 import core
from arro3.io import write_parquet
from onnx import TensorProto, helper
from tests.kits import packages
from tests.kits.packages import parsed
from tests.kits.shapes import (
    EXPORTED,
    FOUND,
    IMAGE,
    PADDED,
    QUANTISED,
    TOKENS,
    Shaped,
    graph_of,
    package,
    write_contract,
)

from quintet.columns import ragged
from quintet.contract import Limits, Slo, from_dict
from quintet.formats.writers import list_column
from quintet_publish.graph_checks import check_graph
from quintet_publish.largest import too_slow
from quintet_publish.problems import PackageError
from quintet_publish.release import prepare


def refused(folder: Path) -> list[str]:
    with pytest.raises(PackageError) as caught:
        prepare(folder, lambda step, detail: None)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    "shaped",
    [TOKENS, IMAGE, PADDED, FOUND, EXPORTED],
    ids=["tokens", "image", "padded", "found", "exported"],
)
def test_publishes(tmp_path: Path, shaped: Shaped) -> None:
    folder = package(tmp_path / "p", shaped)
    steps: dict[str, str] = {}
    release = prepare(folder, steps.__setitem__)
    assert from_dict(json.loads(release.files["contract.json"])) == release.contract
    golden = json.loads(release.files["golden.json"])["outputs"]
    for row, given in enumerate(shaped.rows):
        for output, expected in shaped.alone(given).items():
            written = np.array(golden[output][row], expected.dtype)
            np.testing.assert_array_equal(written.ravel(), expected.ravel())
    by_one = ", 20 rows one by one in " in steps["golden vectors"]
    assert by_one == (shaped.contract.rows == "one")


def test_the_largest_row_is_run(tmp_path: Path) -> None:
    folder = package(tmp_path / "p", TOKENS)
    kept, total = TOKENS.contract.outputs
    write_contract(folder, replace(TOKENS.contract, outputs=(replace(kept, max=5), total)))
    assert refused(folder) == [
        "golden.json: row 4: kept: expected an output of shape [up to 5], got shape [6]"
    ]
    graph = graph_of(
        [
            helper.make_node("Add", ["tokens", "three"], ["kept"]),
            helper.make_node("ReduceSum", ["mask", "last"], ["total"], keepdims=0),
        ],
        {"tokens": ("int64", ["rows", "length"]), "mask": ("int64", ["rows", "length"])},
        {"kept": ("int64", ["rows", "length"]), "total": ("int64", ["rows"])},
        {"last": np.array([-1]), "three": np.zeros((1, 3), np.int64)},
    )
    shaped = Shaped(TOKENS.contract, graph, [TOKENS.rows[0]])
    (found,) = refused(package(tmp_path / "three", shaped))
    assert found.startswith(
        "model.yaml: features: the largest row of the contract (tokens [6], mask [6]) fails: "
    )


def test_one_row_at_a_time_keeps_the_service_level(tmp_path: Path) -> None:
    folder = package(tmp_path / "p", QUANTISED)
    write_contract(folder, replace(QUANTISED.contract, slo=Slo(p95_ms=0.0001)))
    (found,) = refused(folder)
    assert found.startswith(
        "model.yaml: limits.rows: with rows: one, 1,000 rows take 1,000 runs of "
    )
    assert found.endswith("slo.p95_ms is 0.0001: raise slo.p95_ms")


def test_the_rows_that_fit_the_service_level_are_proposed() -> None:
    contract = replace(QUANTISED.contract, slo=Slo(p95_ms=200), limits=Limits(rows=100))
    assert [*too_slow(contract, 200.0, 29)] == []
    assert [*too_slow(contract, 800.0, 29)] == [
        "with rows: one, 100 rows take 100 runs of 8 ms, 0.8 s in all; slo.p95_ms is 200: lower "
        "it to at most 25, or raise slo.p95_ms"
    ]
    assert [*too_slow(replace(contract, rows="many"), 800.0, 29)] == []
    assert [*too_slow(replace(contract, slo=Slo(p95_ms=60_000)), 40_000.0, 29)] == [
        "with rows: one, 100 rows take 100 runs of 400 ms, 40 s in all; a request has 29 s: "
        "lower it to at most 72"
    ]


@pytest.mark.parametrize(
    ("declared", "rows", "found"),
    [
        (
            [1, 2],
            "many",
            "expected a graph of variable rows, its dimension 0 is 1; export it with a dynamic "
            "batch (torch: `dynamic_shapes=({0: 'rows'},)`), or set `rows: one`, which runs each "
            "row alone",
        ),
        (
            [4, 2],
            "one",
            "expected a graph of variable rows, its dimension 0 is 4; export it with a dynamic "
            "batch (torch: `dynamic_shapes=({0: 'rows'},)`)",
        ),
        (
            [2],
            "many",
            "is [-1, 2], the graph's is [2]; a graph without a dimension for the rows "
            "takes `rows: one`",
        ),
        ([3], "one", "is [-1, 2], the graph's is [3]"),
        (None, "one", "expected a graph that declares its dimensions, for `rows: one`"),
    ],
)
def test_a_graph_of_other_rows_is_told_how_to_go_on(declared: Any, rows: Any, found: str) -> None:
    graph = parsed(QUANTISED.graph)
    graph.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", TensorProto.FLOAT, declared))
    with pytest.raises(PackageError) as caught:
        check_graph(replace(QUANTISED.contract, rows=rows), graph)
    assert str(caught.value) == f"model.yaml: inputs.x.shape: {found}"


def test_training_data_may_differ_in_shape(tmp_path: Path) -> None:
    folder = package(tmp_path / "p", TOKENS)
    rows = [*TOKENS.rows, {"tokens": [7] * 7, "mask": [1] * 7}]
    columns = {
        name: list_column(ragged([np.array(row[name], np.int64) for row in rows]), "int64", 1)
        for name in ("tokens", "mask")
    }
    target = core.Array.from_numpy(np.array([12.0, 9, 6, 0, 6, 0]))
    write_parquet(core.Table.from_pydict({**columns, "answer": target}), folder / "rows.parquet")
    text = (folder / "model.yaml").read_text()
    contract = from_dict(json.loads(text) | {"training_data": "rows.parquet"})
    write_contract(folder, replace(contract, training_target="answer"))
    steps: dict[str, str] = {}
    warnings: list[str] = []
    release = prepare(folder, steps.__setitem__, warnings.append)
    assert warnings == [
        "rows.parquet: 1 of 6 rows would be refused: 1 for tokens: expected an array of shape [up "
        "to 6] of int64; 1 for mask: expected an array of shape [up to 6] of int64"
    ]
    assert steps["training data"] == "5 of 6 rows are as the contract says, RMSE 0"
    tokens = json.loads(release.files["baseline.json"])["features"]["tokens"]
    assert sum(tokens["counts"]) == sum(len(row["tokens"]) for row in rows)


def test_rows_that_depend_on_each_other_need_runs_of_their_own(tmp_path: Path) -> None:
    folder = package(tmp_path / "p", QUANTISED)
    write_contract(folder, replace(QUANTISED.contract, rows="many"))
    assert "`rows: one`" in refused(folder)[-1]


def test_a_declared_rank_of_an_output_is_not_relied_on(tmp_path: Path) -> None:
    """CatBoost's exporter declares [-1] for what its graph returns as [-1, 1]."""
    folder = packages.package(tmp_path / "p")
    declared = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows"])
    (folder / "model.onnx").write_bytes(packages.graph(y=declared))
    prepare(folder, lambda step, detail: None)
    text = (folder / "model.yaml").read_text()
    (folder / "model.yaml").write_text(text.replace("shape: [-1, 1]", "shape: [-1]"))
    assert refused(folder) == [
        "model.onnx: the model's output y is float32 [3, 1]; its contract says float32 [3]"
    ]
