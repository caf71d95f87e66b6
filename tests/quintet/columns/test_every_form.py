"""Any value, in every form: what each reads is what its text says, or the row is refused.

What the text says is computed here with Python's exact decimals, apart from the readers.
"""

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import Any

import numpy as np
from arro3 import core
from hypothesis import given
from hypothesis import strategies as st
from tests.kits.forms import CSV_FORMS, JSON_FORMS, contract_of, invoke, npy, oip, parquet, seen

from quintet.contract import DType, Feature

INTEGERS: list[DType] = [
    "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
]  # fmt: skip
FLOATS: list[DType] = ["float16", "float32", "float64"]
#: whose refusal is the whole request's
WHOLE = ("records", "instances", "json lines")

edges = [
    2**bits + near for bits in (0, 7, 8, 15, 16, 24, 31, 32, 52, 53, 63, 64) for near in (-1, 0, 1)
]
whole = st.sampled_from([str(edge) for edge in edges]) | st.integers(0, 10**21).map(str)
sign = st.sampled_from(["", "-"])
places = st.sampled_from(["", "", ".0", ".5", ".00", ".25"]) | st.integers(0, 10**18).map(
    lambda n: f".{n}"
)
exponent = st.sampled_from(["", "", "", "e0", "E3", "e-3", "e+18", "e-400", "e400"])
#: numbers in JSON's grammar, which is CSV's too
numbers = st.builds(lambda *parts: "".join(parts), sign, whole, places, exponent)


def in_text(text: str, dtype: DType) -> Any:
    """The value of a text with all its digits, None where the dtype has it not."""
    if dtype in FLOATS:
        return as_float(float(text), dtype)
    number = Decimal(text)
    if abs(number) > 2**65 or number != int(number):
        return None
    return in_range(int(number), dtype)


def in_json(text: str, dtype: DType) -> Any:
    """The value of a number of JSON: an integer for integers of 64 bits, or else a float64."""
    if text.lstrip("-").isdigit():
        if dtype in FLOATS:
            return as_float(float(int(text)), dtype)
        return in_range(int(text), dtype)
    return in_float(float(text), dtype)


def in_float(number: float, dtype: DType) -> Any:
    """A float64 in a dtype."""
    if dtype in FLOATS:
        return as_float(number, dtype)
    return in_range(int(number), dtype) if number.is_integer() and abs(number) < 2**53 else None


def as_float(number: float, dtype: DType) -> float:
    with np.errstate(over="ignore"):
        return float(np.array([number]).astype(dtype)[0])


def in_range(number: int, dtype: DType) -> int | None:
    info = np.iinfo(dtype)
    return number if info.min <= number <= info.max else None


def is_json(text: str) -> bool:
    """Whether JSON has the number at all: integers below 1e21, floats that are finite."""
    if text.lstrip("-").isdigit():
        return abs(int(text)) < 10**21
    return math.isfinite(float(text))


def check(form: str, texts: list[str], found: list[Any], expected: list[Any]) -> None:
    differs = [
        f"{form} reads {text} as {one!r}; it is {other!r}"
        for text, one, other in zip(texts, found, expected, strict=True)
        if repr(one) != repr(other)  # which tells -0.0 from 0.0, and 1 from 1.0
    ]
    assert not differs, differs


@given(st.sampled_from([*INTEGERS, *FLOATS]), st.lists(numbers, min_size=1, max_size=4))
def test_numbers_in_text(dtype: DType, texts: list[str]) -> None:
    contract = contract_of(Feature(name="x", dtype=dtype), Feature(name="n", dtype="float32"))
    expected = [in_text(text, dtype) for text in texts]
    rows = [{"x": text, "n": "1"} for text in texts]
    for form, read in CSV_FORMS.items():
        check(form, texts, seen("x", read, contract, rows), expected)
    strings = core.Array(texts, core.DataType.string())
    n = core.Array([1.0] * len(texts), core.DataType.float32())
    check("parquet text", texts, seen("x", parquet, contract, x=strings, n=n), expected)
    vector = contract_of(Feature(name="x", dtype=dtype, shape=(1,)), Feature(name="n", dtype=dtype))
    for text, value in zip(texts, expected, strict=True):
        batch = invoke(vector, f"{text},1".encode(), "text/csv")
        found = batch.columns["x"][0].tolist()[0] if batch.good[0] else None
        check("csv vector", [text], [found], [value])


@given(st.sampled_from([*INTEGERS, *FLOATS]), st.lists(numbers, min_size=1, max_size=4))
def test_numbers_in_json(dtype: DType, texts: list[str]) -> None:
    contract = contract_of(Feature(name="x", dtype=dtype), Feature(name="n", dtype="float32"))
    expected = [in_json(text, dtype) if is_json(text) else None for text in texts]
    rows = [{"x": text, "n": "1"} for text in texts]
    for form, read in JSON_FORMS.items():
        found = seen("x", read, contract, rows)
        if form in WHOLE and not all(map(is_json, texts)):
            assert len(found) == 1 and (found[0] is None or isinstance(found[0], str)), form
            continue
        check(form, texts, found, expected)


@given(st.sampled_from([*INTEGERS, *FLOATS]), st.lists(numbers, min_size=1, max_size=4))
def test_numbers_in_typed_columns(dtype: DType, texts: list[str]) -> None:
    contract = contract_of(Feature(name="x", dtype=dtype))
    floats = [float(text) for text in texts if math.isfinite(float(text))]
    expected = [in_float(number, dtype) for number in floats]
    if floats:
        column = core.Array(floats, core.DataType.float64())
        shown = list(map(repr, floats))
        check("parquet double", shown, seen("x", parquet, contract, x=column), expected)
        array = np.array(floats).reshape(-1, 1)
        check("npy", shown, seen("x", npy, contract, array), expected)
    whole = [int(text) for text in texts if text.lstrip("-").isdigit()]
    for kind, datatype in ((np.int64, "INT64"), (np.uint64, "UINT64")):
        info = np.iinfo(kind)
        held = [number for number in whole if info.min <= number <= info.max]
        if not held:
            continue
        expected = [in_json(str(number), dtype) for number in held]
        column = core.Array.from_numpy(np.array(held, dtype=kind))
        shown = list(map(str, held))
        check(f"parquet {datatype}", shown, seen("x", parquet, contract, x=column), expected)
        if dtype == datatype.lower():  # a whole input is of the dtype of the graph
            found = seen("x", oip, contract, x=(datatype, [len(held)], held))
            check(f"tensor {datatype}", shown, found, expected)


@given(
    st.sampled_from([*INTEGERS, *FLOATS, "string"]),
    st.lists(
        st.builds(
            lambda s, n, p: f"{s}{n}.{p:02}", sign, st.integers(0, 10**30), st.integers(0, 99)
        ),
        min_size=1,
        max_size=4,
    ),
)
def test_decimals_of_parquet(dtype: DType, texts: list[str]) -> None:
    contract = contract_of(Feature(name="x", dtype=dtype))
    for kind in (core.DataType.decimal128(38, 2), core.DataType.decimal256(76, 2)):
        column = core.Array(texts, core.DataType.string()).cast(kind)
        held = [str(value) for value in column.to_pylist()]  # a decimal has no -0
        expected = [t if dtype == "string" else in_text(t, dtype) for t in held]
        check(str(kind), held, seen("x", parquet, contract, x=column), expected)


plain = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)


@given(
    st.lists(
        plain | st.sampled_from(["", '""', "nan", "1.50", "-0", "NULL"]), min_size=1, max_size=4
    )
)
def test_texts(texts: list[str]) -> None:
    contract = contract_of(
        Feature(name="x", dtype="string", default="gap"), Feature(name="n", dtype="string")
    )
    quoted = [{"x": f'"{text.replace(chr(34), chr(34) * 2)}"', "n": "1"} for text in texts]
    for form, read in CSV_FORMS.items():
        check(form, texts, seen("x", read, contract, quoted), texts)
    written = [{"x": json.dumps(text), "n": '"1"'} for text in texts]
    for form, read in JSON_FORMS.items():
        check(form, texts, seen("x", read, contract, written), texts)
    strings = core.Array(texts, core.DataType.string())
    n = core.Array(["1"] * len(texts), core.DataType.string())
    check("parquet", texts, seen("x", parquet, contract, x=strings, n=n), texts)
    size = [len(texts)]
    tensors: dict[str, Any] = {
        "x": ("BYTES", size, texts),
        "n": ("BYTES", size, ["1"] * len(texts)),
    }
    check("tensor", texts, seen("x", oip, contract, **tensors), texts)


@given(st.lists(st.booleans(), min_size=1, max_size=4))
def test_booleans(values: list[bool]) -> None:
    contract = contract_of(Feature(name="x", dtype="bool"), Feature(name="n", dtype="string"))
    texts = [str(value) for value in values]
    for spell in (str, lambda v: str(v).upper(), lambda v: str(int(v)), lambda v: str(v).lower()):
        rows = [{"x": spell(value), "n": "a"} for value in values]
        for form, read in CSV_FORMS.items():
            check(form, texts, seen("x", read, contract, rows), values)
    rows = [{"x": json.dumps(value), "n": '"a"'} for value in values]
    for form, read in JSON_FORMS.items():
        check(form, texts, seen("x", read, contract, rows), values)
    x = core.Array(values, core.DataType.bool())
    n = core.Array(["a"] * len(values), core.DataType.string())
    check("parquet", texts, seen("x", parquet, contract, x=x, n=n), values)
