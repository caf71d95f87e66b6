"""Where records end in CSV and JSONL: one vectorised scan, for both planning and reading.

A CSV record ends at a newline outside quotes, by the rules of Python's csv module in strict mode: a
quote opens a quoted field only at the start of the field, two quotes inside it are one quote, and a
delimiter or the record's end follows the closing quote. Where quotes break these rules (one stays
open for `MAX_RECORD_BYTES` or to the end, or text follows a closing one), the record ends with its
own first line, so that a stray quote costs one row and not all following rows. A JSONL record ends
at every newline. Empty lines are not records. A record longer than `MAX_RECORD_BYTES` comes alone,
so that only it is refused. Memory is bounded by the size of a block plus `MAX_HELD_BYTES`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quintet.formats.sources import Slice

__all__ = [
    "MAX_HELD_BYTES",
    "MAX_RECORD_BYTES",
    "Positions",
    "Records",
    "records",
    "slices",
    "split",
]

#: the longest record in bytes; in a longer one a quote was certainly left open
MAX_RECORD_BYTES = 1 << 20
#: so many bytes of a longer record are held, and the rest is passed over
MAX_HELD_BYTES = 1 << 24

#: bytes that are searched at once
CACHED = 1 << 18

Positions = NDArray[np.int64]
QUOTE, NEWLINE, RETURN = 34, 10, 13
#: the state of a record's quotes: it ends, needs more bytes (two states), or breaks the rules
_State = Literal["ended", "unended", "open", "broken"]


@dataclass(frozen=True, slots=True)
class Records:
    """Whole records of a stream: record i is `data[starts[i]:ends[i]]`, its newline included.

    `offset` is the position of `data` in the stream, `line` the number of its first line. Empty
    lines are between records. `well_quoted` is whether every record follows the rules for quotes.
    A record that is too long is the only one; of more than `MAX_HELD_BYTES`, `data` has the
    beginning, and the newline.
    """

    offset: int
    data: bytes
    starts: Positions
    ends: Positions
    line: int = 1
    well_quoted: bool = True

    def __len__(self) -> int:
        return len(self.ends)

    @property
    def longest(self) -> int:
        """The length of the longest record in bytes."""
        return int((self.ends - self.starts).max(initial=0))

    def line_at(self, position: int) -> int:
        """The number of the line that holds the byte `position` of `data`."""
        return self.line + self.data.count(b"\n", 0, position)


class Split(NamedTuple):
    """Where complete records end, and whether all of them follow the rules for quotes."""

    ends: Positions
    well_quoted: bool


def records(
    blocks: Iterable[bytes], delimiter: bytes | None, offset: int = 0, line: int = 1
) -> Iterator[Records]:
    """The records of a stream, block by block.

    `delimiter` is the CSV's, None for JSONL; `offset` and `line` are those of the first byte.
    """
    tail, beyond = b"", 0  # the beginning of a record, and how many bytes of it are not held
    for coming in blocks:
        block = coming
        if len(tail) >= MAX_HELD_BYTES:  # longer than a record may be, it ends with its line
            end = block.find(b"\n") + 1
            beyond += end or len(block)
            if not end:
                continue
            yield _beginning(offset, tail, beyond, line)
            offset, line = offset + len(tail) + beyond, line + 1
            tail, beyond, block = b"", 0, block[end:]
        data = tail + block if tail else block
        found = split(data, delimiter)
        cut = int(found.ends[-1]) if len(found.ends) else 0
        if cut:
            yield from _records(offset, data, found, line)
            # without quotes a record is a line; to count lines takes as long as to find them
            one_each = delimiter is None or b'"' not in data
            line += len(found.ends) if one_each else data.count(b"\n", 0, cut)
        tail = data[cut:]
        offset += cut
    if beyond:
        yield _beginning(offset, tail, beyond, line)
    elif tail:
        yield from _records(offset, tail, split(tail, delimiter, final=True), line)


def _beginning(offset: int, held: bytes, beyond: int, line: int) -> Records:
    """A record of which only the beginning is held."""
    ends = np.array([len(held) + beyond], dtype=np.int64)
    return Records(offset, held + b"\n", np.zeros(1, dtype=np.int64), ends, line, False)


def _records(offset: int, data: bytes, found: Split, line: int) -> Iterator[Records]:
    ends = found.ends
    starts = np.concatenate([[0], ends[:-1]])
    array = np.frombuffer(data, dtype=np.uint8)
    first, last = array[starts], array[ends - 1]
    empty = ((first == NEWLINE) | (first == RETURN)) & (ends - starts == 1)
    empty |= (first == RETURN) & (last == NEWLINE) & (ends - starts == 2)
    if empty.any():
        starts, ends = starts[~empty], ends[~empty]
    # records that are too long are cut out, each with those between them
    long = np.flatnonzero(ends - starts > MAX_RECORD_BYTES).tolist()
    edges = {*long, *(place + 1 for place in long)} - {0, len(ends)}
    for begin, end in pairwise([0, *sorted(edges), len(ends)]):
        part = slice(begin, end)
        yield Records(offset, data, starts[part], ends[part], line, found.well_quoted)


def split(data: bytes, delimiter: bytes | None, *, final: bool = False) -> Split:
    """Where the complete records of `data` end; `data` starts at a record.

    With `final` no data follows: the last record is complete, its newline may be missing.
    """
    array = np.frombuffer(data, dtype=np.uint8)
    newlines = _places(array, NEWLINE)
    if delimiter is None or b'"' not in data:
        return Split(_with_rest(newlines + 1, len(data), final), True)
    quotes = _places(array, QUOTE)
    if _plain_quotes(array, quotes, delimiter[0]):
        # outside quotes if the number of quotes before is even
        ends = newlines[np.searchsorted(quotes, newlines) % 2 == 0] + 1
        tail = int(ends[-1]) if len(ends) else 0
        is_open = len(quotes) % 2 == 1 and (final or len(data) - tail > MAX_RECORD_BYTES)
        if not is_open and np.diff(ends, prepend=0).max(initial=0) <= MAX_RECORD_BYTES:
            return Split(_with_rest(ends, len(data), final), True)
    return _split_by_field(data, delimiter, newlines, final)


def _with_rest(ends: Positions, size: int, final: bool) -> Positions:
    """Where records end, including the last of a stream, which needs no newline."""
    if final and (not len(ends) or ends[-1] < size):
        return np.append(ends, size)
    return ends


def _places(array: NDArray[np.uint8], byte: int) -> Positions:
    """The positions of a byte, searched in parts that fit a processor's cache."""
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
    closes = (after == delimiter) | (after == NEWLINE) | (after == QUOTE)
    behind = array[np.minimum(closing + 2, len(array) - 1)]
    closes |= (after == RETURN) & ((behind == NEWLINE) | (closing + 2 >= len(array)))
    closes |= closing == len(array) - 1
    # an opening quote right after a quote is the second of a pair inside a quoted field
    return bool(opens.all() and closes.all())


def _split_by_field(data: bytes, delimiter: bytes, newlines: Positions, final: bool) -> Split:
    """The same for text with stray quotes, field by field in lines with a quote."""
    fields = re.compile(b"[" + re.escape(delimiter) + b"\n]")
    ends: list[Positions] = []
    start, well_quoted = 0, True
    while (quote := data.find(b'"', start)) >= 0:
        line = max(start, data.rfind(b"\n", start, quote) + 1)
        ends.append(_between(newlines, start, line))
        end, state = _record_end(data, line, fields)
        too_long = end - line > MAX_RECORD_BYTES
        if state in ("open", "unended") and not final and not too_long:
            return Split(np.concatenate(ends), well_quoted)  # the next byte decides
        if state in ("open", "broken") or too_long:
            well_quoted = False
            end = data.find(b"\n", line) + 1 or (len(data) if final else 0)
            if not end:
                return Split(np.concatenate(ends), well_quoted)
        ends.append(np.array([end], dtype=np.int64))
        start = end
    ends.append(_between(newlines, start, len(data)))
    return Split(_with_rest(np.concatenate(ends), len(data), final), well_quoted)


def _between(newlines: Positions, start: int, stop: int) -> Positions:
    """Where the lines from `start` to before `stop` end."""
    first, last = np.searchsorted(newlines, [start, stop])
    return newlines[first:last] + 1


def _record_end(data: bytes, start: int, fields: re.Pattern[bytes]) -> tuple[int, _State]:
    """The end of the record at `start`, and its state there."""
    at = start
    while True:
        if data[at : at + 1] == b'"':
            at = _after_quoted(data, at + 1)
            if at < 0:
                return len(data), "open"
            follows = data[at : at + 2]
            if follows not in (b"\r", b"\r\n") and follows and not fields.match(follows):
                return at, "broken"
        found = fields.search(data, at)
        if found is None:
            return len(data), "unended"
        at = found.end()
        if found.group() == b"\n":
            return at, "ended"


def _after_quoted(data: bytes, start: int) -> int:
    """The position just after the closing quote of a field, -1 if it has none."""
    close = data.find(b'"', start)
    while close >= 0 and data[close + 1 : close + 2] == b'"':
        close = data.find(b'"', close + 2)
    return close + 1 if close >= 0 else -1


def slices(stream: Iterable[Records], target: int, end: int, start: int) -> list[Slice]:
    """Cut records into slices of about `target` bytes, from `start` to `end` of the stream."""
    cuts: list[Slice] = []
    begin, line, first_row, rows = start, 0, 0, 0
    for block in stream:
        line = line or block.line
        ends = block.ends + block.offset
        taken = 0
        while taken < len(ends):
            cut = int(np.searchsorted(ends, begin + target))
            if cut >= len(ends):
                break
            rows += cut + 1 - taken
            cuts.append(Slice(begin, int(ends[cut]), first_row, rows, line))
            line = block.line_at(int(block.ends[cut]))
            begin, first_row, rows, taken = int(ends[cut]), first_row + rows, 0, cut + 1
        rows += len(ends) - taken
    if rows:
        cuts.append(Slice(begin, end, first_row, rows, line))
    elif cuts:  # empty lines after the last record belong to the last slice
        cuts[-1] = replace(cuts[-1], end=end)
    return cuts
