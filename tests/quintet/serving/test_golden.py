"""Golden vectors: what differs is named, along the path that requests take."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.kits.packages import contract, golden, graph, vectors

from quintet.onnx_model import OnnxModel
from quintet.serving.golden import Difference, Golden, check, compare, golden_from_dict, ratios
from quintet_publish.model_yaml import read_contract

STORED = b"""
name: stored
version: 1
task: regression
entity: customer
features:
  - {name: a, dtype: float32}
  - {name: b, dtype: float32, source: store, max_age: 60, when_stale: default, default: 9}
inputs:
  - {name: x, dtype: float32, shape: [-1, 2], features: [a, b]}
outputs:
  - {name: y, dtype: float32, shape: [-1, 1], meaning: score}
"""


def test_agreeing_vectors_have_no_difference() -> None:
    assert check(OnnxModel(contract(), graph()), vectors()) == []


def test_each_differing_value_is_named() -> None:
    wrong = Golden(vectors().columns, {"y": [[1.0], [4.5], [9.0000001]]})
    differences = check(OnnxModel(contract(), graph()), wrong)
    assert differences == [
        Difference(1, "y[0]", "4.5", "4.0", apart=0.5, scale=4.5, tolerance=1e-6)
    ]
    assert str(differences[0]) == (
        "row 1: y[0]: expected 4.5, got 4.0; they differ by 0.5, the tolerance 1e-06 allows 4.5e-06"
    )
    assert differences[0].relative == pytest.approx(0.5 / 4.5)


def test_a_refused_row_and_a_wrong_shape_differ() -> None:
    odd = Golden({"a": [101.0, 1.0], "b": [1.0, 1.0]}, {"y": [[203.0], 3.0]})
    assert list(map(str, check(OnnxModel(contract(), graph()), odd))) == [
        "row 0: a: expected a number from 0 to 100, got 101.0",
        "row 1: y: expected shape [], got shape [1]",
    ]


def test_stored_features_go_through_the_join() -> None:
    model = OnnxModel(read_contract(STORED), graph())
    columns: dict[str, list[Any]] = {"a": [1.0, 1.0], "b": [5.0, None]}
    assert check(model, Golden(columns, {"y": [[7.0], [11.0]]})) == []


@pytest.mark.parametrize(("tolerance", "differing"), [(1e-6, 1), (1e-2, 0)])
def test_tolerance_is_the_packages_own(tolerance: float, differing: int) -> None:
    near = golden_from_dict({**golden(), "outputs": {"y": [[1.001], [4.0], [9.0]]}})
    near = Golden(near.columns, near.outputs, tolerance)
    assert len(check(OnnxModel(contract(), graph()), near)) == differing


def test_not_a_number_never_agrees() -> None:
    nan = Golden({"a": [1.0], "b": [1.0]}, {"y": [[float("nan")]]})
    assert len(check(OnnxModel(contract(), graph()), nan)) == 1
    assert np.isnan(nan.outputs["y"][0][0])


@pytest.mark.parametrize(("times", "near"), [(1.5, True), (9.9, True), (10.2, False)])
def test_a_number_within_ten_tolerances_is_near(times: float, near: bool) -> None:
    off = Golden({"a": [2.5], "b": [4.0]}, {"y": [[9.0 * (1 + times * 1e-3)]]}, 1e-3)
    (found,) = check(OnnxModel(contract(), graph()), off)
    assert found.is_near is near


def test_the_largest_difference_of_a_row_is_named() -> None:
    expected, got = np.array([1.0, 2.0, np.nan]), np.array([1.1, 2.5, np.inf])
    assert ratios(expected, got, 0.1).tolist() == pytest.approx([1.0, 2.5, 0.0])
    output = replace(contract().outputs[0], shape=(-1, 3), dtype="float64")
    (found,) = compare(output, 7, expected.tolist(), got, 0.1)
    assert str(found) == (
        "row 7: y[1]: expected 2.0, got 2.5; they differ by 0.5, the tolerance 0.1 allows 0.2"
    )
    assert ratios(np.array(["a", "b"], object), np.array(["a", "c"], object), 1.0).tolist() == [
        0.0,
        np.inf,
    ]


def test_slices_keep_rows_together() -> None:
    assert vectors().slice(1, 3).to_dict() == {
        "columns": {"a": [1.0, 2.5], "b": [2.0, 4.0]},
        "outputs": {"y": [[4.0], [9.0]]},
        "tolerance": 1e-6,
    }
    assert vectors().head(1).rows == 1
    assert vectors().repeated(5).columns["a"] == [0.0, 1.0, 2.5, 0.0, 1.0]
    assert vectors().repeated(5).outputs["y"][3:] == [[1.0], [4.0]]
