"""Inspect a file and cut it: its layout, checked against a contract, and slices of its rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from quintet.contract import Contract
from quintet.contract import Header as HeaderForm
from quintet.errors import BadInput
from quintet.formats.byte_streams import text_blocks
from quintet.formats.kinds import BOM, HEAD, detect, is_blank, read_header, without_header
from quintet.formats.parquet import Footer, extent, read_footer
from quintet.formats.parquet_rows import parquet_columns
from quintet.formats.sources import ByteSource, Layout, Slice
from quintet.formats.splitting import Records, records, slices
from quintet.formats.vectors import positions, spread

__all__ = ["Cut", "Inspected", "cut", "inspect"]

#: the most bytes of a row group, which a reader may copy to its disk
MAX_GROUP_BYTES = 448 << 20
#: the most bytes of a row, on average over its row group
MAX_ROW_BYTES = 16 << 20


class Cut(NamedTuple):
    """A slice of a file, and its approximate size in bytes."""

    slice: Slice
    size: int


@dataclass(frozen=True, slots=True)
class Inspected:
    """A file whose columns fit a contract.

    Its rows start at byte `start` of the text, on the line of number `line`.
    """

    source: ByteSource
    layout: Layout
    start: int = 0
    line: int = 1
    footer: Footer | None = None


def inspect(
    contract: Contract,
    source: ByteSource,
    name: str,
    *,
    header: HeaderForm | None = None,
    given: frozenset[str] = frozenset(),
) -> Inspected:
    """A file's layout, from its name, its first bytes, and its header or footer.

    `header` is the contract's unless given: a CSV without one has the columns of the contract in
    its order, without the features `given` otherwise.

    Raises:
        BadInput: its format is unknown, or its columns are not the contract's.
        Transient: it could not be read.
    """
    head = source.read(0, min(source.size, HEAD))
    source = _Begun(source, head)
    kind = detect(name, head)
    if kind.format == "parquet":
        footer = read_footer(source)
        columns = parquet_columns(contract, footer)
        return Inspected(source, Layout("parquet", False, None, columns), footer=footer)
    if kind.gzip:
        head = b"".join(text_blocks(source, True, 0, HEAD))
    if kind.format == "jsonl":
        start = len(BOM) if head.startswith(BOM) else 0
        return Inspected(source, Layout("jsonl", kind.gzip, None, ()), start)
    if is_blank(head):
        return Inspected(source, Layout("csv", kind.gzip, ",", ()))
    known = spread(contract)
    if (header or contract.header) == "none":
        first = without_header(known, head, positions(contract, given))
    else:
        first = read_header(known, head)
    layout = Layout("csv", kind.gzip, first.delimiter, first.columns)
    return Inspected(source, layout, first.end, first.line)


def cut(found: Inspected, slice_bytes: int) -> list[Cut]:
    """All rows of a file, in balanced slices of about `slice_bytes`.

    Raises:
        BadInput: a row of Parquet or a row group is too large.
        Transient: the file could not be read.
    """
    if found.footer is not None:
        return _row_groups(found.footer, slice_bytes)
    source, layout, start = found.source, found.layout, found.start
    if layout.format == "csv" and not layout.columns:
        return []
    delimiter = layout.delimiter.encode() if layout.delimiter else None
    parts = records(text_blocks(source, layout.gzip, start), delimiter, start, found.line)
    if layout.gzip:
        return _one_slice(parts, start, found.line)
    return _text_slices(parts, start, source.size, slice_bytes)


@dataclass(frozen=True, slots=True)
class _Begun:
    """A source whose first bytes are not fetched again."""

    source: ByteSource
    head: bytes

    @property
    def size(self) -> int:
        return self.source.size

    def read(self, start: int, end: int) -> bytes:
        if end <= len(self.head):
            return self.head[start:end]
        return self.source.read(start, end)


def _text_slices(found: Iterable[Records], start: int, end: int, slice_bytes: int) -> list[Cut]:
    """Balanced byte ranges of a text file whose rows lie from `start` to `end`."""
    count = max(1, -(-(end - start) // slice_bytes))
    cuts = slices(found, -(-(end - start) // count), end, start)
    return [Cut(part, part.end - part.start) for part in cuts]


def _one_slice(found: Iterable[Records], start: int, line: int) -> list[Cut]:
    """A whole gzip as one slice: it cannot be read from the middle."""
    rows, end = 0, start
    for part in found:
        if len(part):
            rows, end = rows + len(part), part.offset + int(part.ends[-1])
    return [Cut(Slice(start, end, 0, rows, line), end - start)] if rows else []


def _row_groups(footer: Footer, slice_bytes: int) -> list[Cut]:
    """Slices of consecutive row groups of about `slice_bytes`, without empty groups at the ends."""
    cuts: list[Cut] = []
    first = row = 0
    groups = footer.groups
    for number, group in enumerate(groups):
        start, end = extent(groups[first : number + 1])
        if group.end - group.start > MAX_GROUP_BYTES:
            raise BadInput.of(
                f"row group {number}",
                f"at most {MAX_GROUP_BYTES >> 20} MiB",
                f"{(group.end - group.start) >> 20} MiB; write smaller row groups",
            )
        if group.width > MAX_ROW_BYTES:
            raise BadInput.of(
                f"row group {number}",
                f"rows of at most {MAX_ROW_BYTES >> 20} MiB",
                f"rows of {group.width >> 20} MiB, about",
            )
        if end - start >= slice_bytes or number == len(groups) - 1:
            rows = sum(g.rows for g in groups[first : number + 1])
            if rows:
                cuts.append(Cut(Slice(first, number + 1, row, rows), end - start))
            row += rows
            first = number + 1
    return cuts
