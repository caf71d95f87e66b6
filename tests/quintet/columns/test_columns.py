"""Every way of making a batch: values, defaults, refusals and their words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quintet.columns import Batch, from_records
from quintet.columns.tables import from_arrays, from_text
from quintet.columns.tensors import from_tensors
from quintet.contract import Contract, Feature, Input, Output
from quintet.errors import BadInput

CONTRACT = Contract(
    name="risk",
    version=1,
    task="t",
    entity="card",
    features=(
        Feature(name="amount", dtype="float32"),
        Feature(name="hour", dtype="float32", default=12.0),
        Feature(name="lines", dtype="int32"),
        Feature(name="gift", dtype="bool", default=False),
        Feature(name="note", dtype="string", default="", sensitive=True),
        Feature(name="orders", dtype="float32", source="store", when_stale="serve"),
    ),
    inputs=(Input(name="x", dtype="float32", shape=(-1, 2), features=("amount", "hour")),),
    outputs=(Output(name="p", dtype="float32", shape=(-1,), meaning="score"),),
)
IMAGE = Contract(
    name="digit",
    version=1,
    task="t",
    features=(Feature(name="pixels", dtype="float32", shape=(2, 2)),),
    inputs=(Input(name="pixels", dtype="float32", shape=(-1, 2, 2)),),
    outputs=(Output(name="label", dtype="int64", shape=(-1,), meaning="label"),),
)


def columns(batch: Batch) -> dict[str, Any]:
    return {name: (str(c.dtype), c.tolist()) for name, c in batch.columns.items()}


def refusals(batch: Batch) -> list[str]:
    return [str(refusal) for refusal in batch.refusals]


FULL = {"card": "c1", "amount": 1.5, "hour": 3, "lines": 2, "gift": True, "note": "hi"}


def test_records_that_are_whole() -> None:
    batch = from_records(CONTRACT, [FULL, {**FULL, "card": 7, "amount": 2}])
    assert columns(batch) == {
        "amount": ("float32", [1.5, 2.0]),
        "hour": ("float32", [3.0, 3.0]),
        "lines": ("int32", [2, 2]),
        "gift": ("bool", [True, True]),
        "note": ("object", ["hi", "hi"]),
    }
    assert batch.entities == ["c1", "7"]
    assert batch.good.tolist() == [True, True]
    assert batch.refusals == []


def test_records_take_defaults_and_refuse_the_rest_row_by_row() -> None:
    batch = from_records(
        CONTRACT,
        [
            {"card": "a", "amount": 1, "lines": 1},
            {"card": "b", "amount": True, "lines": 1},
            {"card": "c", "amount": "12", "lines": 1.5, "note": 12345},
            {"card": "d", "lines": 2**40},
            {"card": "e", "amount": None, "lines": 3.0},
            {"amount": 1, "lines": 1},
            {"card": "f", "amount": 1, "lines": 1, "colour": "red"},
            {"card": "f", "amount": 1, "lines": 1, "Hour": 7},
            {"card": "g", "amount": 1, "lines": 1, "orders": 4},
            "not an object",
        ],
    )
    assert batch.good.tolist() == [True] + [False] * 9
    assert batch.columns["hour"].tolist() == [12.0] * 10
    assert batch.columns["lines"].tolist() == [1, 1, 0, 0, 3, 1, 1, 1, 1, 0]
    keys = "amount, card, gift, hour, lines, note"
    assert refusals(batch) == [
        "row 9: record: expected an object, got 'not an object'",
        f"row 6: colour: expected one of {keys}, got another field",
        f"row 7: Hour: expected one of {keys}, got another field; do you mean hour?",
        "row 8: orders: expected no value: the feature store holds it, got a value",
        "row 1: amount: expected a number (float32), got true",
        "row 2: amount: expected a number (float32), got '12'",
        "row 3: amount: expected a number (float32), got nothing",
        "row 4: amount: expected a number (float32), got nothing",
        "row 2: lines: expected a number (int32), got 1.5",
        f"row 3: lines: expected a number (int32), got {2**40}",
        "row 2: note: expected a string, got a hidden number",
        "row 5: card: expected the entity key, got nothing",
    ]


def test_vectors_in_records() -> None:
    good = [[0.0, 1.0], [2.0, 3.0]]
    bad: list[Any] = [[[1, 2]], [[1, 2], [3]], [[1, 2], [3, "x"]], [[True, 1], [1, 1]], "abcd", 5]
    batch = from_records(IMAGE, [{"pixels": good}, *({"pixels": value} for value in bad)])
    assert batch.columns["pixels"][0].tolist() == good
    assert batch.good.tolist() == [True] + [False] * len(bad)
    assert refusals(batch)[0] == (
        "row 1: pixels: expected an array of shape [2, 2] of float32, got [[1, 2]]"
    )


def test_no_records_make_an_empty_batch() -> None:
    batch = from_records(CONTRACT, [])
    assert (batch.rows, batch.entities) == (0, [])
    assert {name: c.shape for name, c in batch.columns.items()} == dict.fromkeys(
        ("amount", "hour", "lines", "gift", "note"), (0,)
    )


def test_tensors_whole_and_by_feature() -> None:
    batch = from_tensors(
        CONTRACT,
        {
            "x": np.array([[1, 2], [3, 4]], np.float32),
            "lines": np.array([[5], [6]], np.int64),
            "card": np.array(["a", "b"], object),
        },
    )
    assert columns(batch) == {
        "amount": ("float32", [1.0, 3.0]),
        "hour": ("float32", [2.0, 4.0]),
        "lines": ("int32", [5, 6]),
        "gift": ("bool", [False, False]),
        "note": ("object", ["", ""]),
    }
    assert batch.entities == ["a", "b"]


X = np.zeros((2, 2), np.float32)
LINES = np.zeros(2, np.int32)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({}, "inputs: expected at least one tensor, got none"),
        ({"x": X}, "lines: expected a tensor of int32, got no such tensor"),
        ({"x": X, "lines": LINES[:1]}, "lines: expected 2 rows, as x has, got 1"),
        (
            {"x": X[:, :1], "lines": LINES},
            "x: expected shape [2, 2], got shape [2, 1]",
        ),
        ({"x": X.astype("?"), "lines": LINES}, "x: expected float32, got bool"),
        ({"x": X, "lines": X[:, 0]}, "lines: expected int32, got float32"),
        ({"x": X, "lines": X.astype("i4")}, "lines: expected shape [2], got shape [2, 2]"),
        (
            {"x": X, "lines": LINES, "orders": LINES},
            "orders: expected no tensor: the feature store holds it, got a tensor",
        ),
        (
            {"x": X, "lines": LINES, "y": LINES},
            "y: expected one of amount, card, gift, hour, lines, note, x, got an unknown tensor",
        ),
        (
            {"X": X, "lines": LINES},
            "X: expected one of amount, card, gift, hour, lines, note, x, got an unknown tensor; "
            "do you mean x?",
        ),
        (
            {"x": X, "amount": X[:, 0], "lines": LINES},
            "amount: expected it once, got it in another tensor too",
        ),
    ],
)
def test_tensors_that_are_refused(tensors: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput) as raised:
        from_tensors(CONTRACT, tensors)
    assert str(raised.value) == message


def test_text_cells() -> None:
    batch = from_text(
        CONTRACT,
        {
            "card": ["a", "b", "c", "d"],
            "amount": ["1.5", "1e3", "1_000", ""],
            "lines": ["2", "3.0", "3.5", "x"],
            "gift": ["TRUE", "0", "", "maybe"],
        },
    )
    assert columns(batch) == {
        "amount": ("float32", [1.5, 1000.0, 0.0, 0.0]),
        "hour": ("float32", [12.0] * 4),
        "lines": ("int32", [2, 3, 0, 0]),
        "gift": ("bool", [True, False, False, False]),
        "note": ("object", [""] * 4),
    }
    assert refusals(batch) == [
        "row 2: amount: expected a number (float32), got '1_000'",
        "row 3: amount: expected a number (float32), got nothing",
        "row 2: lines: expected a number (int32), got '3.5'",
        "row 3: lines: expected a number (int32), got 'x'",
        "row 3: gift: expected true or false, got 'maybe'",
    ]


def test_a_table_without_a_required_column_is_refused_by_name() -> None:
    with pytest.raises(BadInput) as raised:
        from_text(CONTRACT, {"amount": ["1"], "colour": ["red"], "Lines": ["1"]})
    assert str(raised.value) == (
        "card: expected a column of that name, got no such column; "
        "lines: expected a column of that name, got no such column; "
        "Lines: expected one of amount, card, gift, hour, lines, note, got an unknown column; "
        "do you mean lines?; "
        "colour: expected one of amount, card, gift, hour, lines, note, got an unknown column"
    )


def test_typed_arrays() -> None:
    batch = from_arrays(
        CONTRACT,
        {
            "card": np.array([1.0, 2.0, np.nan]),
            "amount": np.array([1, 2, 3]),
            "hour": np.array([1.0, np.nan, 3.0]),
            "lines": np.array([1.0, 2.5, np.nan]),
            "note": np.array(["x", "", "y"], object),
        },
        {"note": np.array([False, True, False]), "amount": np.array([False, False, True])},
    )
    assert columns(batch) == {
        "amount": ("float32", [1.0, 2.0, 0.0]),
        "hour": ("float32", [1.0, 12.0, 3.0]),
        "lines": ("int32", [1, 0, 0]),
        "gift": ("bool", [False] * 3),
        "note": ("object", ["x", "", "y"]),
    }
    assert batch.entities == ["1", "2", ""]
    assert batch.good.tolist() == [True, False, False]
    assert refusals(batch) == [
        "row 2: amount: expected a number (float32), got nothing",
        "row 1: lines: expected a number (int32), got 2.5",
    ]


def test_a_column_of_another_kind_is_refused_whole() -> None:
    with pytest.raises(BadInput) as raised:
        from_arrays(
            CONTRACT,
            {"card": np.array(["a"]), "amount": np.array([True]), "lines": np.array([1])},
            {},
        )
    assert str(raised.value) == "amount: expected a column of float32, got bool"
