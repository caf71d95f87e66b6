"""One rule for entity keys on every path: a key is text, a whole number without a fraction."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from arro3 import core
from arro3 import io as arrow_io
from tests.kits.forms import CSV_FORMS, JSON_FORMS, contract_of, keys, npy, oip, parquet

from quintet.contract import Feature
from quintet_cli.feature_files import read

types = core.DataType
CONTRACT = contract_of(Feature(name="x", dtype="float32"), entity="id")
CELLS = ["17850", "17850.0", "17850.00", "017850", "-3.0", "-0.0", "A-1", "1.5", "1.0.0", "1e5"]
KEYS = ["17850", "17850", "17850", "017850", "-3", "0", "A-1", "1.5", "1.0.0", "1e5"]


@pytest.mark.parametrize("form", CSV_FORMS)
def test_keys_of_csv(form: str) -> None:
    batch = CSV_FORMS[form](CONTRACT, [{"id": cell, "x": "1"} for cell in CELLS])
    assert keys(batch) == KEYS


@pytest.mark.parametrize("form", JSON_FORMS)
def test_keys_of_json(form: str) -> None:
    written = {
        "17850": "17850",
        "17850.0": "17850",
        "1.7850e4": "17850",
        "1.5": "1.5",
        "9223372036854775807": "9223372036854775807",
        "1329187654321098765.0": None,  # it may be one of many
        "true": None,
        "null": None,
        '""': None,
        **{f'"{cell}"': key for cell, key in zip(CELLS, KEYS, strict=True)},
    }
    batch = JSON_FORMS[form](CONTRACT, [{"id": value, "x": "1"} for value in written])
    assert dict(zip(written, keys(batch), strict=True)) == written


def texts(cells: Sequence[str | None], kind: core.DataType) -> core.Array:
    return core.Array(cells, types.string()).cast(kind)


LONG = ["1329187654321098765", "1329187654321098766", "1329187654321098767", None]
COLUMNS: list[tuple[core.Array, Sequence[str | None]]] = [
    (core.Array([17850, -3, None], types.int64()), ["17850", "-3", None]),
    (core.Array([17850, 2**64 - 1], types.uint64()), ["17850", str(2**64 - 1)]),
    (core.Array([17850.0, 1.5, None], types.float64()), ["17850", "1.5", None]),
    (core.Array([17850.0, float("nan"), 2.0**53], types.float64()), ["17850", None, None]),
    (core.Array([17850.0, 0.1], types.float32()), ["17850", "0.1"]),
    (core.Array([178.0, None], types.float32()).cast(types.float16()), ["178", None]),
    (texts(LONG, types.decimal128(20, 0)), LONG),
    (texts(LONG, types.decimal256(70, 0)), LONG),
    (texts(["17850.00", "17850.50"], types.decimal128(10, 2)), ["17850", "17850.50"]),
    (core.Array([*CELLS, None, ""], types.string()), [*KEYS, None, None]),
    (core.Array(CELLS, types.large_string()), KEYS),
    (core.Array([True, False], types.bool()), [None, None]),
]


@pytest.mark.parametrize(("column", "expected"), COLUMNS)
def test_keys_of_parquet(column: core.Array, expected: Sequence[str | None]) -> None:
    x = core.Array([1.0] * len(column), types.float32())
    assert keys(parquet(CONTRACT, id=column, x=x)) == expected


def test_keys_of_arrays_and_tensors() -> None:
    rows = np.array([[17850, 1], [np.nan, 1], [2.0**53, 1], [1.5, 1]])
    assert keys(npy(CONTRACT, rows)) == ["17850", None, None, "1.5"]
    x: tuple[str, list[int], list[Any]] = ("FP32", [2], [1.0, 1.0])
    for datatype, data in (
        ("INT64", [17850, 5]),
        ("FP64", [17850.0, 5.0]),
        ("BYTES", ["17850.0", "5"]),
    ):
        assert keys(oip(CONTRACT, id=(datatype, [2], data), x=x)) == ["17850", "5"]


@pytest.mark.parametrize("column", [[17850.0], ["17850.0"], [17850], ["17850"]])
def test_keys_of_stored_features(tmp_path: Path, column: list[Any]) -> None:
    path = tmp_path / "features.parquet"
    kind = types.string() if isinstance(column[0], str) else types.float64()
    stored = core.Array([1.0], types.float32())
    arrow_io.write_parquet(
        core.Table.from_pydict({"id": core.Array(column, kind), "stored": stored}), str(path)
    )
    assert [row.entity for row in read(CONTRACT, path, 0.0).rows] == ["17850"]
    path = tmp_path / "features.csv"
    path.write_text(f"id,stored\n{column[0]},1\n")
    assert [row.entity for row in read(CONTRACT, path, 0.0).rows] == ["17850"]
