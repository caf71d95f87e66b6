"""Read row groups of Parquet in chunks, as columns, with each row's original record."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from functools import partial
from typing import IO, Any, cast

import numpy as np
from arro3 import core
from arro3 import io as arrow_io

from quintet.columns import Array, Batch
from quintet.contract import Contract
from quintet.errors import BadInput
from quintet.formats.arrow import arrow_errors, check_kind, column
from quintet.formats.arrow_values import plain_values
from quintet.formats.byte_streams import parquet_file
from quintet.formats.chunks import CHUNK_BYTES, CHUNK_ROWS, Chunk, Piece, arrays_batch, cuts
from quintet.formats.kinds import check_columns
from quintet.formats.parquet import Footer, View, read_footer
from quintet.formats.projection import Projection, project
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
        feature = contract.by_key.get(name)
        form = (feature.shape, feature.dtype) if feature else ()
        values, null = column(name, array, *form)
        arrays[name] = values
        if null is not None:
            nulls[name] = null
    return arrays_batch(contract, arrays, nulls, rows)


def read_parquet(
    contract: Contract,
    source: ByteSource,
    layout: Layout,
    part: Slice,
    left: int,
    *,
    whole: bool = False,
) -> Iterator[Piece]:
    """The rows of some row groups. Raises as `quintet.formats.readers.read_slice` does."""
    footer = read_footer(source)
    wanted = [name for name in layout.columns if name in contract.request_keys]
    seen = project(footer, part.start, part.end, () if whole else wanted)
    rest = None if seen.whole else _WholeRows(source, footer, part)
    row, groups = part.first_row, _Unread(seen)
    with parquet_file(source, footer, seen, groups.start) as view:
        for table in record_batches(view, _rows_at_once(seen)):
            groups.read += table.num_rows
            for chosen in cuts(contract, table.num_rows, left):
                some = table.slice(chosen.start, chosen.stop - chosen.start)
                yield partial(_chunk, contract, wanted, some, row, rest)
                row += some.num_rows
            left -= table.num_rows


class _Unread:
    """The row groups whose rows are not all `read`."""

    def __init__(self, part: Projection) -> None:
        ends = itertools.accumulate(group.rows for group in part.groups)
        self._groups = list(zip(ends, (group.start for group in part.groups), strict=True))
        self.read = 0

    def start(self) -> int:
        """Where the first of them starts in the file."""
        self._groups = [group for group in self._groups if group[0] > self.read]
        return min((start for _, start in self._groups), default=0)


def _rows_at_once(part: Projection) -> int:
    widest = max((group.width for group in part.groups), default=0)
    return min(CHUNK_ROWS, max(1, CHUNK_BYTES // max(widest, 1)))


def _chunk(
    contract: Contract,
    wanted: list[str],
    table: core.RecordBatch,
    first: int,
    rest: _WholeRows | None,
) -> Chunk:
    rows = table.num_rows
    batch = _batch_of(contract, {name: table.column(name) for name in wanted}, rows)
    numbers = first + np.arange(rows)

    def original(position: int) -> dict[str, Any]:
        record = _record(table.slice(position, 1))
        return rest.record(first + position, record) if rest else record

    return Chunk(first, rows, batch, numbers, original, column=table.column)


class _WholeRows:
    """Rows of a file with all of its columns, read where one is refused, and kept whole.

    They are asked for in their order, by one thread.
    """

    def __init__(self, source: ByteSource, footer: Footer, part: Slice) -> None:
        self._source, self._footer, self._part = source, footer, part
        self._tables: Iterator[core.RecordBatch] = iter(())
        self._table: core.RecordBatch | None = None
        self._first = self._end = 0

    def record(self, row: int, known: dict[str, Any]) -> dict[str, Any]:
        """A row of the file; where its other columns cannot be read, what is `known` of it."""
        try:
            table = self._at(row)
        except BadInput:  # damaged or encrypted there: the model does not take those columns
            return known
        return _record(table.slice(row - self._first, 1))

    def _at(self, row: int) -> core.RecordBatch:
        if self._table is None or row < self._first:
            self._tables, self._end = self._read(), self._part.first_row
        while self._table is None or row >= self._end:
            self._table = next(self._tables)
            self._first, self._end = self._end, self._end + self._table.num_rows
        return self._table

    def _read(self) -> Iterator[core.RecordBatch]:
        whole = project(self._footer, self._part.start, self._part.end, ())
        with parquet_file(self._source, self._footer, whole) as view:
            yield from record_batches(view, _rows_at_once(whole))


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


def _record(row: core.RecordBatch) -> dict[str, Any]:
    return {name: plain_values(row.column(name))[0] for name in row.schema.names}
