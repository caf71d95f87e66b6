"""Read a unit, whatever its format."""

from __future__ import annotations

from collections.abc import Iterator

from quintet.batch.plans import Plan, Unit
from quintet.batch.stores import InputBucket
from quintet.contract import Contract
from quintet.formats.byte_streams import text_blocks
from quintet.formats.chunks import Piece
from quintet.formats.parquet_rows import read_parquet
from quintet.formats.splitting import records
from quintet.formats.text_rows import read_text

__all__ = ["read_unit"]


def read_unit(contract: Contract, plan: Plan, unit: Unit, inbox: InputBucket) -> Iterator[Piece]:
    """The rows of a unit in their order, `CHUNK_ROWS` at a time or fewer.

    Raises:
        BadInput: the file cannot be read as what it was planned as.
        Transient: the inbox could not be read.
    """
    if plan.format == "parquet":
        return read_parquet(contract, plan, unit, inbox)
    blocks = text_blocks(inbox, plan.input, plan.gzip, unit.start, unit.end)
    delimiter = plan.delimiter.encode() if plan.delimiter else None
    found = records(blocks, delimiter, unit.start)
    return read_text(contract, plan, found, unit.first_row, unit.rows)
