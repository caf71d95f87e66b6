"""Read row groups of Parquet in chunks, as columns, with each row's original record."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Iterator
from functools import partial
from typing import IO, Any, cast

import numpy as np
from arro3 import core
from arro3 import io as arrow_io

from quintet.columns import Array, Batch
from quintet.contract import Contract
from quintet.formats.arrow import arrow_errors, check_kind, column
from quintet.formats.arrow_values import plain_values
from quintet.formats.byte_streams import parquet_file
from quintet.formats.chunks import CHUNK_BYTES, CHUNK_ROWS, Chunk, Piece, arrays_batch, cuts
from quintet.formats.kinds import check_columns
from quintet.formats.parquet import Footer, View, read_footer
from quintet.formats.sources import ByteSource, Layout, Slice

__all__ = ["parquet_columns", "parquet_schema", "read_parquet", "record_batches"]


def parquet_columns(contract: Contract, footer: Footer) -> tuple[str, ...]:
    """The columns of a Parquet file, checked against the contract.

    Raises:
        BadInput: a required column is missing, or has a type that its feature cannot have.
    """
    schema = parquet_schema(footer)
    names = tuple(schema.names)
    check_columns(contract, names)
    kinds = {name: schema.field(name).type for name in names if name in contract.request_keys}
    nothing = core.Array([], core.DataType.int64())
    for name, kind in kinds.items():
        check_kind(name, kind)
    if not any(core.DataType.is_nested(k) or core.DataType.is_null(k) for k in kinds.values()):
        _batch_of(contract, {name: nothing.cast(kind) for name, kind in kinds.items()}, 0)
    return names


def parquet_schema(footer: Footer) -> core.Schema:
    """The columns of a Parquet file and their types. Raises BadInput."""
    view = cast(IO[bytes], View(io.BytesIO(), 4, footer.start, footer.of(0, 0)))
    with arrow_errors("the file", "Parquet, whole"):
        return arrow_io.read_parquet(view).schema


def _batch_of(contract: Contract, found: dict[str, core.Array], rows: int) -> Batch:
    arrays: dict[str, Array] = {}
    nulls: dict[str, Array] = {}
    for name, array in found.items():
        feature = contract.by_name.get(name)
        form = (feature.shape, feature.dtype) if feature else ()
        values, null = column(name, array, *form)
        arrays[name] = values
        if null is not None:
            nulls[name] = null
    return arrays_batch(contract, arrays, nulls, rows)


def read_parquet(
    contract: Contract, source: ByteSource, layout: Layout, part: Slice, left: int
) -> Iterator[Piece]:
    """The rows of some row groups. Raises as `quintet.formats.readers.read_slice` does."""
    footer = read_footer(source)
    wanted = [name for name in layout.columns if name in contract.request_keys]
    row = part.first_row
    with parquet_file(source, footer, part.start, part.end) as view:
        widest = max((group.width for group in footer.groups[part.start : part.end]), default=0)
        batches = record_batches(view, min(CHUNK_ROWS, max(1, CHUNK_BYTES // max(widest, 1))))
        for table in batches:
            for chosen in cuts(table.num_rows, left):
                some = table.slice(chosen.start, chosen.stop - chosen.start)
                yield partial(_chunk, contract, wanted, some, row)
                row += some.num_rows
            left -= table.num_rows


def _chunk(contract: Contract, wanted: list[str], table: core.RecordBatch, first: int) -> Chunk:
    rows = table.num_rows
    batch = _batch_of(contract, {name: table.column(name) for name in wanted}, rows)
    numbers = first + np.arange(rows)
    return Chunk(first, rows, batch, numbers, _record_of(table), column=table.column)


def record_batches(view: IO[bytes], rows: int = CHUNK_ROWS) -> Iterator[core.RecordBatch]:
    """The rows of a Parquet file, `rows` at a time or fewer.

    Raises:
        BadInput: the file is damaged.
    """
    words = ("the file", "Parquet, whole")
    with arrow_errors(*words):
        reader = arrow_io.read_parquet(view, batch_size=rows)
    for _ in itertools.count():
        with arrow_errors(*words):
            try:
                table = reader.read_next_batch()
            except StopIteration:
                return
        yield table


def _record_of(table: core.RecordBatch) -> Callable[[int], dict[str, Any]]:
    def original(position: int) -> dict[str, Any]:
        row = table.slice(position, 1)
        return {name: plain_values(row.column(name))[0] for name in row.schema.names}

    return original
