"""CSV records as cells, by the csv module: an empty cell is missing, "" is the empty text.

The csv module itself returns "" for both.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from functools import cache

__all__ = ["Cells", "csv_cells", "csv_rows", "delimiter_of"]

#: a record's cells; None if there is nothing between delimiters
Cells = list[str | None]


def csv_cells(record: str, delimiter: str = ",") -> Cells:
    """The cells of one record, with or without its line's end.

    Raises:
        csv.Error: it is not CSV.
    """
    row = next(csv.reader([record], delimiter=delimiter, strict=True), [])
    return _with_gaps(row, record, delimiter)


def csv_rows(text: str, delimiter: str = ",") -> Iterator[tuple[int, Cells]]:
    """The records of a text that are not empty, each with the number of its last line, from 1.

    Raises:
        csv.Error: it is not CSV.
    """
    read: list[str] = []

    def lines() -> Iterator[str]:
        for line in io.StringIO(text, newline=""):
            read.append(line)
            yield line

    reader = csv.reader(lines(), delimiter=delimiter, strict=True)
    for row in reader:
        if row:
            yield reader.line_num, _with_gaps(row, "".join(read), delimiter)
        read.clear()


def delimiter_of(text: str, decimal: str) -> str:
    """The delimiter of a text: a comma, or with decimal commas a semicolon if line 1 has one."""
    return ";" if decimal == "," and ";" in text.lstrip().partition("\n")[0] else ","


def _with_gaps(row: list[str], record: str, delimiter: str) -> Cells:
    if "" not in row:
        return [*row]
    if '""' not in record:
        return [cell or None for cell in row]
    written = _written(delimiter)
    at = 0
    cells: Cells = []
    for cell in row:
        found = written.match(record, at)
        cells.append(None if not cell and (found is None or not found[0]) else cell)
        at = at + 1 if found is None else found.end() + len(delimiter)
    return cells


@cache
def _written(delimiter: str) -> re.Pattern[str]:
    """A cell as CSV text."""
    return re.compile(rf'"(?:[^"]|"")*"|[^{re.escape(delimiter)}\r\n]*')
