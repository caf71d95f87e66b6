"""A Parquet file's footer: its row groups, and a view of the file that holds only some of them.

arro3 reads whole files. A unit is some row groups of one, so the reader gets a file of the
same bytes with a footer that names only those. The footer is Thrift's compact protocol:
https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md, its fields
are in https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift.
"""

from __future__ import annotations

import gc
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from quintet.errors import BadInput
from quintet.formats.sources import ByteSource

__all__ = [
    "MAGIC",
    "Field",
    "Footer",
    "RowGroup",
    "View",
    "extent",
    "footer_fields",
    "list_header",
    "read_footer",
    "row_group",
    "varint",
]

MAGIC = b"PAR1"
# the types of Thrift's compact protocol that a footer holds
BOOLEANS, BYTE, INTEGERS, DOUBLE, BINARY = (1, 2), 3, (4, 5, 6), 7, 8
LISTS, STRUCT = (9, 10), 12
# fields of FileMetaData, RowGroup, ColumnChunk and ColumnMetaData
NUM_ROWS, ROW_GROUPS = 3, 4
COLUMNS, GROUP_ROWS = 1, 3
META_DATA = 3
UNPACKED_SIZE, COMPRESSED_SIZE, DATA_PAGE, DICTIONARY_PAGE, SIZES = 6, 7, 9, 11, 16
#: of SizeStatistics: the bytes of all texts, repeated ones counted each time
TEXT_BYTES = 1


class RowGroup(NamedTuple):
    """A row group: its rows, its bytes in the file, and its approximate size once read."""

    rows: int
    start: int
    end: int
    unpacked: int

    @property
    def width(self) -> int:
        """The approximate bytes per row."""
        return -(-self.unpacked // max(self.rows, 1))


class Field(NamedTuple):
    """A value of Thrift, and where it stands in the metadata."""

    value: Any
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Footer:
    """A file's metadata. `start` is where it begins, and the data ends; `fields` is it, parsed."""

    start: int
    meta: bytes
    groups: tuple[RowGroup, ...]
    fields: dict[int, Field]
    #: the positions in `meta` of the number of rows, the list of row groups and each group
    _rows: tuple[int, int]
    _list: tuple[int, int]
    _spans: tuple[tuple[int, int], ...]

    def of(self, first: int, last: int) -> bytes:
        """The footer of a file with only the row groups from `first` to before `last`."""
        some = zip(self._spans[first:last], self.groups[first:last], strict=True)
        chosen = [span for span, group in some if group.rows]
        count = sum(group.rows for group in self.groups[first:last])
        groups = list_header(len(chosen)) + b"".join(self.meta[a:b] for a, b in chosen)
        parts = {
            self._rows[0]: (self._rows[1], varint(count << 1)),
            self._list[0]: (self._list[1], groups),
        }
        out, at = b"", 0
        for start in sorted(parts):
            end, replacement = parts[start]
            out += self.meta[at:start] + replacement
            at = end
        out += self.meta[at:]
        return out + len(out).to_bytes(4, "little") + MAGIC


def read_footer(source: ByteSource) -> Footer:
    """The footer of a file.

    Raises:
        BadInput: the file is truncated, encrypted, or not Parquet.
    """
    size = source.size
    tail = source.read(max(0, size - 8), size)
    if tail[-4:] == b"PARE":
        raise BadInput.of("the file", "plain Parquet", "an encrypted footer")
    length = int.from_bytes(tail[:4], "little")
    start = size - 8 - length
    if size < 12 or tail[-4:] != MAGIC or start < 4:
        raise BadInput.of("the file", "Parquet, whole", "a truncated file: its footer is missing")
    meta = source.read(start, size - 8)
    try:
        return _parse(_hinted(meta, start), start)
    except (AttributeError, IndexError, KeyError, ValueError, TypeError, RecursionError):
        raise BadInput.of("the file", "Parquet, whole", "a footer that is damaged") from None


@lru_cache(maxsize=1)
def _hinted(meta: bytes, start: int) -> bytes:
    from quintet.formats import int96  # which builds on this module

    if not int96.has_int96(meta):
        return meta
    return int96.with_microseconds(meta, _parse(meta, start).of(0, 0))


@lru_cache(maxsize=1)
def footer_fields(meta: bytes) -> dict[int, Field]:
    """The fields of a footer, by their numbers."""
    collects = gc.isenabled()
    gc.disable()  # of 10,000 columns it takes more than half of the time, and finds nothing
    try:
        return _struct(meta, 0)[0]
    finally:
        if collects:
            gc.enable()


@lru_cache(maxsize=1)  # the units of one file follow each other
def _parse(meta: bytes, start: int) -> Footer:
    fields = footer_fields(meta)
    groups, spans = [], []
    for group in fields[ROW_GROUPS].value:
        found = row_group(group.value)
        if found.rows < 0 or found.start < 4 or found.end > start:
            raise ValueError("a row group outside of the file")
        groups.append(found)
        spans.append((group.start, group.end))
    if fields[NUM_ROWS].value != sum(group.rows for group in groups):
        raise ValueError("rows that the row groups do not hold")
    places = [(fields[name].start, fields[name].end) for name in (NUM_ROWS, ROW_GROUPS)]
    return Footer(start, meta, tuple(groups), fields, places[0], places[1], tuple(spans))


def row_group(group: dict[int, Field]) -> RowGroup:
    """A row group of its parsed metadata."""
    rows = group[GROUP_ROWS].value
    if rows == 0:  # its columns may have no positions
        return RowGroup(0, 4, 4, 0)
    columns = [column.value[META_DATA].value for column in group[COLUMNS].value]
    starts = [
        min(c[DATA_PAGE].value, c[DICTIONARY_PAGE].value)
        if DICTIONARY_PAGE in c and c[DICTIONARY_PAGE].value > 0
        else c[DATA_PAGE].value
        for c in columns
    ]
    ends = [at + c[COMPRESSED_SIZE].value for at, c in zip(starts, columns, strict=True)]
    return RowGroup(rows, min(starts), max(ends), sum(map(_unpacked, columns)))


def _unpacked(column: dict[int, Field]) -> int:
    """The size of a column once read, when dictionary texts are repeated in memory."""
    pages = column[UNPACKED_SIZE].value if UNPACKED_SIZE in column else 0
    texts = column[SIZES].value.get(TEXT_BYTES) if SIZES in column else None
    found: int = max(pages, texts.value if texts else 0)
    return found


# ---- Thrift's compact protocol -----------------------------------------------------------------


def _struct(buffer: bytes, at: int) -> tuple[dict[int, Field], int]:
    fields: dict[int, Field] = {}
    number = 0
    while head := buffer[at]:
        at += 1
        kind = head & 15
        if head >> 4:
            number += head >> 4
        else:
            raw, at = _unsigned(buffer, at)
            number = _signed(raw)
        start = at
        value: Any
        if kind in BOOLEANS:
            value = kind == 1
        else:
            value, at = _value(buffer, at, kind)
        fields[number] = Field(value, start, at)
    return fields, at + 1


def _value(buffer: bytes, at: int, kind: int) -> tuple[Any, int]:
    if kind in INTEGERS:
        raw, at = _unsigned(buffer, at)
        return _signed(raw), at
    if kind == BINARY:
        size, at = _unsigned(buffer, at)
        if at + size > len(buffer):
            raise ValueError("a string beyond the end")
        return buffer[at : at + size], at + size
    if kind == STRUCT:
        return _struct(buffer, at)
    if kind in LISTS:
        return _list(buffer, at)
    if kind == DOUBLE:
        return buffer[at : at + 8], at + 8
    if kind == BYTE or kind in BOOLEANS:  # inside of lists
        return buffer[at], at + 1
    raise ValueError(f"thrift type {kind}")


def _list(buffer: bytes, at: int) -> tuple[list[Field], int]:
    head = buffer[at]
    at += 1
    count = head >> 4
    if count == 15:
        count, at = _unsigned(buffer, at)
    items = []
    for _ in range(count):
        start = at
        value, at = _value(buffer, at, head & 15)
        items.append(Field(value, start, at))
    return items, at


def _unsigned(buffer: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = buffer[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7


def _signed(raw: int) -> int:
    return (raw >> 1) ^ -(raw & 1)


def varint(value: int) -> bytes:
    """A number as Thrift writes it."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def list_header(count: int) -> bytes:
    """What stands before the items of a list of structs."""
    return bytes([count << 4 | STRUCT]) if count < 15 else bytes([240 | STRUCT]) + varint(count)


# ---- the file as the reader sees it --------------------------------------------------------------


class Body(Protocol):
    """The source that a view reads."""

    def seek(self, at: int, /) -> int: ...

    def read(self, size: int, /) -> bytes: ...


class View(io.RawIOBase):
    """A file of which only the bytes from `base` on are loaded, with another footer.

    `body` has the file's bytes from `base` on; from `start` on, `tail` replaces them.
    """

    def __init__(self, body: Body, base: int, start: int, tail: bytes) -> None:
        self._body, self._base, self._start, self._tail = body, base, start, tail
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._at}.get(whence, self._start + len(self._tail))
        self._at = origin + offset
        return self._at

    def read(self, size: int | None = -1, /) -> bytes:
        left = self._start + len(self._tail) - self._at
        size = left if size is None or size < 0 else min(size, left)
        if self._at >= self._start:
            at = self._at - self._start
            found = self._tail[at : at + size]
        else:
            self._body.seek(self._at - self._base)
            found = self._body.read(min(size, self._start - self._at))
        self._at += len(found)
        return found


def extent(groups: Sequence[RowGroup]) -> tuple[int, int]:
    """The byte range of some row groups."""
    full = [group for group in groups if group.rows]
    return min((g.start for g in full), default=4), max((g.end for g in full), default=4)
