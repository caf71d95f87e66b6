"""Rows of captures as dicts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from quintet.captures.tables import FIXED

__all__ = ["records_of"]


def records_of(rows: Any) -> Sequence[dict[str, Any]]:
    """The rows of a table as dicts, without a model's columns that are null in all of them."""
    columns = {name: rows[name].to_pylist() for name in rows.column_names}
    held = {
        name: values
        for name, values in columns.items()
        if name in FIXED or any(value is not None for value in values)
    }
    return [dict(zip(held, row, strict=True)) for row in zip(*held.values(), strict=True)]
