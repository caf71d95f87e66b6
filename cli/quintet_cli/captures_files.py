"""Write captures to a file of the user's: Parquet, CSV or JSONL, by its name."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from arro3 import core

from quintet.captures.tables import concat, write_parquet
from quintet.errors import BadInput
from quintet.formats.arrow import type_name
from quintet.formats.writers import spreadsheet_texts, text_column, write_table
from quintet_cli.stage import StageError

__all__ = ["check_form", "joined", "write_rows"]

FORMS = ("parquet", "csv", "jsonl")


def check_form(file: Path) -> None:
    """Check that a file's name has the ending of a format. Raises BadInput."""
    if _form(file) not in FORMS:
        raise BadInput.of("FILE", "a file that ends in .parquet, .csv or .jsonl", file.name)


def joined(tables: Sequence[core.Table]) -> core.Table:
    """The rows of tables, of versions of one model.

    Raises:
        StageError: there are no tables, or a column has another type in another version.
    """
    if not tables:
        raise StageError(
            "there are no captures in that time; --since takes an earlier one",
            command="quintet captures query",
        )
    kinds: dict[str, Any] = {}
    for name, kind in ((n, table[n].type) for table in tables for n in table.column_names):
        if kinds.setdefault(name, kind) != kind:
            one, other = type_name(kinds[name]), type_name(kind)
            raise StageError(
                f"{name} is {one} in one version and {other} in another; export them apart, with "
                "--since and --until",
                command="quintet models",
            )
    return concat(tables)


def write_rows(file: Path, rows: core.Table) -> None:
    """Write rows to a file, in the format of its ending."""
    form = _form(file)
    file.write_bytes(write_parquet(rows) if form == "parquet" else _text(rows, form))


def _form(file: Path) -> str:
    return file.suffix.removeprefix(".")


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
