"""What strict JSON lets through, and what it refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quintet.errors import BadInput, Refusal
from quintet.formats import strict_json

INTEGERS = st.integers(min_value=-(2**63), max_value=2**64 - 1)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(alphabet=st.characters(exclude_categories=["Cs"]))
VALUES: Any = st.recursive(
    st.none() | st.booleans() | INTEGERS | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)


def refused(body: bytes) -> Refusal:
    with pytest.raises(BadInput) as caught:
        strict_json.parse(body)
    (refusal,) = caught.value.refusals
    assert (refusal.row, refusal.field) == (None, "body")
    return refusal


@given(VALUES)
def test_any_honest_value_comes_back(value: Any) -> None:
    assert strict_json.parse(json.dumps(value, ensure_ascii=False).encode()) == value


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"at": "12:30:00", "a": 1}', {"at": "12:30:00", "a": 1}),
        (b'{"a:b": {"c": ":::"}}', {"a:b": {"c": ":::"}}),
        (b'["123456789012345678901234567890"]', ["123456789012345678901234567890"]),
        (b"[0.12345678901234567890123]", [0.12345678901234568]),
        (b"[18446744073709551615, -9223372036854775808]", [2**64 - 1, -(2**63)]),
        (b"1e25", 1e25),
        (b"[18446744073709551616, -9223372036854775809]", [2.0**64, -(2.0**63)]),
        (b"[100000000000000000000, 999999999999999900000]", [1e20, 999999999999999900000.0]),
    ],
)
def test_colons_and_long_digits_in_their_place_are_no_fault(body: bytes, value: object) -> None:
    assert strict_json.parse(body) == value


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"NaN",
        b"[Infinity]",
        b"[-Infinity]",
        b"[1e999]",
        b"[" + b"1" * 5000 + b"]",
        b'"\\ud800"',
        b'"\xff"',
        b"\xef\xbb\xbf{}",
        b"[" * 5000,
        b'{"a":' * 5000,
        b"[1,]",
        b"{'a': 1}",
        b"[1] [2]",
    ],
)
def test_what_is_not_strict_json_is_refused(body: bytes) -> None:
    assert refused(body).expected == "JSON in UTF-8 with finite numbers"


@pytest.mark.parametrize(
    "body",
    [b'{"a": 1, "a": 2}', b'[{"b": [{"a": 1, "\\u0061": 1}]}]', b'{"a": ":", "a": 1, "b": 2}'],
)
def test_a_repeated_key_is_named(body: bytes) -> None:
    refusal = refused(body)
    assert (refusal.expected, refusal.got) == ("each key once", "'a' twice")


@pytest.mark.parametrize("number", [10**21, -(10**21), 10**40])
def test_an_integer_that_no_writer_of_floats_spells_out_is_refused(number: int) -> None:
    refusal = refused(f'{{"a": [{number}]}}'.encode())
    assert (refusal.expected, refusal.got) == (
        "numbers of 1e21 and more with an exponent",
        repr(str(number)),
    )


def test_nesting_that_the_slow_reader_cannot_follow_is_refused() -> None:
    refused(b"[" * 1020 + b'"::"' + b"]" * 1020 + b"]")  # one bracket too many for good measure
    assert refused(b'{"a":' * 1000 + b'{"b": 1, "b": 2}' + b"}" * 1000).row is None
