"""Numbers with a decimal comma: read where the contract says so, else refused with a hint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.kits.forms import contract_of, invoke, read_file

from quintet.columns import Batch
from quintet.contract import Contract, DType, Feature

POINT = 'write numbers like 1234.5, or say `decimal: ","` in model.yaml if 1.234,5 is meant'
COMMA = 'with `decimal: ","` in model.yaml, 1234,5 and 1.234,5 are numbers'

Form = Callable[[Contract, bytes], Batch]
FORMS: dict[str, Form] = {
    "batch csv": lambda contract, body: read_file(contract, "a.csv", body),
    # the last row keeps the others from being read at once
    "batch csv, odd": lambda contract, body: _without_last(
        read_file(contract, "a.csv", body + b'"1";"x"\n')
    ),
    "csv": lambda contract, body: invoke(contract, body, "text/csv"),
}


def _without_last(batch: Batch) -> Batch:
    rows = batch.rows - 1
    columns = {name: values[:rows] for name, values in batch.columns.items()}
    return Batch(rows, columns, batch.good[:rows], None, batch.refusals)


def contract(dtype: DType = "float64", decimal: Any = ",") -> Contract:
    named = contract_of(Feature(name="x", dtype=dtype), Feature(name="t", dtype="string"))
    return replace(named, decimal=decimal)


def read(form: str, dtype: DType, cells: list[str]) -> list[Any]:
    body = "x;t\n" + "".join(f"{cell};a,b\n" for cell in cells)
    batch = FORMS[form](contract(dtype), body.encode())
    assert batch.columns["t"].tolist() == ["a,b"] * len(cells)  # texts keep their commas
    values = zip(batch.columns["x"].tolist(), batch.good.tolist(), strict=True)
    return [value if good else None for value, good in values]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("dtype", "cells", "expected"),
    [
        ("float64", ["225,58", "-0,5", "7", "+1,0", "1,5e3"], [225.58, -0.5, 7.0, 1.0, 1500.0]),
        ("float64", ["1.234,5", "-1.234.567", "12.345"], [1234.5, -1234567.0, 12345.0]),
        ("float64", ["1.5", "0.125", "1.2345", "1,2,3", "1,234.5", ",", "x"], [None] * 7),
        ("float32", ["0,1", "16777217"], [0.10000000149011612, 16777216.0]),
        (
            "int64",
            ["7", "1.234", "12,0", "12,5", "9007199254740993"],
            [7, 1234, 12, None, 2**53 + 1],
        ),
        ("bool", ["true", "0"], [True, False]),
    ],
)
def test_decimal_commas_are_read_where_the_contract_says_so(
    form: str, dtype: DType, cells: list[str], expected: list[Any]
) -> None:
    assert list(map(repr, read(form, dtype, cells))) == list(map(repr, expected))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=9))
def test_a_comma_means_what_a_point_means_elsewhere(numbers: list[float]) -> None:
    texts = [repr(number) for number in numbers]
    for form in FORMS:
        found = read(form, "float64", [text.replace(".", ",") for text in texts])
        assert list(map(repr, found)) == texts


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", ["float64", "int64"])
@pytest.mark.parametrize(
    ("decimal", "cell", "hint"),
    [
        (".", "225,58", POINT),
        (".", "1.234,5", POINT),
        (".", "1,234", POINT),
        (".", "1,234.5", POINT),
        (".", "1 234", POINT),
        (".", "1'234", POINT),
        (".", "1.2.3", POINT),
        (".", "1.5x", None),
        (".", "a, b", None),
        (",", "1234.5", COMMA),
        (",", "1,234.5", COMMA),
        (",", "x", None),
    ],
)
def test_other_separators_are_refused_with_a_hint(
    form: str, dtype: DType, decimal: str, cell: str, hint: str | None
) -> None:
    delimiter = "," if form == "csv" and decimal == "." else ";"
    body = f't{delimiter}x\nu{delimiter}"{cell}"\n'
    batch = FORMS[form](contract(dtype, decimal), body.encode())
    (refusal,) = batch.refusals[:1]
    got = f"{cell!r}; {hint}" if hint else repr(cell)
    assert (refusal.field, refusal.expected, refusal.got) == ("x", f"a number ({dtype})", got)


def test_quoted_decimal_commas_are_read_beside_delimiting_commas() -> None:
    body = b'x,t\n"1,5",u\n"1.234,25",v\n'
    for name in ("batch csv", "csv"):
        batch = FORMS[name](contract(), body)
        assert (batch.columns["x"].tolist(), batch.refusals) == ([1.5, 1234.25], [])


def test_a_hidden_value_stays_hidden() -> None:
    hidden = contract_of(Feature(name="x", dtype="float64", sensitive=True))
    (refusal,) = read_file(hidden, "a.csv", b'x\n1.5\n"2,5"\n').refusals
    assert refusal.got == f"a hidden string; {POINT}"
