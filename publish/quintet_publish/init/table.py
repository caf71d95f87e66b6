"""Reads a sample of a model's data: columns of cells, from CSV, Parquet or JSONL."""

from __future__ import annotations

import csv
import json
import math
import re
import shlex
import shutil
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

from arro3.io import read_parquet

from quintet.columns import is_missing
from quintet_publish.problems import PackageError
from quintet_publish.text_files import NotUtf8

__all__ = [
    "COPIED_BYTES",
    "Table",
    "as_number",
    "cells",
    "comma_hint",
    "copy_sample",
    "is_cut",
    "numeric",
    "read_sample",
]

ROWS = 20_000
#: of a CSV file that become training data: publishing holds all of it in memory as texts
COPIED_BYTES = 100_000_000
SUFFIXES = (".csv", ".parquet", ".jsonl")
#: what may separate the cells of CSV: the one that the header has most of, a comma among equals
SEPARATORS = (",", ";", "\t", "|")

#: cells by column, all of one length; None is a missing one
Table = dict[str, list[Any]]


def read_sample(path: Path) -> Table:
    """Read the first rows of a sample.

    Raises:
        PackageError: it is not in the format of its suffix, or has no rows.
        NotUtf8: it is text in another encoding.
        FileNotFoundError: there is no such file.
    """
    readers: dict[str, Callable[[Path], Table]] = {
        ".csv": _csv,
        ".parquet": _parquet,
        ".jsonl": _jsonl,
    }
    if path.suffix not in readers:
        text = f"expected a file ending in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"
        raise PackageError.of(path.name or str(path), f"{text}{_renamed(path)}")
    path.stat()  # a file that is missing is no sample that cannot be read
    try:
        table = readers[path.suffix](path)
    except UnicodeDecodeError as error:
        raise NotUtf8(path, error) from error
    except (ValueError, csv.Error, OSError) as error:
        raise PackageError.of(path.name, f"cannot be read: {error}"[:300]) from error
    except BaseException as error:
        # arro3's errors have no base class of their own, and its Rust code can panic
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            text = f"is damaged, or no {path.suffix[1:]} file ({type(error).__name__})"
            raise PackageError.of(path.name, text) from error
        raise
    if not table or not next(iter(table.values())):
        raise PackageError.of(path.name, "expected a header and rows, got none")
    return {
        name: [None if is_missing(cell) or cell == "" else cell for cell in column]
        for name, column in table.items()
    }


def _renamed(path: Path) -> str:
    """What makes a sample of a file with another suffix, if that is known."""
    kind = path.suffix.lower()
    if kind == ".json":
        file, lines = shlex.quote(str(path)), shlex.quote(str(path.with_suffix(".jsonl")))
        return f"; `jq -c .[] {file} > {lines}` writes an array's objects as lines"
    suffix = ".csv" if kind in (".tsv", ".tab", ".txt") else kind
    if suffix not in SUFFIXES:
        return ""
    return f"; `{shlex.join(['cp', str(path), str(path.with_suffix(suffix))])}` makes it one"


def is_cut(path: Path) -> bool:
    """Whether only the first rows of a sample are copied: publishing reads no more of a CSV."""
    return path.suffix == ".csv" and path.stat().st_size > COPIED_BYTES


def copy_sample(path: Path, target: Path) -> None:
    """Copy a sample as training data, which has commas between its cells.

    Of a larger CSV file than `COPIED_BYTES` the first rows, up to that.
    """
    if path.suffix != ".csv":
        shutil.copyfile(path, target)
        return
    separator, cut = _separator(path), is_cut(path)
    if separator == "," and not cut:
        shutil.copyfile(path, target)
        return
    try:
        _copy_rows(path, target, separator, COPIED_BYTES if cut else math.inf)
    except UnicodeDecodeError as error:  # beyond the rows that were read
        raise NotUtf8(path, error) from error


def _copy_rows(path: Path, target: Path, separator: str, room: float) -> None:
    with (
        path.open(encoding="utf-8-sig", newline="") as file,
        target.open("w", encoding="utf-8", newline="") as copy,
    ):
        writer = csv.writer(copy)
        for row in csv.reader(file, strict=True, delimiter=separator):
            room -= writer.writerow(row)
            if room <= 0:
                return


def _separator(path: Path) -> str:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return max(SEPARATORS, key=file.readline().count)


def _csv(path: Path) -> Table:
    separator = _separator(path)
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True, delimiter=separator)
        header = next(reader, [])
        rows = list(islice(reader, ROWS))
    if len(set(header)) < len(header):
        name = next(name for name in header if header.count(name) > 1)
        raise ValueError(f"two columns are called {name!r:.60}; rename one of them")
    for number, row in enumerate(rows, 2):
        if len(row) != len(header):
            expected = f"{len(header)} cells, as the header has between {separator!r}"
            raise ValueError(f"row {number}: expected {expected}, got {len(row)}")
    return {name: [row[at] for row in rows] for at, name in enumerate(header)}


def _parquet(path: Path) -> Table:
    table = read_parquet(path).read_all()
    rows = slice(0, ROWS)
    return {name: [*table.column(name).to_pylist()][rows] for name in table.column_names}


def _jsonl(path: Path) -> Table:
    with path.open(encoding="utf-8-sig") as file:
        rows = [json.loads(line) for line in islice(file, ROWS) if line.strip()]
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError("expected an object in each line")
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def cells(column: list[Any]) -> list[Any]:
    """The cells that are not missing."""
    return [cell for cell in column if cell is not None]


def as_number(cell: Any) -> float | int:
    """A cell as a number.

    Raises:
        ValueError, TypeError: it is none.
    """
    if isinstance(cell, str):
        text = cell.strip()
        if text.lower() in ("true", "false"):
            return int(text.lower() == "true")
        return int(text) if re.fullmatch(r"[-+]?[0-9]{1,18}", text) else float(text)
    return int(cell) if isinstance(cell, bool | int) else float(cell)


def comma_hint(cell: Any) -> str:
    """What to write in place of a text that is a number with a comma; empty for another."""
    if isinstance(cell, str) and re.fullmatch(r"[-+]?[0-9.]*,[0-9]+", cell.strip()):
        return "; write decimal points, and no separators of thousands"
    return ""


def numeric(column: list[Any]) -> bool:
    """Whether every cell of a column is a number."""
    try:
        for cell in cells(column):
            as_number(cell)
    except (TypeError, ValueError):
        return False
    return True
