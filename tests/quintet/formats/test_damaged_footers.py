"""Footers of Parquet that the fuzzer damaged: files that have them are refused."""

from __future__ import annotations

import io
from typing import Any

import pytest
from arro3 import core
from arro3 import io as arrow_io
from tests.kits.forms import contract_of, read_file

from quintet.contract import Feature
from quintet.errors import BadInput

CONTRACT = contract_of(
    Feature(name="amount", dtype="float32"), Feature(name="visits", dtype="int64")
)


def parquet() -> bytes:
    columns: dict[str, Any] = {
        "amount": core.Array([5.5, 7.0], core.DataType.float32()),
        "visits": core.Array([2, 3], core.DataType.int64()),
        "country": core.Array(["de", "fr"], core.DataType.string()),
    }
    file = io.BytesIO()
    arrow_io.write_parquet(core.Table.from_pydict(columns), file)
    return file.getvalue()


@pytest.mark.parametrize(
    ("good", "damaged"),
    [
        (b"%\x02\x18\x07country", b"!\x02\x18\x07country"),  # its name becomes another field
        (b"%\x02\x18\x06visits", b"%\x02\x1a\x06visits"),  # its name becomes a set
        (b"&4&\x08\x1c", b"&4&\x00\x1c"),  # the dictionary's page begins before the row group
    ],
)
def test_a_damaged_footer_is_refused(good: bytes, damaged: bytes) -> None:
    body = parquet()
    assert body.count(good) == 1
    assert read_file(CONTRACT, "a.parquet", body).rows == 2
    with pytest.raises(BadInput, match="the file: expected Parquet"):
        read_file(CONTRACT, "a.parquet", body.replace(good, damaged))
