"""The fast path for uniform rows of CSV: see `quintet.formats.alike`."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from quintet.columns import Array, Batch
from quintet.contract import Contract
from quintet.formats.alike import (
    SPACE,
    Cells,
    blank,
    is_utf8,
    named,
    numbers,
    texts_of,
    typed_batch,
)
from quintet.formats.splitting import Positions

__all__ = ["csv_batch"]

NEWLINE, COMMA, POINT = b"\n,."
#: an integer that CSV writes with a sign, and JSON's numbers without
MINUS_ZERO = re.compile(rb"-0[ \t]*[,\]]")
#: a decimal of so many bytes is not rounded to a whole float unless it is that whole number
PRECISE = 15


def csv_batch(
    contract: Contract, columns: Sequence[str], delimiter: str, text: bytes, ends: Positions
) -> Batch | None:
    """Rows of CSV, which end at `ends` with their newlines, as a batch; None if not uniform."""
    rows = len(ends)
    if b"\r" in text:
        text = text.replace(b"\r\n", b"\n")
    if b"\r" in text or b'"' in text or not is_utf8(text):
        return None
    if contract.decimal == "," and (delimiter == "," or b"." in text):
        return None  # points may separate thousands, or commas cells
    floats = contract.compiled[_float_columns]
    if len(floats) == len(columns) and floats.issuperset(columns):
        places = {name: place for place, name in enumerate(columns)}
        values = _floats(contract, delimiter, text, rows, len(columns))
        return typed_batch(contract, places, values, {})
    cells = _cells(columns, delimiter, text, rows)
    return _mixed(contract, cells) if cells is not None else None


def _mixed(contract: Contract, cells: Cells) -> Batch | None:
    """Rows of numbers, texts, and cells that the model does not take."""
    numeric: list[int] = []
    texts: list[int] = []
    for place, name in enumerate(cells.names):
        if name in contract.request_keys:
            (numeric if _is_number(contract, name) else texts).append(place)
    found = texts_of(cells, texts)
    if any("" in found[name] for name in found.keys() - {contract.entity, contract.id}):
        return None  # an empty cell is a missing value
    if not _are_whole(contract, cells, numeric):
        return None
    others = np.delete(np.arange(len(cells.names)), numeric)
    array = np.frombuffer(cells.text, dtype=np.uint8).copy()
    if contract.decimal == ",":
        array[array == COMMA] = POINT
    array[cells.ends[:, others]] = SPACE
    blank(array, cells.starts[:, others], cells.ends[:, others])
    array[cells.ends[:, numeric]] = COMMA
    if numeric:
        array[cells.ends[-1, numeric[-1]]] = SPACE
    values = _signed(b"[" + array.tobytes() + b"]", len(cells.ends), len(numeric))
    return typed_batch(contract, named(cells, numeric), values, found)


def _float_columns(contract: Contract) -> frozenset[str]:
    """The columns of a CSV that has the contract's features alone, all floats; else nothing."""
    features = contract.requested
    if any(feature.shape or not feature.dtype.startswith("float") for feature in features):
        return frozenset()
    names = frozenset(feature.key for feature in features)
    return frozenset() if names & {contract.entity, contract.id} else names


def _floats(
    contract: Contract, delimiter: str, text: bytes, rows: int, columns: int
) -> Array | None:
    """The numbers of a CSV that has no other cells, (rows, columns)."""
    array = np.frombuffer(text, dtype=np.uint8)
    newlines = np.flatnonzero(array == NEWLINE)
    if len(newlines) != rows:
        return None
    before = _counts_before(array == ord(delimiter), newlines)
    if not np.array_equal(before, np.arange(1, rows + 1) * (columns - 1)):
        return None
    if contract.decimal == ",":
        text = text.replace(b",", b".")
    if delimiter != ",":  # a cell with a comma makes more numbers than there are cells
        text = text.replace(delimiter.encode(), b",")
    return _signed(b"[" + text[:-1].replace(b"\n", b",") + b"]", rows, columns)


def _counts_before(marks: NDArray[np.bool_], places: Positions) -> Positions:
    """How many marks are before each place: a fifth of the time that their positions take."""
    packed = np.packbits(marks, bitorder="little")
    counts = np.bitwise_count(packed)
    byte, bit = places >> 3, places & 7
    rest = packed[byte] >> bit.astype(np.uint8)  # the marks of the byte that are not before
    found: Positions = np.cumsum(counts, dtype=np.int64)[byte] - np.bitwise_count(rest)
    return found


def _cells(columns: Sequence[str], delimiter: str, text: bytes, rows: int) -> Cells | None:
    array = np.frombuffer(text, dtype=np.uint8)
    newlines = array == NEWLINE
    stops = np.flatnonzero(newlines | (array == ord(delimiter)))
    if np.count_nonzero(newlines) != rows or len(stops) != rows * len(columns):
        return None
    starts = np.concatenate([[0], stops[:-1] + 1])
    shape = rows, len(columns)
    cells = Cells(columns, text, starts.reshape(shape), stops.reshape(shape))
    return cells if newlines[cells.ends[:, -1]].all() else None


def _is_number(contract: Contract, name: str) -> bool:
    if name == contract.entity or name not in contract.by_key:
        return False
    return contract.by_key[name].dtype not in ("string", "bool")


def _are_whole(contract: Contract, cells: Cells, columns: list[int]) -> bool:
    """Whether no cell of an integer may be a decimal that is whole only as a float."""
    integers = [at for at in columns if "int" in contract.by_key[cells.names[at]].dtype]
    starts, ends = cells.starts[:, integers], cells.ends[:, integers]
    long = ends - starts > PRECISE
    return all(
        cells.text[start:end].removeprefix(b"-").isdigit()
        for start, end in zip(starts[long].tolist(), ends[long].tolist(), strict=True)
    )


def _signed(text: bytes, rows: int, columns: int) -> Array | None:
    """Numbers of which an integer may be -0; None if one is."""
    values = numbers(text, rows, columns)
    if values is not None and not values.all() and MINUS_ZERO.search(text):
        return None
    return values
