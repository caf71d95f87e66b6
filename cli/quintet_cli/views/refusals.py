"""Refused rows of a file in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from quintet.errors import Refusal

__all__ = ["refused_rows"]

SHOWN = 20


def refused_rows(refusals: Sequence[Refusal]) -> Table:
    """Return a table of the first refused rows, with their reasons."""
    table = Table("row", "column", "expected", "got", title="refused rows")
    for refusal in refusals[:SHOWN]:
        table.add_row(str(refusal.row), refusal.field, refusal.expected, refusal.got)
    if len(refusals) > SHOWN:
        table.caption = f"and {len(refusals) - SHOWN} more"
    return table
