"""INT96 times of Parquet (Spark's, Hive's and Impala's) in microseconds, which hold all years.

arrow-rs reads them as nanoseconds, which end in 2262: Spark's year 9999 became 1816. It heeds
another unit in the Arrow schema that writers may leave in a footer; so one is put there.
"""

from __future__ import annotations

import io

from arro3 import core
from arro3 import io as arrow_io

from quintet.formats.arrow import arrow_errors
from quintet.formats.parquet import MAGIC, footer_fields, list_header

__all__ = ["SCHEMA", "has_int96", "with_microseconds"]

#: fields of a footer: https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift
SCHEMA, ROW_GROUPS, KEY_VALUES = 2, 4, 5
TYPE, NAME, INT96 = 1, 4, 3
LIST = 9
ARROW = b"ARROW:schema"


def has_int96(meta: bytes) -> bool:
    """Whether a footer has such columns, and no Arrow schema of its writer's."""
    fields = footer_fields(meta)
    pairs = fields[KEY_VALUES].value if KEY_VALUES in fields else []
    return not any(pair.value[1].value == ARROW for pair in pairs) and any(
        TYPE in element.value and element.value[TYPE].value == INT96
        for element in fields[SCHEMA].value
    )


def with_microseconds(meta: bytes, empty: bytes) -> bytes:
    """A footer whose INT96 columns are read in microseconds; `empty` is the file without rows."""
    fields = footer_fields(meta)
    with arrow_errors("the file", "Parquet, whole"):
        known = arrow_io.read_parquet(io.BytesIO(MAGIC + empty)).schema
    times = {
        element.value[NAME].value.decode()
        for element in fields[SCHEMA].value
        if TYPE in element.value and element.value[TYPE].value == INT96
    }
    schema = core.Schema(
        [
            field.with_type(core.DataType.timestamp("us")) if field.name in times else field
            for field in (known.field(name) for name in known.names)
        ]
    )
    pair = _arrow_pair(schema)
    if KEY_VALUES in fields:
        held = fields[KEY_VALUES]
        pairs = [meta[item.start : item.end] for item in held.value]
        return meta[: held.start] + _joined([*pairs, pair]) + meta[held.end :]
    at = fields[ROW_GROUPS].end  # fields are in their order, each with the distance to the last
    following = meta[at] - (KEY_VALUES - ROW_GROUPS << 4) if meta[at] else 0
    header = bytes([KEY_VALUES - ROW_GROUPS << 4 | LIST])
    return meta[:at] + header + _joined([pair]) + bytes([following]) + meta[at + 1 :]


def _joined(pairs: list[bytes]) -> bytes:
    return list_header(len(pairs)) + b"".join(pairs)


def _arrow_pair(schema: core.Schema) -> bytes:
    """The entry of a footer that holds an Arrow schema, as arro3 writes it."""
    file = io.BytesIO()
    arrow_io.write_parquet(core.Table.from_batches([], schema=schema), file)
    body = file.getvalue()
    start = len(body) - 8 - int.from_bytes(body[-8:-4], "little")
    meta = body[start:-8]
    (pair,) = footer_fields(meta)[KEY_VALUES].value
    return meta[pair.start : pair.end]
