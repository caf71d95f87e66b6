"""Reads files of labels: CSV, JSONL or Parquet with the columns id, label and time."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from arro3 import core
from arro3 import io as arro3_io

from quintet.errors import BadInput
from quintet.formats import strict_json
from quintet.formats.arrow import arrow_errors, column
from quintet.formats.arrow_values import plain_values
from quintet.formats.csv_rows import csv_rows
from quintet.labels.intake import COLUMNS
from quintet_publish.text_files import read_text

__all__ = ["read_labels"]


def read_labels(path: Path) -> tuple[Sequence[Any], Sequence[Any], Sequence[Any]]:
    """Read the ids, labels and times of a file's rows, unchecked.

    Raises:
        BadInput: the file cannot be read, or has other columns.
    """
    readers = {".csv": _csv, ".jsonl": _jsonl, ".parquet": _parquet}
    if path.suffix not in readers:
        raise BadInput.of(path.name, f"a file named {', '.join(readers)}", path.suffix or "no end")
    found = readers[path.suffix](path)
    return tuple(found[name] for name in COLUMNS)  # type: ignore[return-value]


def _check(path: Path, names: Sequence[str]) -> None:
    if sorted(names) != sorted(COLUMNS):
        got = ", ".join(names)[:200] or "none"
        raise BadInput.of(path.name, f"the columns {', '.join(COLUMNS)}", got)


def _csv(path: Path) -> dict[str, Sequence[Any]]:
    try:
        lines = csv_rows(read_text(path))
        _, names = next(lines, (0, []))
        _check(path, [name or "" for name in names])
        rows = []
        for number, cells in lines:
            if len(cells) != len(COLUMNS):
                raise BadInput.of(
                    path.name, "3 cells in each row", f"{len(cells)} in line {number}"
                )
            rows.append(cells)
    except csv.Error as error:
        raise BadInput.of(path.name, "CSV", str(error)) from None
    columns = zip(*rows, strict=True) if rows else ((), (), ())
    return dict(zip([str(name) for name in names], columns, strict=True))


def _jsonl(path: Path) -> dict[str, Sequence[Any]]:
    found: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    for number, line in enumerate(path.read_bytes().split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            row = strict_json.parse(line)
        except BadInput as error:
            raise BadInput.of(path.name, "JSON in each line", f"line {number}: {error}") from None
        if not isinstance(row, dict):
            raise BadInput.of(path.name, "an object in each line", f"another in line {number}")
        _check(path, [*row])
        for name in COLUMNS:
            found[name].append(row[name])
    return dict(found)


def _parquet(path: Path) -> dict[str, Sequence[Any]]:
    with arrow_errors(path.name, "Parquet"):
        table = arro3_io.read_parquet(str(path)).read_all()
        _check(path, table.column_names)
        found: dict[str, Sequence[Any]] = {}
        for name in COLUMNS:
            array = table.column(name).combine_chunks()
            is_time = core.DataType.is_timestamp(array.type)
            found[name] = _seconds(array) if is_time else plain_values(array)
        return found


def _seconds(array: core.Array) -> Any:
    """Timestamps in seconds since the epoch, NaN where they are null."""
    wide = array.cast(core.DataType.timestamp("us")).cast(core.DataType.int64())
    values, null = column("time", wide)
    return np.where(False if null is None else null, np.nan, values / 1e6)
