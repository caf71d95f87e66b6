"""One reader of values by type: every form gives the same value, exactly, or refuses it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from arro3 import core
from tests.kits.forms import CSV_FORMS, JSON_FORMS, contract_of, invoke, npy, oip, parquet, seen

from quintet.columns.tables import from_arrays
from quintet.contract import DType, Feature
from quintet.errors import BadInput

types = core.DataType
FLOATS: list[DType] = ["float16", "float32", "float64"]


def scalar(dtype: DType, **other: Any) -> Any:
    return contract_of(Feature(name="x", dtype=dtype, **other), Feature(name="n", dtype="float32"))


def decimals(texts: Sequence[str | None], kind: core.DataType) -> core.Array:
    return core.Array(texts, types.string()).cast(kind)


@pytest.mark.parametrize("form", CSV_FORMS)
@pytest.mark.parametrize(
    ("dtype", "cells", "expected"),
    [
        ("int64", ["9007199254740993", "9223372036854775807"], [2**53 + 1, 2**63 - 1]),
        ("int64", ["9007199254740993.0", "-9223372036854775808.00"], [2**53 + 1, -(2**63)]),
        ("int64", ["9007199254740993.5", "4503599627370497.5"], [None, None]),
        ("int64", ["1.00000000000000000001", "1e-400"], [None, None]),
        ("int64", ["9223372036854775808", "1e19", "1e999"], [None, None, None]),
        ("int64", ["1e3", "12.0", "1_000", "x", "-0"], [1000, 12, None, None, 0]),
        ("uint64", ["18446744073709551615", "18446744073709551616", "-1"], [2**64 - 1, None, None]),
        ("uint8", ["255", "256", "255.0"], [255, None, 255]),
        ("float64", ["1_000", "1.5", "0.1"], [None, 1.5, 0.1]),
        ("bool", ["true", "FALSE", "1", "0", "yes"], [True, False, True, False, None]),
        ("string", ["1.50", "nan", "NULL", "1_000"], ["1.50", "nan", "NULL", "1_000"]),
    ],
)
def test_cells_of_csv(form: str, dtype: DType, cells: list[str], expected: list[Any]) -> None:
    contract, rows = scalar(dtype), [{"x": cell, "n": "1"} for cell in cells]
    found = seen("x", CSV_FORMS[form], contract, rows)
    assert list(map(repr, found)) == list(map(repr, expected))


@pytest.mark.parametrize("form", CSV_FORMS)
def test_a_zero_keeps_its_sign_in_csv(form: str) -> None:
    for dtype in FLOATS:
        contract = scalar(dtype)
        rows = [{"x": cell, "n": "1"} for cell in ("-0.0", "0.0", "-0", "-0.00")]
        found = seen("x", CSV_FORMS[form], contract, rows)
        assert [math.copysign(1, value) for value in found] == [-1, 1, -1, -1]


VECTORS = [
    ("int64", ["9007199254740993", "9223372036854775807"], [2**53 + 1, 2**63 - 1]),
    ("int64", ["9007199254740993.5", "1"], None),
    ("int64", ["1_000", "1"], None),
    ("int64", ["9223372036854775808", "1"], None),
    ("float32", ["-0.0", "1.5"], [-0.0, 1.5]),
    ("float64", ["1_000", "1"], None),
    ("bool", ["true", "0"], [True, False]),
    ("bool", ["FALSE", "True"], [False, True]),
    ("bool", ["yes", "1"], None),
    ("string", ["1.50", "1"], ["1.50", "1"]),
]


@pytest.mark.parametrize(("dtype", "cells", "expected"), VECTORS)
def test_cells_of_a_vector(dtype: DType, cells: list[str], expected: list[Any] | None) -> None:
    """The number beside a vector is as exact as elsewhere."""
    contract = contract_of(
        Feature(name="x", dtype=dtype, shape=(2,)),
        Feature(name="n", dtype="int64"),
        Feature(name="flag", dtype="bool", default=False),
    )
    row = dict(zip("abcd", [*cells, "9007199254740993", "True"], strict=True))
    body = ",".join(row.values()).encode()
    batch = invoke(contract, body, "text/csv")
    assert batch.good.tolist() == [expected is not None]
    assert batch.columns["n"].tolist() == [2**53 + 1]
    assert batch.columns["flag"].tolist() == [True]
    if expected is not None:
        assert repr(batch.columns["x"][0].tolist()) == repr(expected)
    else:
        assert "9223372036854775808" not in cells or "9223372036854775808" in str(batch.refusals)


@pytest.mark.parametrize("form", JSON_FORMS)
@pytest.mark.parametrize(
    ("dtype", "values", "expected"),
    [
        ("int64", ["9007199254740993", "9223372036854775807"], [2**53 + 1, 2**63 - 1]),
        ("int64", ["3.0", "1e3"], [3, 1000]),
        ("int64", ["9007199254740993.0", "1e18"], [None, None]),
        ("int64", ["1.5", "true", '"1"'], [None, None, None]),
        ("uint64", ["18446744073709551615", "0"], [2**64 - 1, 0]),
        ("float64", ["18446744073709551615", "1e19"], [2.0**64, 1e19]),
        ("bool", ["true", "false"], [True, False]),
        ("bool", ["1", '"true"'], [None, None]),
        ("string", ['"1.50"', '"nan"'], ["1.50", "nan"]),
        ("string", ["1.50", "null"], [None, None]),
    ],
)
def test_values_of_json(form: str, dtype: DType, values: list[str], expected: list[Any]) -> None:
    contract, rows = scalar(dtype), [{"x": value, "n": "1"} for value in values]
    assert seen("x", JSON_FORMS[form], contract, rows) == expected


@pytest.mark.parametrize("form", JSON_FORMS)
@pytest.mark.parametrize("value", ["18446744073709551616", "-9223372036854775809", "1" + "0" * 20])
def test_json_integers_past_64_bits_are_floats_in_every_form(form: str, value: str) -> None:
    rows = [{"x": value, "n": "1"}]
    assert seen("x", JSON_FORMS[form], scalar("float64"), rows) == [float(value)]
    for dtype in ("int64", "uint64", "string"):
        (found,) = seen("x", JSON_FORMS[form], scalar(dtype), rows)
        assert found is None


@pytest.mark.parametrize("form", JSON_FORMS)
def test_json_integers_of_1e21_are_refused_in_every_form(form: str) -> None:
    for dtype in ("int64", *FLOATS):
        rows = [{"x": "1" + "0" * 21, "n": "1"}]
        (found,) = seen("x", JSON_FORMS[form], scalar(dtype), rows)
        assert found is None or "1e21" in found


TARGETS: list[DType] = ["int64", "uint64", "float64", "string"]
KINDS = [types.decimal128(38, 2), types.decimal256(60, 2)]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_decimals_of_parquet_are_exact(kind: core.DataType) -> None:
    texts = ["9007199254740993.00", "1.50", None, "9223372036854775808.00"]
    n = core.Array([1.0] * 4, types.float32())
    found = {
        dtype: seen("x", parquet, scalar(dtype), x=decimals(texts, kind), n=n) for dtype in TARGETS
    }
    assert found == {
        "int64": [2**53 + 1, None, None, None],
        "uint64": [2**53 + 1, None, None, 2**63],
        "float64": [float(2**53), 1.5, None, 2.0**63],
        "string": ["9007199254740993.00", "1.50", None, "9223372036854775808.00"],
    }


def test_short_decimals_are_the_nearest_floats() -> None:
    texts = ["0.10", "1234567890123.45", "-0.07", None]
    n = core.Array([1.0] * 4, types.float32())
    x = decimals(texts, types.decimal128(15, 2))
    found = seen("x", parquet, scalar("float64"), x=x, n=n)
    assert found == [0.1, 1234567890123.45, -0.07, None]


def test_long_decimals_are_the_nearest_floats() -> None:
    texts = ["123456789012345678.51", "0.12", "99999999999999999999999999999999999.99"]
    n = core.Array([1.0] * 3, types.float32())
    kind = types.decimal128(38, 2)
    found = seen("x", parquet, scalar("float64"), x=decimals(texts, kind), n=n)
    assert found == [float(text) for text in texts]


def test_lists_of_decimals_are_exact() -> None:
    contract = contract_of(Feature(name="x", dtype="int64", shape=(2,)))
    flat = decimals(["9007199254740993", "1", "2", "3"], types.decimal128(20, 0))
    batch = parquet(contract, x=core.fixed_size_list_array(flat, 2))
    assert batch.columns["x"].tolist() == [[2**53 + 1, 1], [2, 3]]


def test_a_nan_is_no_text() -> None:
    x = core.Array([1.5, float("nan"), None], types.float64())
    n = core.Array([1.0] * 3, types.float32())
    assert seen("x", parquet, scalar("string"), x=x, n=n) == ["1.5", None, None]
    with_default = scalar("string", default="none")
    assert seen("x", parquet, with_default, x=x, n=n) == ["1.5", "none", "none"]
    assert seen("x", npy, scalar("string"), np.array([[np.nan, 1], [2.5, 1]])) == [
        None,
        "2.5",
    ]


def test_numbers_and_booleans_of_parquet_for_a_text() -> None:
    n = core.Array([1.0, 1.0], types.float32())
    for array, expected in (
        (core.Array([7, -1], types.int64()), ["7", "-1"]),
        (core.Array([0.1, 2.0], types.float32()), ["0.1", "2.0"]),
        (core.Array([True, False], types.bool()), ["true", "false"]),
    ):
        assert seen("x", parquet, scalar("string"), x=array, n=n) == expected


def test_halves_beside_nulls_are_read() -> None:
    x = core.Array([1.5, None, 2.0], types.float32()).cast(types.float16())
    contract = contract_of(Feature(name="x", dtype="float16", default=0))
    assert seen("x", parquet, contract, x=x) == [1.5, 0.0, 2.0]


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        (np.array([2.0**53, 2.0**63, 1e30, 5.0]), "int64", [None, None, None, 5]),
        (np.array([2.0**64, -1.0, np.nan, 5.0]), "uint64", [None, None, None, 5]),
        (np.array([2**63, 2**64 - 1, 1], np.uint64), "int64", [None, None, 1]),
        (np.array([-1, 2**63 - 1], np.int64), "uint64", [None, 2**63 - 1]),
        (np.array([2.0**31, -(2.0**31)], np.float32), "int32", [None, -(2**31)]),
    ],
)
def test_numbers_of_arrays_become_integers_exactly_or_not_at_all(
    values: Any, dtype: DType, expected: list[Any]
) -> None:
    contract = contract_of(Feature(name="x", dtype=dtype))
    assert seen("x", from_arrays, contract, {"x": values}, {}) == expected


def test_integers_of_tensors_are_exact() -> None:
    contract = scalar("int64")
    batch = oip(
        contract,
        x=("INT64", [2], [2**53 + 1, 2**63 - 1]),
        n=("FP32", [2], [1.0, 2.0]),
    )
    assert batch.columns["x"].tolist() == [2**53 + 1, 2**63 - 1]
    with pytest.raises(BadInput, match="integers"):
        oip(contract, x=("INT64", [1], [1.0]), n=("FP32", [1], [1.0]))


def test_decimals_are_no_booleans() -> None:
    contract = contract_of(Feature(name="x", dtype="bool"))
    with pytest.raises(BadInput, match="a column of bool"):
        parquet(contract, x=decimals(["1"], types.decimal128(1, 0)))


def test_decimals_in_lists_of_many_lengths() -> None:
    feature = Feature(name="x", dtype="int64", shape=(1,))
    rows = np.empty(2, dtype=object)
    rows[:] = [[Decimal(2**53 + 1)], [Decimal("1.5")]]
    assert seen("x", from_arrays, contract_of(feature), {"x": rows}, {}) == [
        [2**53 + 1],
        None,
    ]


@pytest.mark.parametrize("form", [*CSV_FORMS, "batch csv, quoted"])
def test_an_empty_cell_is_a_gap_and_a_quoted_one_the_empty_text(form: str) -> None:
    contract = contract_of(
        Feature(name="x", dtype="string", default="Paris"), Feature(name="n", dtype="string")
    )
    cells = {'""': "", "": "Paris", '"a ""b"""': 'a "b"', '"a,"",b"': 'a,",b', '" "': " "}
    rows = [{"x": cell, "n": '"1"' if "quoted" in form else "1"} for cell in cells]
    read = CSV_FORMS.get(form, CSV_FORMS["batch csv"])
    assert seen("x", read, contract, rows) == list(cells.values())
    required = contract_of(Feature(name="x", dtype="string"), Feature(name="n", dtype="float32"))
    found = seen("x", read, required, [{"x": cell, "n": "1"} for cell in ('""', "", "a")])
    assert found == ["", None, "a"]


@pytest.mark.parametrize("form", CSV_FORMS)
def test_a_quoted_empty_cell_is_no_number(form: str) -> None:
    contract = contract_of(
        Feature(name="x", dtype="int64", default=7), Feature(name="n", dtype="string")
    )
    rows = [{"x": cell, "n": "a"} for cell in ('""', "", '"5"')]
    assert seen("x", CSV_FORMS[form], contract, rows) == [7, 7, 5]


def test_the_empty_text_is_the_same_in_json_and_parquet() -> None:
    contract = contract_of(Feature(name="x", dtype="string", default="Paris"))
    for read in JSON_FORMS.values():
        assert seen("x", read, contract, [{"x": '""'}, {"x": "null"}, {}]) == ["", "Paris", "Paris"]
    x = core.Array(["", None, "a"], types.string())
    assert seen("x", parquet, contract, x=x) == ["", "Paris", "a"]
