"""Tolerances: the noise of a graph is measured, and told from rows that depend on each other."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.kits.packages import COLUMNS, contract, graph, model_of, package, vectors

from quintet.onnx_model import OnnxModel
from quintet.serving.golden import Difference, Golden, score_columns
from quintet_publish.load_check import load_check
from quintet_publish.noise import dependence, margin, measure
from quintet_publish.problems import PackageError
from quintet_publish.release import prepare
from quintet_publish.tolerance import Noise, advice, noise_warning, proposed_tolerance


def noisy() -> bytes:
    """sin(37.7 * ((0.3 * x) @ w)), which onnxruntime's optimised form sums in another order."""
    numbers: dict[str, Any] = {"scale": 0.3, "w": [[1.1], [7.7]], "steep": 37.7}
    return model_of(
        [
            helper.make_node("Mul", ["x", "scale"], ["scaled"]),
            helper.make_node("MatMul", ["scaled", "w"], ["sum"]),
            helper.make_node("Mul", ["sum", "steep"], ["angle"]),
            helper.make_node("Sin", ["angle"], ["y"]),
        ],
        [
            numpy_helper.from_array(np.array(value, np.float32), name)
            for name, value in numbers.items()
        ],
    )


def centred() -> bytes:
    """Subtracts the mean of the batch: rows depend on each other."""
    return model_of(
        [
            helper.make_node("ReduceMean", ["x", "both"], ["mean"], keepdims=1),
            helper.make_node("Sub", ["x", "mean"], ["centred"]),
            helper.make_node("ReduceSum", ["centred", "axis"], ["y"], keepdims=1),
        ],
        [
            helper.make_tensor("both", TensorProto.INT64, [2], [0, 1]),
            helper.make_tensor("axis", TensorProto.INT64, [1], [1]),
        ],
    )


def own(content: bytes, *, times: float = 1.0, tolerance: float = 1e-6) -> Golden:
    """The graph's own outputs as golden vectors, multiplied by a number."""
    found = score_columns(OnnxModel(contract(), content), COLUMNS).outputs["y"]
    outputs = [[float(str(value)) * times for value in row] for row in found]
    return Golden(dict(COLUMNS), {"y": outputs}, tolerance)


def problems(content: bytes, golden: Golden) -> list[str]:
    with pytest.raises(PackageError) as caught:
        load_check(content, contract(), json.dumps(golden.to_dict()).encode())
    return [str(problem).removeprefix("golden.json: ") for problem in caught.value.problems]


# ---- measuring -----------------------------------------------------------------------------------


def test_a_graph_of_exact_sums_has_no_noise() -> None:
    model = OnnxModel(contract(), graph())
    assert measure(model, graph(), vectors()).largest == 0.0
    assert dependence(model, vectors()) is None
    assert margin(model, vectors()) == 0.0


def test_noise_is_the_difference_between_two_ways_to_run() -> None:
    golden = own(noisy())
    found = measure(OnnxModel(contract(), noisy()), noisy(), golden)
    assert (found.ways, found.flipping) == ("with and without graph optimisation", "")
    assert 1e-6 < found.largest < 1e-3
    assert dependence(OnnxModel(contract(), noisy()), golden) is None


def test_rows_that_depend_on_each_other_are_found_exactly() -> None:
    found = dependence(OnnxModel(contract(), centred()), own(centred()))
    # -2.5 among the golden rows, whose mean is 1.75; nothing among copies of itself
    assert found is not None
    assert (found.row, found.output, found.expected, found.got) == (0, "y[0]", "0.0", "-2.5")


def test_a_label_that_flips_is_named() -> None:
    """Whether the noisy output is one certain float depends on how the graph is run."""
    golden = own(noisy())
    edge = np.float32(golden.outputs["y"][2][0])
    sign = model_of(
        [
            helper.make_node("Mul", ["x", "scale"], ["scaled"]),
            helper.make_node("MatMul", ["scaled", "w"], ["sum"]),
            helper.make_node("Mul", ["sum", "steep"], ["angle"]),
            helper.make_node("Sin", ["angle"], ["height"]),
            helper.make_node("Equal", ["height", "edge"], ["same"]),
            helper.make_node("Cast", ["same"], ["y"], to=TensorProto.INT64),
        ],
        [
            numpy_helper.from_array(np.array(value, np.float32), name)
            for name, value in {
                "scale": 0.3,
                "w": [[1.1], [7.7]],
                "steep": 37.7,
                "edge": edge,
            }.items()
        ],
        y=helper.make_tensor_value_info("y", TensorProto.INT64, ["rows", 1]),
    )
    output = replace(contract().outputs[0], dtype="int64", meaning="value")
    labels = replace(contract(), outputs=(output,))
    model = OnnxModel(labels, sign)
    values = score_columns(model, COLUMNS).outputs["y"].tolist()
    assert measure(model, sign, Golden(dict(COLUMNS), {"y": values})).flipping == "y"


# ---- deciding ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("noise", "tolerance"),
    [(0.0, 1e-6), (2e-7, 1e-6), (3e-7, 2e-6), (1.2e-5, 5e-5), (2.4e-3, 0.01), (2.6e-3, None)],
)
def test_a_tolerance_has_room_above_the_noise(noise: float, tolerance: float | None) -> None:
    assert proposed_tolerance(noise) == tolerance


def difference(apart: float | None) -> Difference:
    return Difference(0, "y", "1.0", "2.0", apart, 1.0, 1e-6)


NOISE = Noise(2e-5, "alone and together")


@pytest.mark.parametrize(
    ("apart", "dependent", "text"),
    [
        (
            3e-5,
            None,
            "float noise: alone and together, the graph's own outputs differ by up to 2e-05; "
            'set "tolerance": 0.0001',
        ),
        (
            1e-3,
            None,
            "no float noise, which is 2e-05 for this graph: the expected outputs are another "
            "graph's, or are rounded; `quintet golden` computes them from model.onnx",
        ),
        (None, None, ""),
        (
            3e-5,
            difference(1.0),
            "row 0 depends on the rows beside it: y is 2.0 among the golden rows, 1.0 among "
            "copies of itself. Batch statistics and dynamic quantisation do this. Export the graph "
            "without them, or set `rows: one` in model.yaml, which runs each row alone, and "
            "compute the expected outputs row by row",
        ),
    ],
)
def test_what_to_do_about_differences(
    apart: float | None, dependent: Difference | None, text: str
) -> None:
    assert advice([difference(apart)], NOISE, dependent) == text


def test_noise_above_the_largest_tolerance_is_said() -> None:
    assert advice([difference(3e-3)], Noise(3e-3, "alone and together"), None).endswith(
        "differ by up to 0.003, more than a tolerance may be (0.01)"
    )


def test_little_room_above_the_noise_is_a_warning() -> None:
    assert noise_warning(NOISE, 1e-4) == ""
    assert noise_warning(NOISE, 5e-5) == (
        "run alone and together, the golden outputs differ by up to 2e-05, and the tolerance is "
        '5e-05: another processor may exceed it; set "tolerance": 0.0001'
    )
    assert noise_warning(Noise(0.0, "alone and together", "label"), 1e-6).startswith(
        "run alone and together, the output label of a golden row differs: "
    )


# ---- at publish ----------------------------------------------------------------------------------


def test_noise_in_golden_outputs_is_told_with_a_tolerance() -> None:
    found, *_, hint = problems(noisy(), own(noisy(), times=1 + 2e-5, tolerance=1e-5))
    assert "; they differ by " in found
    assert ", the tolerance 1e-05 allows 1e-05" in found
    assert hint.startswith(
        "float noise: with and without graph optimisation, the graph's own outputs differ by up to"
    )
    tolerance = float(hint.rpartition(" ")[2])
    golden = own(noisy(), times=1 + 2e-5, tolerance=tolerance)
    checked = load_check(noisy(), contract(), json.dumps(golden.to_dict()).encode())
    assert 0 < checked.margin < 1
    assert checked.noise is not None
    assert noise_warning(checked.noise, tolerance) == ""


def test_outputs_of_another_graph_are_no_noise() -> None:
    assert problems(noisy(), own(noisy(), times=1.01))[-1].startswith("no float noise, which is ")
    # values that no tolerance could join
    rounded = Golden(dict(COLUMNS), {"y": [[1.0], [4.0], [9.001]]})
    assert problems(graph(), rounded) == [
        "row 2: y[0]: expected 9.001, got 9.0; they differ by 0.001, the tolerance 1e-06 allows "
        "9e-06",
        "no float noise, which is 0 for this graph: the expected outputs are another graph's, or "
        "are rounded; `quintet golden` computes them from model.onnx",
    ]


def test_golden_rows_of_another_graph_are_told_in_a_few_lines() -> None:
    rows = 500
    many = Golden(
        {name: (values * rows)[:rows] for name, values in COLUMNS.items()},
        {"y": [[1.0 + 2.0 * row] for row in range(rows)]},
    )
    found = problems(graph(), many)
    assert len(found) == 3
    assert found[0].startswith("row 1: y[0]: expected 3.0, got 4.0; they differ by 1, ")
    assert found[1].startswith("499 of 500 rows differ, row ")
    assert found[2].startswith("no float noise, ")


def test_dependent_rows_are_told_with_the_way_out() -> None:
    found = problems(centred(), own(centred()))
    text = "alone, row 0: y[0]: expected -2.5, got 0.0; they differ by 2.5, "
    assert any(problem.startswith(text) for problem in found)
    assert found[-1].startswith("row 0 depends on the rows beside it: y[0] is -2.5 among the ")
    assert "`rows: one`" in found[-1]


def test_publishing_tells_the_margin_and_warns_of_little_room(tmp_path: Path) -> None:
    folder = package(tmp_path / "p")
    (folder / "model.onnx").write_bytes(noisy())
    (folder / "golden.json").write_text(json.dumps(own(noisy()).to_dict()))
    steps: dict[str, str] = {}
    warnings: list[str] = []
    prepare(folder, steps.__setitem__, warnings.append)
    assert steps["tolerance"].startswith("1e-06, of which ")
    assert "; noise " in steps["tolerance"]
    (text,) = warnings
    assert text.startswith(
        "golden.json: run with and without graph optimisation, the golden outputs differ by up to "
    )


def test_infinity_is_no_tolerance() -> None:
    assert proposed_tolerance(math.inf) is None
    unequal: Any = Difference(0, "label", "1", "0")
    assert unequal.relative == math.inf
    assert not unequal.is_near
