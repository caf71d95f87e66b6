"""The fast path for uniform rows of JSONL: see `quintet.formats.alike`."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quintet.columns import Batch
from quintet.contract import Contract
from quintet.formats.alike import (
    SPACE,
    Bytes,
    Cells,
    blank,
    is_utf8,
    named,
    numbers,
    texts_of,
    typed_batch,
)
from quintet.formats.splitting import Positions

__all__ = ["jsonl_batch"]

NEWLINE, RETURN = b"\n\r"
NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
FIELD = re.compile(rb'[{,][ \t]*"([^"\\\x00-\x1f]*)"[ \t]*:[ \t]*')
TEXT = re.compile(rb'"[^"\\\x00-\x1f]*"')
END = re.compile(rb"[ \t]*}[ \t]*\r?\n")
#: the index of the bit in a byte with a single bit set
_LOWEST = np.array([max(0, byte.bit_length() - 1) for byte in range(256)])


class _Kept(threading.local):
    """The template of the JSONL that a thread read last: the next text most likely has it, too."""

    template: _Template | None = None


_kept = _Kept()


@dataclass(frozen=True)
class _Template:
    """A row's fields, whether each is a text, and the `literals` around the values.

    There is one more literal than fields; the quotes of texts are part of the literals.
    """

    names: tuple[str, ...]
    texts: tuple[bool, ...]
    literals: tuple[bytes, ...]

    @cached_property
    def anchors(self) -> _Anchors:
        """Where the literals are."""
        # a byte that no value contains locates a literal; beside numbers, the rarest is a colon
        anchor = b'"' if any(self.texts) else b":"
        counts = [literal.count(anchor) for literal in self.literals]
        heads = self.literals[:-1]
        return _Anchors(
            anchor[0],
            sum(counts),
            list(accumulate(counts[:-1], initial=0))[: len(heads)],
            np.array([literal.index(anchor) for literal in heads]),
            np.array([len(literal) for literal in heads]),
        )

    @cached_property
    def by_length(self) -> list[_Literals]:
        """The literals of each length."""
        sizes: dict[int, list[int]] = {}
        for place, literal in enumerate(self.literals):
            sizes.setdefault(len(literal), []).append(place)
        found = []
        for size, places in sizes.items():
            before = [not text for text in self.texts] + [False]
            put = [b" " * (size - 1) + (b"," if before[place] else b" ") for place in places]
            expected = b"".join(self.literals[place] for place in places)
            found.append(_Literals(size, places, expected, np.array(put, dtype=f"V{size}")))
        return found


def jsonl_batch(contract: Contract, text: bytes, ends: Positions) -> Batch | None:
    """Rows of JSONL, which end at `ends` with their newlines, as a batch; None if not uniform."""
    if b"\\" in text or not is_utf8(text):
        return None
    template = _kept.template
    found = _json_cells(template, text, ends) if template else None
    if found is None:
        template = _kept.template = _template(text[: ends[0]])
        found = _json_cells(template, text, ends) if template else None
    if template is None or found is None:
        return None
    if any(template.texts) and not _no_controls(np.frombuffer(text, dtype=np.uint8)):
        return None
    cells, array = found
    keys = {contract.entity, contract.id}
    numeric: list[int] = []
    texts: list[int] = []
    for place, (name, is_text) in enumerate(zip(template.names, template.texts, strict=True)):
        if not is_text:  # unused fields too: the row must be JSON
            numeric.append(place)
        if name in contract.request_keys and (is_text or name in keys):
            texts.append(place)
    read = texts_of(cells, texts)
    for name in read.keys() & keys:
        if not template.texts[template.names.index(name)]:
            # a whole number as key or id is its digits; the general readers handle other numbers
            cells_of = read[name]
            if not all(map(str.isdecimal, cells_of)) or not "".join(cells_of).isascii():
                return None
    others = np.delete(np.arange(len(template.names)), numeric)
    blank(array, cells.starts[:, others], cells.ends[:, others])
    if numeric:
        array[cells.starts[0, numeric[0]] - 1] = SPACE
    array[0], array[-1] = b"[]"  # the braces of the first row, and the newline of the last
    values = numbers(array.tobytes(), len(ends), len(numeric))
    return typed_batch(contract, named(cells, numeric), values, read)


class _Anchors(NamedTuple):
    """The bytes of a row that locate its literals, of which it has `in_row`.

    Of each literal but the last: the number of its first such byte in the row (`firsts`), and
    where it is in the literal; and the literals' lengths.
    """

    byte: int
    in_row: int
    firsts: list[int]
    offsets: Positions
    lengths: Positions


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


@dataclass(frozen=True, slots=True)
class _Literals:
    """The literals of a row that have one length: their bytes, and the values that follow them.

    `put` is what takes their place, once they were compared: nothing but a comma before a number.
    """

    size: int
    places: list[int]
    expected: bytes
    put: NDArray[np.void]


def _no_controls(text: Bytes) -> bool:
    """Whether the only control characters are those that end lines."""
    newlines = text == NEWLINE
    returns = (text[:-1] == RETURN) & newlines[1:]
    controls = np.count_nonzero(text < ord(" "))
    return bool(controls == np.count_nonzero(newlines) + np.count_nonzero(returns))


def _json_cells(template: _Template, text: bytes, lines: Positions) -> tuple[Cells, Bytes] | None:
    """The values of rows that match the template and end at `lines`; None if they do not.

    Beside them is the text as an array, in which commas are the numbers' only literals.
    """
    rows, array = len(lines), np.frombuffer(text, dtype=np.uint8)
    anchors = template.anchors
    found = _sparse(array == anchors.byte)
    if len(found) != rows * anchors.in_row:
        return None
    found = found.reshape(rows, anchors.in_row)
    places: Positions = np.empty((rows, len(template.literals)), dtype=np.int64)
    np.take(found, anchors.firsts, axis=1, out=places[:, :-1])
    places[:, :-1] -= anchors.offsets
    places[:, -1] = lines - len(template.literals[-1])
    starts: Positions = places[:, :-1] + anchors.lengths
    if places[0, 0] != 0 or (places[1:, 0] != lines[:-1]).any():
        return None
    if (found[:, -1] >= lines).any() or starts[-1].max() > lines[-1]:
        return None
    blanked = array.copy()
    for some in template.by_length:
        at = places[:, some.places]
        if _windows(array, some.size)[at].tobytes() != some.expected * rows:
            return None
        _windows(blanked, some.size)[at] = some.put
    return Cells(template.names, text, starts, places[:, 1:]), blanked


def _windows(array: Bytes, size: int) -> NDArray[np.void]:
    """All runs of `size` bytes, by where they start."""
    return np.ndarray((len(array) - size + 1,), dtype=f"V{size}", buffer=array, strides=(1,))


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
