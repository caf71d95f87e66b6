"""The fast path for uniform rows of text, which most files have: read straight into columns.

Uniform CSV rows have no quotes; uniform JSONL rows have the same fields in the same order, spaced
and typed as in the first row, and no escapes. So every byte between the values is known and
compared; the values are JSON numbers or plain texts. Any other chunk is left to the readers of
`quintet.formats.text_rows`, which would read a uniform chunk to the same values.

A typed JSON decoder (msgspec), also over CSV rows put in brackets, reads the same values with half
the code. Measured on rows of 30 floats of 8 digits, in interleaved runs of `benchmarks.score_unit`
on one core, it took 0.3 microseconds per row more for CSV and 0.5 more for JSONL (of 5.8 and 6.5):
3 to 5 points of the share of raw `session.run`. It is faster from 17 digits on.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from quintet.columns import Array, Batch, numpy_dtype
from quintet.columns.batch import set_entities, set_ids
from quintet.contract import Contract
from quintet.formats.decimals import (
    BEFORE,
    BEHIND,
    EXACT,
    POINT,
    Bytes,
    Numbers,
    Places,
    Positions,
    numbers,
    points_of,
    windows,
)

__all__ = ["csv_batch", "jsonl_batch", "padded"]

NEWLINE, RETURN, QUOTE, ESCAPE, COMMA = b'\n\r"\\,'
NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
FIELD = re.compile(rb'[{,][ \t]*"([^"\\\x00-\x1f]*)"[ \t]*:[ \t]*')
TEXT = re.compile(rb'"[^"\\\x00-\x1f]*"')
END = re.compile(rb"[ \t]*}[ \t]*\r?\n")
#: the index of the bit in a byte with a single bit set
_LOWEST = np.array([max(0, byte.bit_length() - 1) for byte in range(256)])
#: the relative error of an approximate number, at most
NEAR = 2.0**-50


@dataclass(frozen=True, slots=True)
class _Cells:
    """The positions of the rows' values in a text, all (rows, columns); see `decimals.numbers`."""

    names: Sequence[str]
    data: Bytes
    places: Places


def padded(data: bytes, start: int, end: int) -> Bytes:
    """The rows of a text from `start` to `end`, padded as this module and `decimals` need them.

    Other bytes surround them, and the last row ends in a newline. Rarely a copy.
    """
    if start >= BEFORE and end + BEHIND <= len(data):  # a row's newline follows it
        return np.frombuffer(data, dtype=np.uint8)[start - BEFORE : end + BEHIND]
    text = data[start:end]
    newline = b"" if text.endswith(b"\n") else b"\n"
    return np.frombuffer(b"".join((b"0" * BEFORE, text, newline, b"0" * BEHIND)), dtype=np.uint8)


# ---- CSV ---------------------------------------------------------------------------------------


def csv_batch(
    contract: Contract, columns: Sequence[str], delimiter: str, data: Bytes, ends: Positions
) -> Batch | None:
    """Rows of CSV, `padded`, which end at `ends`, as a batch; None if they are not uniform."""
    rows, text = len(ends), data[BEFORE:-BEHIND]
    if (text == RETURN).any():
        plain = text.tobytes().replace(b"\r\n", b"\n")
        data = padded(plain, 0, len(plain))
        text = data[BEFORE:-BEHIND]
        if b"\r" in plain:
            return None
    pointed = data if contract.decimal == "." else _with_points(data, delimiter)
    if pointed is None or (text == QUOTE).any() or not _is_utf8(text):
        return None
    text = pointed[BEFORE:-BEHIND]
    newlines = text == NEWLINE
    stops = newlines | (text == ord(delimiter))
    if np.count_nonzero(newlines) != rows or np.count_nonzero(stops) != rows * len(columns):
        return None
    points, ends = _points_and_ends(text, stops)
    starts = np.concatenate([[0], ends[:-1] + 1])
    cells = _Cells(columns, pointed, Places(starts, points, ends).shaped(rows, len(columns)))
    if not newlines[cells.places.ends[:, -1]].all():
        return None
    numeric: list[int] = []
    texts: list[int] = []
    for place, name in enumerate(columns):
        if name in contract.request_keys:
            (numeric if _is_number(contract, name) else texts).append(place)
    found = _texts(replace(cells, data=data), texts)
    if any("" in found[name] for name in found.keys() - {contract.entity, contract.id}):
        return None  # an empty cell is a missing value
    return _batch(contract, cells, numeric, _csv_number, found)


def _with_points(data: Bytes, delimiter: str) -> Bytes | None:
    """The text with points for commas; None if points may separate thousands, or commas cells."""
    if delimiter == "," or (data[BEFORE:-BEHIND] == POINT).any():
        return None
    return np.where(data == COMMA, np.uint8(POINT), data)


def _points_and_ends(text: Bytes, stops: NDArray[np.bool_]) -> tuple[Positions, Positions]:
    """Each cell's decimal point (its end if it has no point), and its end, from `stops`."""
    found = np.flatnonzero(stops | (text == POINT))
    points, ends = found[0::2], found[1::2]
    if len(points) == np.count_nonzero(stops) and (text[points] == POINT).all():
        return points, ends  # one in every cell
    point = text[found] == POINT
    last = np.flatnonzero(~point)
    ends = found[last]
    # for the first cell, the mark before is the last of all, which ends a row
    return np.where(point[last - 1], found[last - 1], ends), ends


def _is_number(contract: Contract, name: str) -> bool:
    if name == contract.entity or name not in contract.by_key:
        return False
    return contract.by_key[name].dtype not in ("string", "bool")


def _csv_number(cell: bytes) -> float:
    number = _finite(float(cell) if NUMBER.fullmatch(cell) else math.nan)
    # a value that is whole only as a float is not an integer
    if number.is_integer() and not cell.isdigit() and Decimal(cell.decode()) != number:
        raise ValueError(number)
    return number


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise ValueError(number)
    return number


# ---- JSONL -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Template:
    """A row's fields, whether each is a text, and the `literals` around the values.

    There is one more literal than fields; the quotes of texts are part of the literals.
    """

    names: tuple[str, ...]
    texts: tuple[bool, ...]
    literals: tuple[bytes, ...]


def jsonl_batch(contract: Contract, data: Bytes, ends: Positions) -> Batch | None:
    """Rows of JSONL, `padded`, as a batch; None if they are not uniform.

    `ends` are their ends in the text, which ends with the last row.
    """
    text = data[BEFORE:-BEHIND]
    template = _template(text[: ends[0]].tobytes())
    if template is None or (text == ESCAPE).any() or not _is_utf8(text):
        return None
    if any(template.texts) and not _no_controls(text):
        return None
    cells = _json_cells(template, data, np.append(ends[:-1], len(text)))
    if cells is None:
        return None
    keys = {contract.entity, contract.id}
    numeric: list[int] = []
    texts: list[int] = []
    for place, (name, is_text) in enumerate(zip(template.names, template.texts, strict=True)):
        if not is_text:  # unused fields too: the row must be JSON
            numeric.append(place)
        if name in contract.request_keys and (is_text or name in keys):
            texts.append(place)
    found = _texts(cells, texts)
    for name in found.keys() & keys:
        if not template.texts[template.names.index(name)]:
            # a whole number as key or id is its digits; the general readers handle other numbers
            cells_of = found[name]
            if not all(map(str.isdecimal, cells_of)) or not "".join(cells_of).isascii():
                return None
    return _batch(contract, cells, numeric, _json_number, found)


def _template(row: bytes) -> _Template | None:
    """The template of the rows, from the first one; None if it is not a suitable row."""
    names: list[bytes] = []
    texts: list[bool] = []
    literals: list[bytes] = []
    closing, at = b"", 0
    while field := FIELD.match(row, at):
        text = TEXT.match(row, field.end())
        value = text or NUMBER.match(row, field.end())
        if value is None or field[0].startswith(b"{") == bool(names):
            return None
        literals.append(closing + field[0] + (b'"' if text else b""))
        names.append(field[1])
        texts.append(text is not None)
        closing, at = b'"' if text else b"", value.end()
    end = END.fullmatch(row if row.endswith(b"\n") else row + b"\n", at)
    if not names or end is None or len(set(names)) < len(names):
        return None
    literals.append(closing + end[0])
    try:
        return _Template(tuple(map(bytes.decode, names)), tuple(texts), tuple(literals))
    except UnicodeDecodeError:
        return None


def _json_cells(template: _Template, data: Bytes, lines: Positions) -> _Cells | None:
    """The values of rows that match the template and end at `lines`; None if they do not."""
    rows, text = len(lines), data[BEFORE:]
    # a byte that no value contains locates a literal; beside numbers, the rarest is a colon
    anchor = b'"' if any(template.texts) else b":"
    counts = [literal.count(anchor) for literal in template.literals]
    found = _sparse(text[: lines[-1]] == anchor[0])
    if len(found) != rows * sum(counts):
        return None
    anchors = found.reshape(rows, -1)
    *heads, tail = template.literals
    firsts = [sum(counts[:number]) for number in range(len(heads))]
    places: Positions = anchors.take(firsts, axis=1)
    places -= np.array([literal.index(anchor) for literal in heads])
    starts: Positions = places + np.array([len(literal) for literal in heads])
    ends = np.empty_like(starts)
    ends[:, :-1] = places[:, 1:]
    ends[:, -1] = lines - len(tail)
    if places[0, 0] != 0 or (places[1:, 0] != lines[:-1]).any():
        return None
    if (anchors[:, -1] >= lines).any() or starts[-1].max() > lines[-1]:
        return None
    for literal, column in zip((*heads, tail), (*places.T, ends[:, -1]), strict=True):
        if windows(text, len(literal))[column].tobytes() != literal * rows:
            return None
    points = points_of(text, starts.reshape(-1), ends.reshape(-1)).reshape(starts.shape)
    return _Cells(template.names, data, Places(starts, points, ends))


def _sparse(marks: NDArray[np.bool_]) -> Positions:
    """The positions of marks: twice as fast as `flatnonzero` if no eight bytes have two."""
    packed = np.packbits(marks, bitorder="little")
    if (packed & (packed - 1)).any():
        return np.flatnonzero(marks)
    found = np.flatnonzero(packed != 0)
    lowest = _LOWEST[packed[found]]
    found *= 8
    found += lowest
    return found


def _json_number(cell: bytes) -> float:
    found = orjson.loads(cell)
    if type(found) is not int and not (type(found) is float and abs(found) < 2.0**63):
        raise ValueError(cell)  # not a number, or an integer of more than 64 bits
    return _finite(float(found))


# ---- both --------------------------------------------------------------------------------------


def _is_utf8(text: Bytes) -> bool:
    try:
        return bool(text.max() < 128) or str(text.data, "utf-8") != ""
    except UnicodeDecodeError:
        return False


def _no_controls(text: Bytes) -> bool:
    """Whether the only control characters are those that end lines."""
    newlines = text == NEWLINE
    returns = (text[:-1] == RETURN) & newlines[1:]
    controls = np.count_nonzero(text < ord(" "))
    return bool(controls == np.count_nonzero(newlines) + np.count_nonzero(returns))


def _texts(cells: _Cells, columns: list[int]) -> dict[str, list[str]]:
    """The texts of some columns, by name."""
    data, places = cells.data[BEFORE:].tobytes() if columns else b"", cells.places
    return {
        cells.names[column]: [
            str(data[start:end], "utf-8")
            for start, end in zip(
                places.starts[:, column].tolist(), places.ends[:, column].tolist(), strict=True
            )
        ]
        for column in columns
    }


#: features of one dtype: their names, and those that a file has them under
_Group = tuple[str, tuple[str, ...], list[str]]


def _groups(contract: Contract) -> list[_Group] | None:
    """The features by dtype; None if this module cannot read one of them."""
    if any(feature.shape or feature.dtype == "bool" for feature in contract.requested):
        return None
    groups = contract.scalar_groups.items()
    return [
        (dtype, names, [contract.by_name[name].key for name in names])
        for (stored, dtype), names in groups
        if not stored
    ]


def _batch(
    contract: Contract,
    cells: _Cells,
    numeric: list[int],
    read: Callable[[bytes], float],
    texts: dict[str, list[str]],
) -> Batch | None:
    """The numeric columns of `cells`, and texts, as a batch; None if a value is missing."""
    groups: list[_Group] | None = contract.compiled[_groups]
    if groups is None or (contract.entity and contract.entity not in texts):
        return None
    places = {cells.names[column]: place for place, column in enumerate(numeric)}
    if not all((texts if t == "string" else places).keys() >= set(keys) for t, _, keys in groups):
        return None
    found = _numbers(cells, numeric, read)
    if found is None:
        return None
    batch = Batch(len(cells.places.starts), {})
    for dtype, names, keys in groups:
        if dtype == "string":
            columns = (np.array(texts[key], dtype=object) for key in keys)
            batch.columns.update(zip(names, columns, strict=True))
            continue
        matrix = _typed(found.of([places[key] for key in keys]), numpy_dtype(dtype))
        if matrix is None:
            return None
        batch.stacked[names] = matrix
    if contract.entity:
        set_entities(contract, batch, texts[contract.entity])
    if contract.id in texts:
        set_ids(batch, contract.id, texts[contract.id])
    return batch


def _numbers(cells: _Cells, columns: list[int], read: Callable[[bytes], float]) -> Numbers | None:
    places = cells.places
    if columns != list(range(len(cells.names))):
        places = places.at((slice(None), columns))
    try:
        return numbers(cells.data, places, read)
    except ValueError:
        return None


def _typed(found: Numbers, dtype: np.dtype[Any]) -> Array | None:
    """Numbers in a dtype, (rows, columns); None if one may not be the value of its text."""
    values, near = found.values, found.near
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            matrix: Array = values.astype(dtype, copy=False)
            if near is not None:
                low, high = ((values[near] * scale).astype(dtype) for scale in (1 - NEAR, 1 + NEAR))
                if dtype.itemsize == 8 or not np.array_equal(low, high):
                    return None
        return matrix
    info = np.iinfo(dtype)
    fits = (np.abs(values) < EXACT) & (values == np.floor(values))
    fits &= (values >= info.min) & (values <= info.max)
    return values.astype(dtype) if near is None and fits.all() else None
