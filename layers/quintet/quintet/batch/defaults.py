"""Features that no row of a file has: all of its rows are scored with the default.

A misspelt optional column looks just like one that was left out on purpose, so the report tells.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import islice
from typing import Any

import orjson

from quintet.contract import Contract
from quintet.formats.chunks import Chunk
from quintet.formats.kinds import near_name
from quintet.formats.sources import Layout

__all__ = ["Defaults"]

#: the most fields of a file that are looked through for a near name
MAX_FIELDS = 1000


class Defaults:
    """The features that no row of a unit's files has, file by file."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._files: dict[str, dict[str, Any]] = {}

    def add(
        self, file: str | None, layout: Layout, chunk: Chunk, given: Collection[str] = ()
    ) -> None:
        """Add some rows of a file; its folders say the features `given`."""
        if not chunk.batch.rows:
            return
        absent = chunk.batch.absent.difference(given)
        known = self._files.get(file or "")
        if known is None:
            found = self._described(absent, layout, chunk) if absent else {}
            self._files[file or ""] = {"rows": chunk.batch.rows, "absent": found}
            return
        known["rows"] += chunk.batch.rows
        known["absent"] = {name: one for name, one in known["absent"].items() if name in absent}

    def _described(
        self, absent: Iterable[str], layout: Layout, chunk: Chunk
    ) -> dict[str, dict[str, Any]]:
        """The default of each feature, and the field of the file that may be meant for it."""
        names: Iterable[Any] = layout.columns
        if layout.format == "jsonl":  # its rows have the fields; the first may speak for them
            row = chunk.original(int(chunk.rows[0]) - chunk.first)
            names = orjson.loads(row) if isinstance(row, bytes) else row
        others = (str(name)[:60] for name in names if name not in self._contract.request_keys)
        fields = list(islice(others, MAX_FIELDS))
        defaults = {name: self._contract.by_name[name].default for name in sorted(absent)}
        return {
            name: {"default": default, "near": near_name(name, fields)}
            for name, default in defaults.items()
        }

    def document(self) -> dict[str, Any]:
        """What a unit's result holds of them: by file, "" where the run has one only."""
        return self._files
