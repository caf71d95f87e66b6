"""Read a slice of a file, whatever its format."""

from __future__ import annotations

from collections.abc import Iterator

from quintet.contract import Contract
from quintet.formats.byte_streams import text_blocks
from quintet.formats.chunks import Piece
from quintet.formats.parquet_rows import read_parquet
from quintet.formats.sources import ByteSource, Layout, Slice
from quintet.formats.splitting import records
from quintet.formats.text_rows import read_text

__all__ = ["read_slice"]


def read_slice(
    contract: Contract,
    source: ByteSource,
    layout: Layout,
    part: Slice,
    left: int,
    *,
    whole: bool = False,
) -> Iterator[Piece]:
    """The rows of a slice in their order, `CHUNK_ROWS` at a time or fewer.

    `left` is the number of rows that the caller still reads, this slice included; their last chunks
    are smaller. Of Parquet only the contract's columns are decoded, unless `whole`.

    Raises:
        BadInput: the file cannot be read as its layout says.
        Transient: the source could not be read.
    """
    if layout.format == "parquet":
        return read_parquet(contract, source, layout, part, left, whole=whole)
    blocks = text_blocks(source, layout.gzip, part.start, part.end)
    delimiter = layout.delimiter.encode() if layout.delimiter else None
    found = records(blocks, delimiter, part.start, part.first_line)
    return read_text(contract, layout, found, part.first_row, left)
