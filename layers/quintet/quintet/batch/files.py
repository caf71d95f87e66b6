"""Plan one file: what it is, whether the model can take it, and where it may be cut."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from quintet.batch.inputs import Source, with_constants
from quintet.batch.plans import Snapshot
from quintet.batch.stores import InputBucket, Listed
from quintet.contract import Contract, Scalar
from quintet.errors import BadInput
from quintet.formats.byte_streams import text_blocks
from quintet.formats.kinds import BOM, HEAD, detect, read_header
from quintet.formats.parquet import Footer, extent, read_footer
from quintet.formats.parquet_rows import parquet_columns
from quintet.formats.splitting import Records, Slice, records, slices

__all__ = ["Cut", "plan_file"]

#: the most bytes of row groups that one unit may copy to its disk
MAX_GROUP_BYTES = 448 << 20
#: the most bytes of a row, of the mean of its row group
MAX_ROW_BYTES = 16 << 20


class Cut(NamedTuple):
    """A slice of a file, and how many bytes it is about."""

    slice: Slice
    size: int


def plan_file(
    contract: Contract,
    inbox: InputBucket,
    snapshot: Snapshot,
    unit_bytes: int,
    constants: Mapping[str, Scalar],
) -> tuple[Source, list[Cut]]:
    """What a file is, and its balanced slices of about `unit_bytes`.

    `constants` are the features that its folders say.

    Raises:
        BadInput: it cannot be scored.
        Transient: it could not be read.
    """
    known = with_constants(contract, constants)
    head = inbox.read(snapshot, 0, min(snapshot.size, HEAD))
    inbox = _Begun(inbox, head)
    kind = detect(snapshot.key, head)
    delimiter: str | None = None
    columns: tuple[str, ...] = ()
    if kind.format == "parquet":
        footer = read_footer(lambda a, b: inbox.read(snapshot, a, b), snapshot.size)
        columns = parquet_columns(known, footer)
        cuts = _row_groups(footer, unit_bytes)
    else:
        if kind.gzip:
            head = b"".join(text_blocks(inbox, snapshot, True, 0, HEAD))
        start = len(BOM) if head.startswith(BOM) else 0
        if kind.format == "csv":
            header = read_header(known, head)
            delimiter, columns, start = header.delimiter, header.columns, header.end
        blocks = text_blocks(inbox, snapshot, kind.gzip, start)
        found = records(blocks, delimiter.encode() if delimiter else None, start)
        if kind.gzip:
            cuts = _one_slice(found, start)
        else:
            cuts = _text_slices(found, start, snapshot.size, unit_bytes)
    for name in sorted(constants.keys() & set(columns)):
        raise BadInput.of(name, f"a column or a folder {name}=...", "both")
    source = Source(
        input=snapshot,
        format=kind.format,
        gzip=kind.gzip,
        delimiter=delimiter,
        columns=columns,
        rows=sum(cut.slice.rows for cut in cuts),
        constants=constants,
    )
    return source, cuts


@dataclass(frozen=True, slots=True)
class _Begun:
    """An inbox that does not fetch the first bytes of a file again."""

    inbox: InputBucket
    head: bytes

    def keys(self, bucket: str, prefix: str) -> Iterator[Listed]:
        return self.inbox.keys(bucket, prefix)

    def snapshot(self, bucket: str, key: str, version_id: str | None) -> Snapshot:
        return self.inbox.snapshot(bucket, key, version_id)

    def read(self, snapshot: Snapshot, start: int, end: int) -> bytes:
        if end <= len(self.head):
            return self.head[start:end]
        return self.inbox.read(snapshot, start, end)


def _text_slices(found: Iterable[Records], start: int, end: int, unit_bytes: int) -> list[Cut]:
    """Balanced byte ranges of a text file whose rows lie from `start` to `end`."""
    count = max(1, -(-(end - start) // unit_bytes))
    cuts = slices(found, -(-(end - start) // count), end, start)
    return [Cut(cut, cut.end - cut.start) for cut in cuts]


def _one_slice(found: Iterable[Records], start: int) -> list[Cut]:
    """All of a gzip: it cannot be read from its middle."""
    rows, end = 0, start
    for part in found:
        if len(part):
            rows, end = rows + len(part), part.offset + int(part.ends[-1])
    return [Cut(Slice(start, end, 0, rows), end - start)] if rows else []


def _row_groups(footer: Footer, unit_bytes: int) -> list[Cut]:
    """Consecutive row groups of about `unit_bytes`; empty ones are left out at the ends."""
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
        if end - start >= unit_bytes or number == len(groups) - 1:
            rows = sum(g.rows for g in groups[first : number + 1])
            if rows:
                cuts.append(Cut(Slice(first, number + 1, row, rows), end - start))
            row += rows
            first = number + 1
    return cuts
