"""Kept and quarantined values are the file's: of any year, with all digits."""

from __future__ import annotations

from typing import Any

import pytest
from arro3 import core

from quintet.formats.arrow_values import plain_values

types = core.DataType
DAY = 86_400
YEAR_9999 = 253_402_214_400  # 9999-12-31
YEAR_10000 = YEAR_9999 + DAY


def made(numbers: list[int | None], kind: core.DataType) -> core.Array:
    narrow = types.is_date32(kind) or types.is_time32(kind)
    return core.Array(numbers, types.int32() if narrow else types.int64()).cast(kind)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (
            made(
                [YEAR_9999 * 10**6, YEAR_10000 * 10**6, -1, 1_500_000, None],
                types.timestamp("us"),
            ),
            [
                "9999-12-31T00:00:00",
                "+10000-01-01T00:00:00",
                "1969-12-31T23:59:59.999999",
                "1970-01-01T00:00:01.500000",
                None,
            ],
        ),
        (
            made([1_700_000_000_123_456_789, -1, 2**63 - 1], types.timestamp("ns")),
            [
                "2023-11-14T22:13:20.123456789",
                "1969-12-31T23:59:59.999999999",
                "2262-04-11T23:47:16.854775807",
            ],
        ),
        (made([YEAR_10000], types.timestamp("s")), ["+10000-01-01T00:00:00"]),
        (
            made([0, YEAR_10000 * 1000], types.timestamp("ms", tz="UTC")),
            ["1970-01-01T00:00:00+00:00", "+10000-01-01T00:00:00+00:00"],
        ),
        (made([0], types.timestamp("s", tz="Europe/Berlin")), ["1970-01-01T01:00:00+01:00"]),
        (made([0], types.timestamp("s", tz="-02:30")), ["1969-12-31T21:30:00-02:30"]),
        (
            made([0, 2_932_896, 2_932_897, -719_163, None], types.date32()),
            ["1970-01-01", "9999-12-31", "+10000-01-01", "0000-12-31", None],
        ),
        (made([0, YEAR_10000 * 1000], types.date64()), ["1970-01-01", "+10000-01-01"]),
        (
            made([0, 86_399_999_999_999, 1_000, None], types.time64("ns")),
            ["00:00:00", "23:59:59.999999999", "00:00:00.000001", None],
        ),
        (made([86_399_999], types.time32("ms")), ["23:59:59.999000"]),
        (made([DAY * 10**6, -1_500_000], types.duration("us")), ["PT86400S", "-PT1.500000S"]),
        (core.Array([b"abc", b"\xff\x00", b"", None], types.binary()), ["YWJj", "/wA=", "", None]),
        (core.Array([b"abc"], types.binary(3)), ["YWJj"]),
        (
            core.Array(["1.50", None], types.string()).cast(types.decimal128(38, 2)),
            ["1.50", None],
        ),
        (core.Array([1, None], types.int64()), [1, None]),
        (core.Array(["b'x'", None], types.string()), ["b'x'", None]),
        (core.Array([True, None], types.bool()), [True, None]),
    ],
)  # fmt: skip
def test_values_are_those_of_the_file(array: core.Array, expected: list[Any]) -> None:
    assert plain_values(array) == expected


def test_values_in_lists_and_structs_are_those_of_the_file() -> None:
    moments = made([YEAR_10000, 0], types.timestamp("s"))
    pairs = core.fixed_size_list_array(moments, 2)
    assert plain_values(pairs) == [["+10000-01-01T00:00:00", "1970-01-01T00:00:00"]]
    data = core.Array([b"a", None], types.binary())
    fields = [core.Field("at", moments.type), core.Field("data", data.type)]
    structs = core.struct_array([moments, data], fields=fields)
    assert plain_values(structs) == [
        {"at": "+10000-01-01T00:00:00", "data": "YQ=="},
        {"at": "1970-01-01T00:00:00", "data": None},
    ]
