"""INT96 times, as Spark writes them, keep their year."""

from __future__ import annotations

import io
import struct

import pytest
from arro3 import core
from arro3 import io as arrow_io
from tests.kits.forms import Source

from quintet.formats.arrow_values import plain_values
from quintet.formats.byte_streams import parquet_file
from quintet.formats.parquet import read_footer
from quintet.formats.parquet_rows import parquet_schema, record_batches
from quintet.formats.projection import project

types = core.DataType
JULIAN = 2_440_588  # of 1970-01-01


def int96_file(days_and_nanoseconds: list[tuple[int, int] | None], metadata: bool) -> bytes:
    """A file with INT96 times: what fixed binaries of 12 bytes are, but for their type."""
    values = [
        None if value is None else struct.pack("<qi", value[1], value[0] + JULIAN)
        for value in days_and_nanoseconds
    ]
    table = core.Table.from_pydict(
        {
            "t": core.Array(values, types.binary(12)),
            "x": core.Array(list(range(len(values))), types.int64()),
        }
    )
    file = io.BytesIO()
    pairs = {"org.apache.spark.version": "3.5.0"} if metadata else None
    arrow_io.write_parquet(
        table,
        file,
        skip_arrow_metadata=True,
        compression="uncompressed",
        key_value_metadata=pairs,
    )
    body = file.getvalue()
    start = len(body) - 8 - int.from_bytes(body[-8:-4], "little")
    meta = body[start:-8]
    assert meta.count(b"\x15\x0e") == 2  # the type, of the schema and of the column
    return body[:start] + meta.replace(b"\x15\x0e", b"\x15\x06") + body[-8:]


@pytest.mark.parametrize("metadata", [False, True])
def test_times_of_all_years_are_kept(metadata: bool) -> None:
    body = int96_file([(2_932_896, 0), (20_000, 123_456_789_000), None, (-200_000, 0)], metadata)
    source = Source(body)
    footer = read_footer(source)
    assert "Timestamp(µs)" in str(parquet_schema(footer).field("t").type)
    with parquet_file(source, footer, project(footer, 0, 1, ())) as view:
        (batch,) = record_batches(view)
    assert plain_values(batch.column("t")) == [
        "9999-12-31T00:00:00",
        "2024-10-04T00:02:03.456789",
        None,
        "1422-06-03T00:00:00",
    ]
    assert batch.column("x").to_pylist() == [0, 1, 2, 3]
