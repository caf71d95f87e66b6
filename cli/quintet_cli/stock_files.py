"""Reads the numbers of items: a number a line, JSONL or CSV with the field `item`."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from pathlib import Path

from quintet.errors import BadInput, shown
from quintet.formats import strict_json
from quintet.formats.csv_rows import csv_rows
from quintet_publish.text_files import read_text

__all__ = ["read_item_numbers"]

FIELD = "item"


def read_item_numbers(given: str) -> list[int]:
    """The numbers in a file, or for - in the standard input.

    Raises:
        BadInput: it cannot be read, or has something else in a line.
    """
    name = "the input" if given == "-" else Path(given).name
    try:
        text = sys.stdin.read() if given == "-" else read_text(Path(given))
        first = text.lstrip()[:1]
        if first == "{":
            found = _jsonl(name, text)
        elif first.isdigit() or not first:
            found = enumerate(map(str.strip, text.splitlines()), 1)
        else:
            found = _csv(name, text)
        return [_number(name, line, value) for line, value in found if value != ""]
    except FileNotFoundError:
        raise BadInput.of("FILE", "a file, or - for the input", given) from None
    except UnicodeDecodeError:  # of the standard input
        raise BadInput.of(name, "text in UTF-8", "another encoding") from None
    except csv.Error as error:
        raise BadInput.of(name, "numbers, CSV or JSONL", str(error)) from None


def _jsonl(name: str, text: str) -> Iterator[tuple[int, object]]:
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                row = strict_json.parse(line.encode())
            except BadInput as error:
                raise BadInput.of(name, "JSON in each line", f"line {number}: {error}") from None
            if not isinstance(row, dict) or FIELD not in row:
                expected = f"an object with the field {FIELD} in each line"
                raise BadInput.of(name, expected, f"another in line {number}")
            yield number, row[FIELD]


def _csv(name: str, text: str) -> Iterator[tuple[int, object]]:
    rows = csv_rows(text)
    _, names = next(rows)
    if FIELD not in names:
        got = ", ".join(str(name) for name in names)[:200]
        raise BadInput.of(name, f"numbers, or a header with the column {FIELD}", got)
    place = names.index(FIELD)
    for number, cells in rows:
        yield number, cells[place] if place < len(cells) else None


def _number(name: str, line: int, value: object) -> int:
    if type(value) is int:
        return value
    if isinstance(value, str) and value.isascii() and value.strip().isdecimal():
        return int(value)
    raise BadInput.of(name, "the number of an item", f"{shown(value)} in line {line}")
