"""Parquet with the types that other libraries write: small decimals, large lists."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import pytest
from tests.kits.batch import BytesSource

from quintet.contract import Contract, DType, Feature
from quintet.formats.inspection import cut, inspect
from quintet.formats.readers import read_slice

# By pyarrow: d32, a decimal32(7, 2) of 1.50, -99999.99, null; d64, a decimal64(18, 0) of
# 9007199254740993, -1, null; pair, a large_list of decimal32(7, 2) with two values a row.
PYARROW = (
    "eNp9U81u00AQ3jjWElVRxGUsW/LBh9YSyC00pBFC6WFs8gcUYkuIInFxU8uNSJPgpIRyg4dAHHgUXoYnKTPrOKER"
    "6sg7OzPffN+OV9oBRocgwAbbA0mBBGkLITRa5TK5Hzfp6BvVPfD+1+AIttLNygjvQc+D6lbjQ/ZVpUfrD60dYnmE"
    "/ibUAd0aHwlTzocXyWUMUkANKqCZ5fMn9b0d0KHmfWBPPELuK6TZIETALiHkCTnSTH0WjzLQQL5qcUE39fFovgCt"
    "0LuXjJPLZLLY0jSkZVstV9hQs/aksNS5QGXDN3y30rfpBEEqrQfScjWdGLd6mw3VGxmR++LO3qdqPjVTMQkxq8bE"
    "mLi/Sv9QXSmtDt8YD/ddM6RboU1YtlnFKHrz7ll+UebP8iO269RHxBBze4m4RD/FDmKKQapqPjWccBAg9lVhs2MO"
    "BQ2OzlTOUv5HluagEynpdNPfZvd+nff8i/i0j6u8nfODtwXf/4K3+3EjEp9G4zMlH3S5319y3F+fdz2gItfCYbhG"
    "1r+K/KuI3bD+WiVTfL7SDdQ9UJIWJxHJD7neRRxyXzFsbnfrfz1Jc/22oqTMV/rb8+Z2fCxMZxZnn66Sxf5wNtuP"
    "s2y6dD4n2Xw0nTj15sHjg0OrRc8j/0SJnsaAXuJfC4m65Q=="
)
# By polars, which writes every list column as a large list: x of two floats a row, s of two
# texts, n an integer.
POLARS = (
    "eNqNVE1v2kAQXZsVRSgHFGVXtsTBl1iJEqXEBQEVUrMO+aChrUFKquQGsU1IiIkwCWnEsYceeuypv6AHfkPPOfW/"
    "tKfe2pldp6nURq0F83Zm3r43jABPtNcZYUfsaJVl4JBmaUJ0Qkgqm8L4g6jn+zOFdENhJsHcBsuaiyRtVrRrOujH"
    "40fBIDgPojEjPMOnfGpnCMi6zH1IXwPoYOhiOMbgs7lEM/5T0+e+fasRRpnFrCYAXNCSKfUEwWieza9CM3fvSDUt"
    "pTNqlkg6ZxpaBGqURzyyZyn7m07MPM+wKQcinG415ifHWYoV8ch08/0uHQ2HYxAs6YZ2zXSWbtagVaKGnJPphGUX"
    "deNuXkmL/0qb+422SJp5NKBQ0yKYysybNfutlv/3avkHyhaIPdPz/7Ey/okyTuyPNP/wFvhn5PAvOqd2BmABd2DM"
    "iXb71eun8fFJcN4x3qUe43NddIUQW/AWlSvMW0LlsrQnRCw2JbbEigf9yQTrDSF6Ce8FwKYkexgE3ncPUXoPU1ck"
    "fGwpEKJewL50Uj7QOENqQ+XuJRZP0e9G+kjTTcU/uFOVYe8USNXCLyU1l7udOInndeiv7KOfHG0X5623MD/E/nbr"
    "fr72/p2KDGXpfy+6o/zr8kO6DfQH3Ermmig/bwSXKlA6FG4PdeQ+Lvydg7Hq32Bf1eU8PUGMl95w0BnF1tLFm/HJ"
    "MFq2roJR3B9GlrO2vlawlrqX/YFvlcNqwen6T8LQd8phWHH89aJTrnQK1Y5TLYWhE5Y7gV91ls0afBPVi3yFH40H"
    "fw8/AWuA2Jw="
)


def read(text: str, *features: Feature) -> dict[str, Any]:
    """The columns of a file, None in place of refused values."""
    source = BytesSource(zlib.decompress(base64.b64decode(text)))
    contract = Contract(name="m", version=1, task="t", features=features, inputs=(), outputs=())
    found = inspect(contract, source, "a.parquet")
    (part,) = cut(found, 1 << 20)
    (piece,) = read_slice(contract, source, found.layout, part.slice, part.slice.rows)
    batch = piece().batch
    columns: dict[str, Any] = {name: column.tolist() for name, column in batch.columns.items()}
    for refusal in batch.refusals:
        columns[refusal.field][refusal.row] = None
    return columns


@pytest.mark.parametrize(
    ("dtype", "d32", "d64"),
    [
        ("float64", [1.5, -99999.99, None], [2.0**53, -1.0, None]),
        ("float32", [1.5, -99999.9921875, None], [2.0**53, -1.0, None]),
        ("int64", [None, None, None], [2**53 + 1, -1, None]),
        ("string", ["1.50", "-99999.99", None], ["9007199254740993", "-1", None]),
    ],
)
def test_small_decimals_are_exact(dtype: DType, d32: list[Any], d64: list[Any]) -> None:
    assert read(PYARROW, Feature(name="d32", dtype=dtype)) == {"d32": d32}
    assert read(PYARROW, Feature(name="d64", dtype=dtype)) == {"d64": d64}


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("float64", [[1.5, 2.25], [0.1, 3.0], [7.0, 8.0]]),
        ("string", [["1.50", "2.25"], ["0.10", "3.00"], ["7.00", "8.00"]]),
    ],
)
def test_large_lists_of_small_decimals_are_exact(dtype: DType, expected: list[Any]) -> None:
    assert read(PYARROW, Feature(name="pair", dtype=dtype, shape=(2,))) == {"pair": expected}


def test_the_lists_of_polars_are_vectors() -> None:
    found = read(
        POLARS,
        Feature(name="x", dtype="float32", shape=(2,)),
        Feature(name="s", dtype="string", shape=(2,)),
        Feature(name="n", dtype="int64"),
    )
    assert found == {"x": [[1.5, 2.5], [3.0, 4.0]], "s": [["a", "b"], ["c", "d"]], "n": [1, 2]}
    other = read(POLARS, Feature(name="x", dtype="float32", shape=(3,)))
    assert other == {"x": [None, None]}
