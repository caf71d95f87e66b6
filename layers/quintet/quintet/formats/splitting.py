"""Where records end in CSV and JSONL: one vectorised scan, for planning and reading alike.

A record of CSV ends at a newline outside quotes, by the rules of Python's csv module: a quote
opens a quoted field only where the field starts, and two quotes inside one are a quote. A
record of JSONL ends at every newline. Empty lines are no records. Memory is bounded by the
size of a block plus that of the longest record.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quintet.errors import BadInput
from quintet.formats.sources import Slice

__all__ = ["MAX_RECORD_BYTES", "Positions", "Records", "record_ends", "records", "slices"]

#: the longest record in bytes; beyond it a quote was surely left open
MAX_RECORD_BYTES = 1 << 20

#: bytes that are looked through at once
CACHED = 1 << 18

Positions = NDArray[np.int64]
QUOTE, NEWLINE, RETURN = 34, 10, 13


@dataclass(frozen=True, slots=True)
class Records:
    """Whole records of a stream: record i is `data[starts[i]:ends[i]]`, its newline included.

    `offset` is the place of `data` in the stream. Empty lines lie between records.
    """

    offset: int
    data: bytes
    starts: Positions
    ends: Positions

    def __len__(self) -> int:
        return len(self.ends)


def records(blocks: Iterable[bytes], delimiter: bytes | None, offset: int = 0) -> Iterator[Records]:
    """The records of a stream, block by block.

    `delimiter` is the CSV's, None for JSONL; `offset` is the place of the first block.

    Raises:
        BadInput: a record is longer than `MAX_RECORD_BYTES`.
    """
    tail = b""
    for block in blocks:
        data = tail + block if tail else block
        ends = record_ends(data, delimiter)
        cut = int(ends[-1]) if len(ends) else 0
        if cut:
            yield _records(offset, data, ends)
        tail = data[cut:]
        offset += cut
        if len(tail) > MAX_RECORD_BYTES:
            raise _too_long(offset)
    if tail:
        yield _records(offset, tail, np.array([len(tail)], dtype=np.int64))


def _records(offset: int, data: bytes, ends: Positions) -> Records:
    starts = np.concatenate([[0], ends[:-1]])
    longest = int(np.argmax(ends - starts))
    if ends[longest] - starts[longest] > MAX_RECORD_BYTES:
        raise _too_long(offset + int(starts[longest]))
    array = np.frombuffer(data, dtype=np.uint8)
    first, last = array[starts], array[ends - 1]
    empty = ((first == NEWLINE) | (first == RETURN)) & (ends - starts == 1)
    empty |= (first == RETURN) & (last == NEWLINE) & (ends - starts == 2)
    if empty.any():
        starts, ends = starts[~empty], ends[~empty]
    return Records(offset, data, starts, ends)


def _too_long(offset: int) -> BadInput:
    return BadInput.of(
        f"the record at byte {offset}",
        f"at most {MAX_RECORD_BYTES} bytes",
        "a longer one; is a quote left open?",
    )


def record_ends(data: bytes, delimiter: bytes | None) -> Positions:
    """The positions just past each complete record of `data`, which starts at a record."""
    array = np.frombuffer(data, dtype=np.uint8)
    newlines = _places(array, NEWLINE)
    if delimiter is None or b'"' not in data:
        return newlines + 1
    quotes = _places(array, QUOTE)
    if not _plain_quotes(array, quotes, delimiter[0]):
        return _ends_by_field(data, delimiter)
    # outside quotes where the number of quotes before is even
    outside: Positions = newlines[np.searchsorted(quotes, newlines) % 2 == 0]
    return outside + 1


def _places(array: NDArray[np.uint8], byte: int) -> Positions:
    """Where a byte is, looked for in parts that fit a processor's cache."""
    parts = range(0, len(array), CACHED)
    return np.concatenate(
        [np.flatnonzero(array[at : at + CACHED] == byte) + at for at in parts]
        or [np.empty(0, dtype=np.int64)]
    )


def _plain_quotes(array: NDArray[np.uint8], quotes: Positions, delimiter: int) -> bool:
    """Whether quotes simply alternate: each opens at a field's start or closes at its end."""
    opening, closing = quotes[0::2], quotes[1::2]
    before = array[np.maximum(opening - 1, 0)]
    opens = (opening == 0) | (before == delimiter) | (before == NEWLINE) | (before == QUOTE)
    after = array[np.minimum(closing + 1, len(array) - 1)]
    closes = (after == delimiter) | (after == NEWLINE) | (after == RETURN) | (after == QUOTE)
    closes |= closing == len(array) - 1
    # an opening quote right after a quote is the second of a pair inside a quoted field
    return bool(opens.all() and closes.all())


def _ends_by_field(data: bytes, delimiter: bytes) -> Positions:
    """The same, field by field, for text with stray quotes."""
    stop = re.compile(b"[" + re.escape(delimiter) + b"\n]")
    ends: list[int] = []
    field = 0
    while True:
        rest = field
        if data[field : field + 1] == b'"':
            rest = _after_quoted(data, field + 1)
            if rest < 0:
                break
        found = stop.search(data, rest)
        if found is None:
            break
        field = found.end()
        if found.group() == b"\n":
            ends.append(field)
    return np.array(ends, dtype=np.int64)


def _after_quoted(data: bytes, start: int) -> int:
    """The position just past the closing quote of a field, -1 where there is none."""
    close = data.find(b'"', start)
    while close >= 0 and data[close + 1 : close + 2] == b'"':
        close = data.find(b'"', close + 2)
    return close + 1 if close >= 0 else -1


def slices(stream: Iterable[Records], target: int, end: int, start: int) -> list[Slice]:
    """Cut records into slices of about `target` bytes, from `start` to `end` of the stream."""
    cuts: list[Slice] = []
    begin, first_row, rows = start, 0, 0
    for block in stream:
        ends = block.ends + block.offset
        taken = 0
        while taken < len(ends):
            cut = int(np.searchsorted(ends, begin + target))
            if cut >= len(ends):
                break
            rows += cut + 1 - taken
            cuts.append(Slice(begin, int(ends[cut]), first_row, rows))
            begin, first_row, rows, taken = int(ends[cut]), first_row + rows, 0, cut + 1
        rows += len(ends) - taken
    if rows:
        cuts.append(Slice(begin, end, first_row, rows))
    elif cuts:  # empty lines after the last record belong to the last slice
        last = cuts.pop()
        cuts.append(Slice(last.start, end, last.first_row, last.rows))
    return cuts
