"""Read a unit: its rows in chunks, as columns, with the text or record that each row was.

arro3 parses a chunk of CSV many times faster than Python does, but fails all of it on one bad
row. So its result counts only where it is sure to be what a look at each row would give; every
other chunk gets that look, which refuses the bad rows only. Its JSON reader is not used: it
takes what the online path refuses (a number in quotes, 1.7 for an integer, a field given
twice), which only a second reading would find.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO, Any, Protocol, cast

import numpy as np
import orjson
from arro3 import core
from arro3 import io as arrow_io
from numpy.typing import NDArray

from quintet.batch.arrow import arrow_errors, check_kind, column
from quintet.batch.formats import check_columns
from quintet.batch.parquet import Footer, View, read_footer
from quintet.batch.runs import Inbox, Plan, Unit
from quintet.batch.splitting import LONGEST, Records, records
from quintet.batch.streams import parquet_file, text_blocks
from quintet.columns import Array, Batch, from_arrays, from_records, from_text
from quintet.contract import Contract
from quintet.errors import Refusal

__all__ = ["CHUNK_ROWS", "Chunk", "parquet_columns", "read_unit"]

#: rows of one run of the model: from 1,024 on the speed is that of the best batch
CHUNK_ROWS = 8192
#: integers from here on are not all floats
EXACT = 2.0**53

csv.field_size_limit(LONGEST)


@dataclass(slots=True)
class Chunk:
    """Some rows of a file.

    Row i of `batch` is row `rows[i]` of the file. `broken` holds the rows that could not be
    read at all. `original(i)` is the row as it stood, for the quarantine, i counting from
    the chunk's first row `first`, the broken ones included.
    """

    first: int
    size: int
    batch: Batch
    rows: NDArray[np.int64]
    original: Callable[[int], dict[str, Any]]
    broken: list[Refusal] = field(default_factory=list)


def read_unit(contract: Contract, plan: Plan, unit: Unit, inbox: Inbox) -> Iterator[Chunk]:
    """The rows of a unit, `CHUNK_ROWS` at a time or fewer.

    Raises:
        BadInput: the file cannot be read as what it was planned as.
        Transient: the inbox could not be read.
    """
    if plan.format == "parquet":
        return _read_parquet(contract, plan, unit, inbox)
    blocks = text_blocks(inbox, plan.input, plan.gzip, unit.start, unit.end)
    reader: _TextReader = (
        _CsvReader(contract, plan) if plan.format == "csv" else _JsonlReader(contract)
    )
    delimiter = plan.delimiter.encode() if plan.delimiter else None
    return _read_text(reader, records(blocks, delimiter, unit.start), unit.first_row)


# ---- text ------------------------------------------------------------------------------------


Found = tuple[Batch, Sequence[int] | None, list[Refusal]]


class _TextReader(Protocol):
    def read(self, text: bytes, cut: Callable[[], list[bytes]], rows: int) -> Found:
        """A chunk as a batch of the rows that could be read; `cut` cuts it into rows.

        With it come their positions (None: all), and the refusals of the others.
        """
        ...


def _read_text(reader: _TextReader, stream: Iterator[Records], row: int) -> Iterator[Chunk]:
    for part in stream:
        for at in range(0, len(part), CHUNK_ROWS):
            text = _Text(part, slice(at, at + CHUNK_ROWS))
            count = len(text.starts)
            batch, positions, broken = reader.read(text.whole(), text.cut, count)
            rows = row + np.arange(count)
            kept = rows if positions is None else rows[np.array(positions, dtype=np.int64)]
            yield Chunk(row, count, batch, kept, text.original, broken)
            row += count


class _Text:
    """Some records, as one text or cut into rows."""

    def __init__(self, part: Records, chosen: slice) -> None:
        self._data = part.data
        self.starts, self.ends = part.starts[chosen], part.ends[chosen]

    def whole(self) -> bytes:
        return self._data[self.starts[0] : self.ends[-1]]

    def cut(self) -> list[bytes]:
        data = self._data
        pairs = zip(self.starts.tolist(), self.ends.tolist(), strict=True)
        return [data[start:end] for start, end in pairs]

    def original(self, position: int) -> dict[str, Any]:
        return _shown_text(self._data[self.starts[position] : self.ends[position]])


def _shown_text(text: bytes) -> dict[str, Any]:
    text = text.rstrip(b"\r\n")
    try:
        return {"text": text.decode()}
    except UnicodeDecodeError:
        # what is no UTF-8 is kept byte by byte, each as the character of its number
        return {"text": text.decode("latin-1"), "encoding": "latin-1"}


class _CsvReader:
    def __init__(self, contract: Contract, plan: Plan) -> None:
        self._contract = contract
        self._delimiter = plan.delimiter or ","
        self._columns = plan.columns
        self._wanted = [
            (position, name)
            for position, name in enumerate(plan.columns)
            if name in contract.request_keys
        ]
        text, number = core.DataType.string(), core.DataType.float64()
        self._whole = set()
        kinds = [text] * len(plan.columns)
        for position, name in self._wanted:
            feature = contract.by_name.get(name)
            if feature is not None and feature.dtype not in ("string", "bool"):
                kinds[position] = number
                if "int" in feature.dtype:
                    self._whole.add(name)
        # names in the schema are positions: a file may hold a column it does not use twice
        self._schema = core.Schema([core.Field(str(i), k) for i, k in enumerate(kinds)])

    def read(self, text: bytes, cut: Callable[[], list[bytes]], rows: int) -> Found:
        batch = self._quick(text, rows)
        return self._careful(cut()) if batch is None else (batch, None, [])

    def _quick(self, text: bytes, rows: int) -> Batch | None:
        try:
            table = arrow_io.read_csv(
                text,
                self._schema,
                has_header=False,
                delimiter=self._delimiter,
                batch_size=rows + 1,
            ).read_all()
        except Exception:  # a bad number, a ragged row, text that is no UTF-8
            return None
        if table.num_rows != rows:
            return None
        arrays: dict[str, Array] = {}
        nulls: dict[str, Array] = {}
        for position, name in self._wanted:
            values, null = column(name, table.column(position).combine_chunks(), ())
            if values.dtype.kind == "f" and not self._sure(name, values):
                return None
            arrays[name] = values
            if null is not None:
                nulls[name] = null
        batch = _from_arrays(self._contract, arrays, nulls, rows)
        return None if batch.refusals else batch

    def _sure(self, name: str, values: Array) -> bool:
        """Whether the floats of a column are surely what its text says: no NaN, exact."""
        return not np.isnan(values).any() and (
            name not in self._whole or bool((np.abs(values) < EXACT).all())
        )

    def _careful(self, texts: Sequence[bytes]) -> Found:
        cells: list[list[str]] = []
        positions: list[int] = []
        broken: list[Refusal] = []
        for position, text in enumerate(texts):
            try:
                row = next(csv.reader([text.decode()], delimiter=self._delimiter), [])
            except UnicodeDecodeError:
                broken.append(Refusal(position, "row", "text in UTF-8", "another encoding"))
                continue
            except csv.Error as error:
                broken.append(Refusal(position, "row", "a row of CSV", _csv_words(error)))
                continue
            if len(row) != len(self._columns):
                expected = f"{len(self._columns)} cells"
                broken.append(Refusal(position, "row", expected, str(len(row))))
                continue
            cells.append(row)
            positions.append(position)
        by_name = {name: [row[i] for row in cells] for i, name in self._wanted}
        return _from_text(self._contract, by_name, len(cells)), positions, broken


def _csv_words(error: csv.Error) -> str:
    return "a carriage return outside quotes" if "new-line" in str(error) else "a field too long"


def _from_text(contract: Contract, cells: dict[str, list[str]], rows: int) -> Batch:
    # a file of none of the contract's columns (all have defaults) still has rows
    return from_text(contract, cells) if cells else from_records(contract, [{}] * rows)


def _from_arrays(
    contract: Contract, arrays: dict[str, Array], nulls: dict[str, Array], rows: int
) -> Batch:
    return from_arrays(contract, arrays, nulls) if arrays else from_records(contract, [{}] * rows)


class _JsonlReader:
    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._keys = contract.request_keys

    def read(self, text: bytes, cut: Callable[[], list[bytes]], rows: int) -> Found:
        texts = cut()
        try:
            found = list(map(orjson.loads, texts))
        except ValueError:
            return self._careful(texts)
        # every field has a colon: where there are no more colons, no field came twice
        if set(map(type, found)) != {dict} or text.count(b":") != sum(map(len, found)):
            return self._careful(texts)
        return self._batch(found), None, []

    def _batch(self, found: list[Any]) -> Batch:
        plain = [record for record in found if type(record) is dict]
        if set().union(*plain) - self._keys:
            keys = self._keys
            found = [
                {name: record[name] for name in record.keys() & keys}
                if type(record) is dict
                else record
                for record in found
            ]
        return from_records(self._contract, found)

    def _careful(self, texts: Sequence[bytes]) -> Found:
        found: list[Any] = []
        positions: list[int] = []
        broken: list[Refusal] = []
        for position, text in enumerate(texts):
            try:
                record = orjson.loads(text)
                if type(record) is dict and text.count(b":") != len(record):
                    json.loads(text, object_pairs_hook=_once)
            except _Twice as error:
                got = "it twice"
                broken.append(Refusal(position, str(error)[:60], "the field once", got))
                continue
            except (ValueError, RecursionError):
                broken.append(Refusal(position, "row", "a JSON object", _json_words(text)))
                continue
            found.append(record)
            positions.append(position)
        return self._batch(found), positions, broken


class _Twice(Exception):
    """A JSON object holds this field twice."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _Twice(name)
        found[name] = value
    return found


def _json_words(text: bytes) -> str:
    try:
        text.decode()
    except UnicodeDecodeError:
        return "text that is not UTF-8"
    try:
        json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return "text that is not JSON"
    return "a number out of range"


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


# ---- Parquet -----------------------------------------------------------------------------------


def parquet_columns(contract: Contract, footer: Footer) -> tuple[str, ...]:
    """The columns of a Parquet file, checked against the contract.

    Raises:
        BadInput: a required column is missing, or one is of a kind its feature cannot have.
    """
    view = cast(IO[bytes], View(io.BytesIO(), 4, footer.start, footer.of(0, 0)))
    with arrow_errors("the file", "Parquet, whole"):
        schema = arrow_io.read_parquet(view).schema
    names = tuple(schema.names)
    check_columns(contract, names)
    kinds = {name: schema.field(name).type for name in names if name in contract.request_keys}
    nothing = core.Array([], core.DataType.int64())
    for name, kind in kinds.items():
        check_kind(name, kind)
    if not any(core.DataType.is_nested(k) or core.DataType.is_null(k) for k in kinds.values()):
        _batch_of(contract, {name: nothing.cast(kind) for name, kind in kinds.items()}, 0)
    return names


def _batch_of(contract: Contract, found: dict[str, core.Array], rows: int) -> Batch:
    arrays: dict[str, Array] = {}
    nulls: dict[str, Array] = {}
    for name, array in found.items():
        feature = contract.by_name.get(name)
        values, null = column(name, array, feature.shape if feature else ())
        arrays[name] = values
        if null is not None:
            nulls[name] = null
    return _from_arrays(contract, arrays, nulls, rows)


def _read_parquet(contract: Contract, plan: Plan, unit: Unit, inbox: Inbox) -> Iterator[Chunk]:
    footer = read_footer(lambda a, b: inbox.read(plan.input, a, b), plan.input.size)
    wanted = [name for name in plan.columns if name in contract.request_keys]
    row = unit.first_row
    with parquet_file(inbox, plan.input, footer, unit.start, unit.end) as view:
        batches = _batches(view)
        for table in batches:
            rows = table.num_rows
            found = {name: table.column(name) for name in wanted}
            batch = _batch_of(contract, found, rows)
            yield Chunk(row, rows, batch, row + np.arange(rows), _record_of(table))
            row += rows


def _batches(view: IO[bytes]) -> Iterator[core.RecordBatch]:
    words = ("the file", "Parquet, whole")
    with arrow_errors(*words):
        reader = arrow_io.read_parquet(view, batch_size=CHUNK_ROWS)
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
        return {"record": {name: row.column(name).to_pylist()[0] for name in row.schema.names}}

    return original
