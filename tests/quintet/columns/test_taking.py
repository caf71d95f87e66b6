"""Some rows of a batch are the batch of these rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.kits.models import SHOP

from quintet.columns import from_records, take
from quintet.columns.tensors import from_tensors

WITH_ID = replace(SHOP, id="order")


@pytest.mark.parametrize("rows", [[0, 2, 3], [1], [], [0, 1, 2, 3]])
def test_rows_taken_of_records_are_those_records(rows: list[int]) -> None:
    records: list[Any] = [
        {"customer": "a", "amount": 1.5, "items": 2, "order": "o1"},
        {"customer": "b", "amount": "no", "items": 1},
        {"customer": "", "amount": 3},
        {"customer": "d", "amount": 4, "items": 3, "order": 7},
    ]
    batch = from_records(WITH_ID, [dict(record) for record in records])
    found, alone = (
        take(batch, np.array(rows, np.int64)),
        from_records(WITH_ID, [dict(records[row]) for row in rows]),
    )
    assert (found.rows, found.entities) == (alone.rows, alone.entities if rows else [])
    assert found.good.tolist() == alone.good.tolist()
    assert (found.ids or [None] * len(rows)) == (alone.ids or [None] * len(rows))
    assert [r for r in found.refusals if r.field] == alone.refusals
    for name in found.columns:
        assert found.columns[name].tolist() == alone.columns[name].tolist()
    assert batch.rows == 4


def test_stacked_columns_stay_stacked() -> None:
    keys = np.array(["a", "b", "c"], dtype=object)
    some = {name: np.array([1, 2, 3], "f4") for name in ("amount", "items")}
    batch = from_tensors(SHOP, {"customer": keys, **some})
    batch.stacked["amount", "items"] = np.array([[1, 2], [3, 4], [5, 6]], "f4")
    found = take(batch, np.array([0, 2]))
    assert found.stacked["amount", "items"].tolist() == [[1, 2], [5, 6]]
    assert found.columns["items"].tolist() == [2, 6]
    assert found.columns["items"].base is not None
