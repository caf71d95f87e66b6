"""Read CSV and JSONL records in chunks, as columns, with each row's original text.

`quintet.formats.alike` reads uniform rows. arro3 parses a CSV chunk many times faster than Python,
but fails the whole chunk for one bad row. So its result is used only if it certainly equals that of
reading row by row; any other chunk is read row by row, which refuses only the bad rows. arro3's
JSON reader is not used: it accepts what the online path refuses (a number in quotes, 1.7 for an
integer, a duplicate field), which only a second parse would find.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from itertools import accumulate, pairwise
from typing import Any, Protocol

import numpy as np
import orjson
from arro3 import core

from quintet.columns import Array, Batch, from_records, merge
from quintet.columns.tables import from_text
from quintet.contract import Contract
from quintet.errors import BadInput, Refusal
from quintet.formats import strict_json
from quintet.formats.alike_csv import csv_batch
from quintet.formats.alike_jsonl import jsonl_batch
from quintet.formats.arrow import column, csv_table
from quintet.formats.chunks import Chunk, Piece, arrays_batch, cuts, even
from quintet.formats.csv_rows import Cells, csv_cells
from quintet.formats.sources import Layout
from quintet.formats.splitting import MAX_HELD_BYTES, MAX_RECORD_BYTES, Positions, Records
from quintet.formats.vectors import spread, together

__all__ = ["read_text"]

csv.field_size_limit(MAX_RECORD_BYTES)

Found = tuple[Batch, Sequence[int] | None, list[Refusal]]


#: about: bytes of text that are read at once, which fit a processor's cache
AT_ONCE = 1 << 19

#: from so many digits on, a float may lose its fraction and look whole
LONG = re.compile(rb"[0-9.]{16}|[eE]-")


class _TextReader(Protocol):
    def read(self, text: _Text) -> Found:
        """A chunk as a batch of its readable rows.

        Also their positions (None: all) and the refusals of the others.
        """
        ...


def read_text(
    contract: Contract, layout: Layout, stream: Iterator[Records], row: int, left: int
) -> Iterator[Piece]:
    """The records of a stream from row `row` of the file; `left` rows of the unit remain."""
    reader: _TextReader = (
        _CsvReader(contract, layout) if layout.format == "csv" else _JsonlReader(contract)
    )
    for part in stream:
        if part.longest > MAX_RECORD_BYTES:
            yield partial(_too_long, contract, layout, part, row)
            row, left = row + 1, left - 1
            continue
        for chosen in cuts(contract, len(part), left):
            text = _Text(part, chosen)
            yield partial(_chunk, reader, text, row)
            row += len(text)
        left -= len(part)


def _chunk(reader: _TextReader, text: _Text, first: int) -> Chunk:
    count = len(text)
    batch, positions, broken = reader.read(text)
    rows = first + np.arange(count)
    kept = rows if positions is None else rows[np.array(positions, dtype=np.int64)]
    return Chunk(first, count, batch, kept, text.original, broken, text=text.whole)


def _too_long(contract: Contract, layout: Layout, part: Records, row: int) -> Chunk:
    """The chunk of a record that is too long: it is refused, unread."""
    what = "a row of CSV" if layout.format == "csv" else "a JSON object"
    expected = f"{what} of at most {MAX_RECORD_BYTES:,} bytes"
    if any(feature.shape for feature in contract.features):
        expected += " (use Parquet for larger ones, such as images)"
    size = part.longest
    got = f"{size:,} bytes"
    if size > MAX_HELD_BYTES:
        got += f", of which the first {MAX_HELD_BYTES:,} are kept"
    start = int(part.starts[0])
    held = part.data[start : start + min(size, MAX_HELD_BYTES)].rstrip(b"\r\n")
    nothing = np.empty(0, dtype=np.int64)
    refusals = [Refusal(0, "row", expected, got)]
    return Chunk(row, 1, from_records(contract, []), nothing, lambda _: held, refusals)


class _Text:
    """Some records, as one text or cut into rows."""

    def __init__(self, part: Records, chosen: slice) -> None:
        self._part, self._data = part, part.data
        self.well_quoted = part.well_quoted
        self.starts, self.ends = part.starts[chosen], part.ends[chosen]

    def __len__(self) -> int:
        return len(self.starts)

    def read_alike(self, read: Callable[[bytes, Positions], Batch | None]) -> Batch | None:
        """Read all records with `read`, which gets some records, the last with its newline, and
        their ends.

        None if `read` returns None.
        """
        batches = []
        size = int(self.ends[-1] - self.starts[0])
        for some in even(len(self), max(1, len(self) * AT_ONCE // size)):
            start, ends = int(self.starts[some.start]), self.ends[some]
            text = self._data[start : ends[-1]]
            ends = ends - start
            if not text.endswith(b"\n"):
                text, ends[-1] = text + b"\n", len(text) + 1
            batch = read(text, ends)
            if batch is None:
                return None
            batches.append(batch)
        return merge(batches) if len(batches) > 1 else batches[0]

    def whole(self) -> bytes:
        return self._data[self.starts[0] : self.ends[-1]]

    def cut(self) -> list[bytes]:
        data = self._data
        pairs = zip(self.starts.tolist(), self.ends.tolist(), strict=True)
        return [data[start:end] for start, end in pairs]

    @cached_property
    def lines(self) -> list[int]:
        """The line number of each row's start."""
        data, starts = self._data, self.starts.tolist()
        passed = (data.count(b"\n", start, end) for start, end in pairwise(starts))
        return [*accumulate(passed, initial=self._part.line_at(starts[0]))]

    def original(self, position: int) -> bytes:
        return self._data[self.starts[position] : self.ends[position]].rstrip(b"\r\n")


class _CsvReader:
    def __init__(self, contract: Contract, layout: Layout) -> None:
        self._whole = contract
        self._has_vectors = any(feature.shape for feature in contract.requested)
        self._contract = contract = spread(contract) if self._has_vectors else contract
        self._delimiter = layout.delimiter or ","
        self._columns = layout.columns
        self._wanted = [
            (position, name)
            for position, name in enumerate(layout.columns)
            if name in contract.request_keys
        ]
        text, number, whole = (
            core.DataType.string(),
            core.DataType.float64(),
            core.DataType.int64(),
        )
        self._kinds = [text] * len(layout.columns)
        for position, name in self._wanted:
            feature = contract.by_key.get(name)
            if feature is not None and feature.dtype not in ("string", "bool"):
                self._kinds[position] = whole if "int" in feature.dtype else number
        #: pandas writes the whole numbers of a column with gaps as "12.0"
        self._floats = [number if kind is whole else kind for kind in self._kinds]

    def read(self, text: _Text) -> Found:
        batch, positions, broken = self._read(text)
        if self._has_vectors:
            batch = together(self._whole, batch)
        return batch, positions, broken

    def _read(self, text: _Text) -> Found:
        batch = text.read_alike(partial(csv_batch, self._contract, self._columns, self._delimiter))
        # arro3 reads "x"y as xy, and no decimal commas
        if batch is None and text.well_quoted and self._contract.decimal == ".":
            batch = self._quick(text)
        return self._careful(text) if batch is None else (batch, None, [])

    def _quick(self, texts: _Text) -> Batch | None:
        text, rows = texts.whole(), len(texts)
        table = csv_table(text, self._kinds, self._delimiter, rows)
        if table is None and self._kinds != self._floats and not LONG.search(text):
            table = csv_table(text, self._floats, self._delimiter, rows)
        if table is None:
            return None
        arrays: dict[str, Array] = {}
        nulls: dict[str, Array] = {}
        for position, name in self._wanted:
            values, null = column(name, table.column(position).combine_chunks(), ())
            if values.dtype.kind == "f" and np.isnan(values).any():
                return None
            arrays[name] = values
            if null is not None:
                nulls[name] = null
                if values.dtype.kind == "O" and b'""' in text:
                    self._restore_empty(texts, position, values, null)
        batch = arrays_batch(self._contract, arrays, nulls, rows)
        return None if batch.refusals else batch

    def _restore_empty(self, texts: _Text, position: int, values: Array, null: Array) -> None:
        """Set the cells of a column that are a quoted empty text, which arro3 reads as missing."""
        for row in np.flatnonzero(null).tolist():
            cells = csv_cells(texts.original(row).decode(), self._delimiter)
            if cells[position] is not None:
                values[row], null[row] = "", False

    def _careful(self, texts: _Text) -> Found:
        cells: list[Cells] = []
        positions: list[int] = []
        broken: list[Refusal] = []
        for position, text in enumerate(texts.cut()):
            try:
                row = csv_cells(text.decode(), self._delimiter)
            except UnicodeDecodeError:
                broken.append(Refusal(position, "row", "text in UTF-8", "another encoding"))
                continue
            except csv.Error as error:
                got = _csv_words(error, texts.lines[position])
                broken.append(Refusal(position, "row", "a row of CSV", got))
                continue
            if len(row) != len(self._columns):
                expected = f"{len(self._columns)} cells"
                broken.append(Refusal(position, "row", expected, str(len(row))))
                continue
            cells.append(row)
            positions.append(position)
        by_name = {name: [row[i] for row in cells] for i, name in self._wanted}
        return _from_text(self._contract, by_name, len(cells)), positions, broken


def _csv_words(error: csv.Error, line: int) -> str:
    words = str(error)
    if "unexpected end" in words:
        return f"a quote that is never closed, on line {line}"
    if "expected after" in words:
        return f"text behind a closing quote, on line {line}"
    return "a carriage return outside quotes" if "new-line" in words else "a field too long"


def _from_text(contract: Contract, cells: dict[str, Cells], rows: int) -> Batch:
    # a file without any of the contract's columns (all have defaults) still has rows
    return from_text(contract, cells) if cells else from_records(contract, [{}] * rows)


class _JsonlReader:
    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._keys = contract.request_keys

    def read(self, text: _Text) -> Found:
        if batch := text.read_alike(partial(jsonl_batch, self._contract)):
            return batch, None, []
        texts = text.cut()
        try:
            found = list(map(orjson.loads, texts))
        except ValueError:
            return self._careful(text)
        # every field has a colon: if there are no more colons, no field is repeated
        whole = text.whole()
        if set(map(type, found)) != {dict} or whole.count(b":") != sum(map(len, found)):
            return self._careful(text)
        if strict_json.has_long_number(whole):
            return self._careful(text)
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

    def _careful(self, texts: _Text) -> Found:
        found: list[Any] = []
        positions: list[int] = []
        broken: list[Refusal] = []
        for position, text in enumerate(texts.cut()):
            try:
                record = orjson.loads(text)
                if type(record) is dict and text.count(b":") != len(record):
                    json.loads(text, object_pairs_hook=_once)
                strict_json.check_integers(text)
            except BadInput as error:
                broken += [r._replace(row=position, field="row") for r in error.refusals]
                continue
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
    """A JSON object has this field twice."""


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
    except RecursionError:  # Python 3.13 recurses far deeper than 3.11
        pass
    except ValueError:
        return "text that is not JSON"
    return "JSON with a number out of range, or nested too deep"


def _refuse_constant(name: str) -> None:
    raise ValueError(name)
