"""Chunks: some rows of a file, as every reader returns them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from arro3 import core
from numpy.typing import NDArray

from quintet.columns import Array, Batch, from_records, numpy_dtype
from quintet.columns.tables import from_arrays
from quintet.contract import Contract
from quintet.errors import Refusal
from quintet.formats.quarantined import Original

__all__ = ["CHUNK_ROWS", "Chunk", "Piece", "arrays_batch", "cuts", "even"]

#: rows of one run of the model: from 1,024 on, larger batches are no faster
CHUNK_ROWS = 8192
#: rows of the last runs of a unit
MIN_CHUNK_ROWS = 1024
#: bytes read at once, which limits the number of wide rows
CHUNK_BYTES = 32 << 20
#: about: bytes of the outputs of one run, such as embeddings or lists of items
OUTPUT_BYTES = 2 << 20


@dataclass(slots=True)
class Chunk:
    """Some rows of a file.

    Row i of `batch` is row `rows[i]` of the file. `broken` has the unreadable rows. `original(i)`
    is the original row, for the quarantine; i counts from the chunk's first row `first`, broken
    rows included. For Parquet, `column(name)` is a whole column of the chunk; otherwise `text()` is
    all of its text.
    """

    first: int
    size: int
    batch: Batch
    rows: NDArray[np.int64]
    original: Callable[[int], Original]
    broken: list[Refusal] = field(default_factory=list)
    column: Callable[[str], core.Array] | None = None
    text: Callable[[], bytes] | None = None


#: rows whose bytes are loaded but not yet parsed; several threads may parse at once
Piece = Callable[[], Chunk]


def most_rows(contract: Contract) -> int:
    """The rows of a run whose outputs have about OUTPUT_BYTES; at least MIN_CHUNK_ROWS."""
    sizes = (math.prod(o.largest) * numpy_dtype(o.dtype).itemsize for o in contract.outputs)
    return max(MIN_CHUNK_ROWS, OUTPUT_BYTES // max(1, sum(sizes)))


def cuts(contract: Contract, rows: int, left: int) -> Iterator[slice]:
    """Cut rows that were read together into chunks; `left` counts them and the unit's rows after.

    Chunks get smaller towards the end of a unit, so that threads end together (guided
    self-scheduling: Polychronopoulos and Kuck, 1987).
    """
    most = min(CHUNK_ROWS, contract.compiled[most_rows], max(MIN_CHUNK_ROWS, left // 4))
    return even(rows, most)


def even(rows: int, most: int) -> Iterator[slice]:
    """Cut rows into as few parts of at most `most` as possible, of about the same size."""
    parts = -(-rows // most)
    for part in range(parts):
        yield slice(rows * part // parts, rows * (part + 1) // parts)


def arrays_batch(
    contract: Contract, arrays: dict[str, Array], nulls: dict[str, Array], rows: int
) -> Batch:
    """Typed columns as a batch, also for a file without any of the contract's columns."""
    return from_arrays(contract, arrays, nulls) if arrays else from_records(contract, [{}] * rows)
