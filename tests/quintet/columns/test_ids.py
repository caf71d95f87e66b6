"""One rule for rows' own ids on every path: text as it is, or a whole number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from arro3 import core
from tests.kits.forms import CSV_FORMS, JSON_FORMS, contract_of, ids, npy, oip, parquet

from quintet.columns import from_records, layout, merge
from quintet.contract import Feature
from quintet.errors import BadInput

types = core.DataType
CONTRACT = contract_of(Feature(name="x", dtype="float32"), id="order_id")
LONGEST = "ö" * 100


@pytest.mark.parametrize("form", JSON_FORMS)
def test_ids_of_json(form: str) -> None:
    written = {
        '"A-1"': "A-1",
        '"007"': "007",
        '"1.0"': "1.0",
        "536365": "536365",
        "536365.0": "536365",
        "9223372036854775807": "9223372036854775807",
        "null": None,
        '""': None,
        f'"{LONGEST}"': LONGEST,
        f'"{LONGEST}x"': "refused",
        "1329187654321098765.0": "refused",  # it may be one of many
        "1.5": "refused",
        "true": "refused",
        "[1]": "refused",
    }
    batch = JSON_FORMS[form](CONTRACT, [{"order_id": value, "x": "1"} for value in written])
    assert dict(zip(written, ids(batch), strict=True)) == written
    assert "order_id" not in batch.columns


@pytest.mark.parametrize("form", JSON_FORMS)
@pytest.mark.parametrize("own", [['"A-1"', '"B-2"'], ["7", "8"]])
def test_ids_of_uniform_json(form: str, own: list[str]) -> None:
    batch = JSON_FORMS[form](CONTRACT, [{"order_id": one, "x": "1.5"} for one in own])
    assert ids(batch) == [one.strip('"') for one in own]


@pytest.mark.parametrize("form", CSV_FORMS)
@pytest.mark.parametrize("cells", [["A-1", "007", "1.0", ""], ["A-1", LONGEST + "x"]])
def test_ids_of_csv(form: str, cells: list[str]) -> None:
    batch = CSV_FORMS[form](CONTRACT, [{"order_id": cell, "x": "1"} for cell in cells])
    known: dict[str, str | None] = {"": None, LONGEST + "x": "refused"}
    assert ids(batch) == [known.get(cell, cell) for cell in cells]


COLUMNS: list[tuple[core.Array, Sequence[str | None]]] = [
    (core.Array([536365, None], types.int64()), ["536365", None]),
    (core.Array([536365.0, 1.5, None], types.float64()), ["536365", "refused", None]),
    (core.Array(["A-1", "", None], types.string()), ["A-1", None, None]),
    (core.Array([True], types.bool()), ["refused"]),
]


@pytest.mark.parametrize(("column", "expected"), COLUMNS)
def test_ids_of_parquet(column: core.Array, expected: Sequence[str | None]) -> None:
    x = core.Array([1.0] * len(column), types.float32())
    assert ids(parquet(CONTRACT, order_id=column, x=x)) == expected


def test_ids_of_tensors() -> None:
    x: tuple[str, list[int], list[Any]] = ("FP32", [2], [1.0, 1.0])
    for datatype, shape, data in (
        ("INT64", [2], [7, 8]),
        ("BYTES", [2, 1], ["7", "8"]),
    ):
        assert ids(oip(CONTRACT, order_id=(datatype, shape, data), x=x)) == ["7", "8"]
    several = ("INT64", [2, 2], [7, 8, 9, 10])
    for contract, name in ((CONTRACT, "order_id"), (contract_of(entity="key"), "key")):
        with pytest.raises(BadInput, match=rf"{name}: expected one value for each row"):
            oip(contract, **{name: several}, **({"x": x} if contract is CONTRACT else {}))


def test_rows_without_an_id_and_without_its_field_are_accepted() -> None:
    batch = from_records(CONTRACT, [{"x": 1}, {"x": 2}])
    assert (batch.ids, batch.refusals) == (None, [])
    assert ids(npy(CONTRACT, np.array([[1.0], [2.0]]))) == [None, None]


def test_a_refusal_names_the_field_and_the_value() -> None:
    (refusal,) = from_records(CONTRACT, [{"x": 1, "order_id": 1.5}]).refusals
    assert str(refusal) == (
        "row 0: order_id: expected a string of at most 200 bytes, or a whole number, got 1.5"
    )


def test_merged_batches_keep_their_ids() -> None:
    with_ids = from_records(CONTRACT, [{"x": 1, "order_id": "a"}])
    without = from_records(CONTRACT, [{"x": 2}])
    assert layout(with_ids) == layout(without)
    assert merge([with_ids, without, with_ids]).ids == ["a", None, "a"]
    assert merge([without, without]).ids is None
