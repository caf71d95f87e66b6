"""Tensors of the Open Inference Protocol, as JSON and as bytes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from quintet.columns import Array
from quintet.errors import BadInput
from quintet.formats.strict_json import parse
from quintet.protocols import tensors
from quintet.protocols.http import json_body

NUMBERS = [name for name in tensors.DATATYPES if name != "string"]


@st.composite
def arrays(draw: Any) -> Array:
    dtype = draw(st.sampled_from(NUMBERS))
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=3, max_side=4))
    elements = None
    if dtype.startswith("float"):
        width: Any = int(dtype[5:])
        elements = st.floats(width=width, allow_nan=False, allow_infinity=False)
    array: Array = draw(hnp.arrays(dtype, shape, elements=elements))
    return array


@st.composite
def texts(draw: Any) -> Array:
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=2, max_side=4))
    alphabet = st.characters(exclude_categories=["Cs"])
    found: Array = draw(hnp.arrays(object, shape, elements=st.text(alphabet=alphabet)))
    return found


def same(one: Array, other: Array) -> bool:
    return one.dtype == other.dtype and one.shape == other.shape and bool((one == other).all())


@given(arrays() | texts(), st.integers(0, 3))
def test_raw_bytes_come_back_as_they_went_wherever_they_stand(array: Array, offset: int) -> None:
    raw = b"x" * offset + tensors.to_bytes(array)
    name = tensors.datatype_of(array)
    back = tensors.from_bytes("t", name, array.shape, memoryview(raw)[offset:])
    assert same(back, array)
    assert back.flags.aligned


@given(arrays() | texts(), st.booleans())
def test_json_comes_back_as_it_went_flat_or_nested(array: Array, nested: bool) -> None:
    plain = array.tolist() if nested or array.dtype.kind == "O" else array.ravel()
    data = parse(json_body(plain))
    back = tensors.from_json("t", tensors.datatype_of(array), array.shape, data)
    assert same(back, array)


def refused(call: Any, *arguments: Any) -> str:
    with pytest.raises(BadInput) as caught:
        call("t", *arguments)
    assert {refusal.field for refusal in caught.value.refusals} == {"t"}
    return str(caught.value)


@pytest.mark.parametrize(
    ("datatype", "shape", "data", "text"),
    [
        ("FP32", (2, 2), [1, 2, 3], "t: expected 4 elements, as its shape says, got 3"),
        ("FP32", (2,), [1, "2"], "t: expected numbers (FP32), got a string"),
        ("FP32", (2,), [1, None], "t: expected numbers (FP32), got null"),
        ("FP32", (2,), [1, True], "t: expected numbers (FP32), got a boolean"),
        ("INT8", (1,), [128], "t: expected numbers in the range of INT8, got one out of it"),
        (
            "INT8",
            (1,),
            [1.0],
            "t: expected integers (INT8), got a number with a fraction or an exponent",
        ),
        ("UINT8", (1,), [-1], "t: expected numbers in the range of UINT8, got one out of it"),
        ("BOOL", (1,), [1], "t: expected booleans (BOOL), got a number"),
        ("BYTES", (1,), [1], "t: expected strings (BYTES), got a number"),
        ("FP32", (1,), 1.0, "t: expected data as an array, got a number"),
        (
            "FP32",
            (2, 2),
            [[1, 2], [3]],
            "t: expected flat data, or data nested as its shape [2, 2], got other nesting",
        ),
        (
            "FP32",
            (2, 1),
            [[[1]], [[2]]],
            "t: expected flat data, or data nested as its shape [2, 1], got deeper nesting",
        ),
        (
            "FP32",
            (2, 2),
            [[1, 2], 3],
            "t: expected flat data, or data nested as its shape [2, 2], got other nesting",
        ),
    ],
)
def test_json_data_that_is_not_the_tensor_is_refused(
    datatype: str, shape: tuple[int, ...], data: Any, text: str
) -> None:
    assert refused(tensors.from_json, datatype, shape, data) == text


@pytest.mark.parametrize(
    ("datatype", "shape", "raw", "text"),
    [
        ("FP32", (2,), b"1234567", "t: expected 8 bytes (2 of FP32), got 7"),
        (
            "BYTES",
            (2,),
            b"\1\0\0\0a",
            "t: expected 2 elements of BYTES, got too few bytes",
        ),
        (
            "BYTES",
            (1,),
            b"\xff\xff\xff\xffa",
            "t: expected elements inside the tensor's bytes, "
            "got a length of 4294967295 where 1 bytes are left",
        ),
        (
            "BYTES",
            (1,),
            b"\1\0\0\0\xff",
            "t: expected text in UTF-8, got other bytes in element 0",
        ),
        ("BYTES", (1,), b"\1\0\0\0ab", "t: expected 1 elements of BYTES, got 1 bytes more"),
        ("BYTES", (2,), b"\4\0\0\0abcd", "t: expected 2 elements of BYTES, got 1"),
    ],
)
def test_bytes_that_are_not_the_tensor_are_refused(
    datatype: str, shape: tuple[int, ...], raw: bytes, text: str
) -> None:
    assert refused(tensors.from_bytes, datatype, shape, memoryview(raw)) == text


@pytest.mark.parametrize(
    ("datatype", "shape"),
    [
        ("FP8", [1]),
        (None, [1]),
        ("FP32", None),
        ("FP32", []),
        ("FP32", [1] * 9),
        ("FP32", [-1, 2]),
        ("FP32", [1.0]),
        ("FP32", [True]),
        ("FP32", [2**31]),
        ("FP32", "12"),
    ],
)
def test_a_shape_or_datatype_that_is_none_is_refused(datatype: Any, shape: Any) -> None:
    refused(tensors.check_shape, datatype, shape)


def test_a_shape_whose_product_is_past_64_bits_is_only_a_wrong_number_of_elements() -> None:
    shape = tensors.check_shape("t", "FP32", [2**31 - 1] * 8)
    assert "elements" in refused(tensors.from_json, "FP32", shape, [1.0])
    assert "bytes" in refused(tensors.from_bytes, "FP32", shape, memoryview(b"1234"))
    assert "elements" in refused(tensors.from_bytes, "BYTES", shape, memoryview(b"1234"))
