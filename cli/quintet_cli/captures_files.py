"""Write captures to a file of the user's: Parquet, CSV or JSONL, by its name."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from arro3 import core

from quintet.captures.tables import concat, write_parquet
from quintet.formats.arrow import type_name
from quintet.formats.writers import spreadsheet_texts, text_column, write_table
from quintet_cli.stage import StageError

__all__ = ["write_captures"]

FORMS = ("parquet", "csv", "jsonl")


def write_captures(file: Path, tables: Sequence[core.Table]) -> int:
    """Write the rows of tables, of versions of one model, to a file; how many.

    Raises:
        StageError: the name has no ending of a format, or there are no rows, or a column has
            another type in another version.
    """
    form = file.suffix.removeprefix(".")
    if form not in FORMS:
        raise StageError(f"expected a file that ends in .parquet, .csv or .jsonl, got {file.name}")
    if not tables:
        raise StageError("there are no captures in that time; --since takes an earlier one")
    kinds: dict[str, Any] = {}
    for name, kind in ((n, table[n].type) for table in tables for n in table.column_names):
        if kinds.setdefault(name, kind) != kind:
            one, other = type_name(kinds[name]), type_name(kind)
            raise StageError(
                f"{name} is {one} in one version and {other} in another; export them apart, with "
                "--since and --until"
            )
    rows = concat(tables)
    file.write_bytes(write_parquet(rows) if form == "parquet" else _text(rows, form))
    return int(rows.num_rows)


def _text(rows: core.Table, form: Any) -> bytes:
    """The rows as CSV, where lists are JSON and no text is a formula, or as JSONL."""
    columns = {name: rows[name].combine_chunks() for name in rows.column_names}
    if form == "csv":
        for name, column in columns.items():
            if core.DataType.is_nested(column.type):
                columns[name] = text_column([_json(value) for value in column.to_pylist()])
            elif core.DataType.is_string(column.type):
                columns[name] = spreadsheet_texts(column)
    return write_table(columns, form)


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value)
