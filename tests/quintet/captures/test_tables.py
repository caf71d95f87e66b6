"""Files of captures: few rows are written as they are, many compressed."""

from __future__ import annotations

import pytest

from quintet.captures.tables import FEW, read_parquet, table_of, write_parquet

REASON = "no orders are known of this customer. " * 20


@pytest.mark.parametrize(("rows", "plain"), [(1, True), (FEW, True), (FEW + 1, False)])
def test_few_rows_are_not_compressed(rows: int, plain: bool) -> None:
    body = write_parquet(table_of(rows, {"outcome": "failed", "failure": REASON}, {}))
    assert (REASON.encode() in body) is plain
    assert read_parquet(body)["failure"].to_pylist() == [REASON] * rows
