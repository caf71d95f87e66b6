"""What a unit writes: scores in the form asked for, and refused rows whole beside them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from arro3 import core
from numpy.typing import NDArray

from quintet.batch.outputs import FILE
from quintet.columns import Array, empty_output, flat_columns
from quintet.contract import Contract
from quintet.errors import Refusal
from quintet.formats.quarantined import Original, Quarantined
from quintet.formats.sources import FileFormat
from quintet.formats.writers import text_column, write_table

__all__ = ["QuarantineLines", "ScoreTable"]

#: how many refusals of one reason a report may show
EXAMPLES = 3
#: how many reasons are distinguished; a category column can give one for each value
REASONS = 200


class ScoreTable:
    """The scores of a unit, gathered chunk by chunk, and given away part by part.

    Of `many` files they have the column `file`; `kept` are the names of the input's columns
    beside them. `rows` are all that were added, `held` the bytes of those that were not taken.
    """

    def __init__(
        self, contract: Contract, version: int, many: bool = False, kept: Sequence[str] = ()
    ) -> None:
        self._contract = contract
        self._version = version
        self._many = many
        self._kept = kept
        self._parts: defaultdict[str, list[Any]] = defaultdict(list)
        self._rows = 0
        self.rows = 0
        self.held = 0

    def add(
        self,
        rows: NDArray[np.int64],
        entities: Sequence[str | None] | None,
        outputs: dict[str, Array],
        fallback: NDArray[np.bool_],
        *,
        file: str | None = None,
        kept: Mapping[str, core.Array] | None = None,
    ) -> None:
        """Add scored rows; `rows` are their numbers in the file."""
        if self._many:
            self._add_texts(FILE, [file] * len(rows))
        self._add("row", rows)
        if self._contract.entity:
            entities = [None] * len(rows) if entities is None else entities
            self._add_texts(self._contract.entity, [entity or None for entity in entities])
        for name in self._kept:
            self._add_array(name, kept[name] if kept else text_column([]))
        for name, values in flat_columns(self._contract, outputs, fallback).items():
            if values.dtype.kind == "O":
                self._add_texts(name, values.tolist())
            else:
                self._add(name, values)
        self._rows += len(rows)
        self.rows += len(rows)

    def _add(self, name: str, values: Array) -> None:
        self._parts[name].append(values)
        self.held += values.nbytes

    def _add_texts(self, name: str, texts: list[str | None]) -> None:
        self._add_array(name, text_column(texts))

    def _add_array(self, name: str, array: core.Array) -> None:
        self._parts[name].append(array)
        self.held += array.nbytes

    def take(self, form: FileFormat) -> tuple[bytes, int]:
        """What was added since the last time, and its rows: the same bytes for the same scores."""
        if not self._parts:  # every row was refused: the columns are there all the same
            nothing = {output.name: empty_output(output) for output in self._contract.outputs}
            self.add(np.empty(0, dtype=np.int64), [], nothing, np.empty(0, dtype=np.bool_))
        columns: dict[str, Array | core.Array] = {}
        for name in list(self._parts):
            parts = self._parts.pop(name)  # in memory once, not twice
            arrays = isinstance(parts[0], np.ndarray)
            whole = np.concatenate(parts) if arrays else core.ChunkedArray(parts).combine_chunks()
            columns[name] = whole
        rows = self._rows
        columns["model_version"] = np.full(rows, self._version, dtype=np.int64)
        self._rows = self.held = 0
        return write_table(columns, form), rows


class QuarantineLines:
    """The refused rows of a unit, whole, and how often which reason came.

    `rows` are all that were added, `held` the bytes of those that were not taken.
    """

    def __init__(self) -> None:
        # not a list of lines: orjson's take 4 KiB each
        self._body = bytearray()
        self._held_rows = 0
        self._reasons: dict[tuple[str, str], dict[str, Any]] = {}
        self.rows = 0

    @property
    def held(self) -> int:
        return len(self._body)

    def add(
        self,
        row: int,
        original: Original,
        refusals: Sequence[Refusal],
        file: str | None = None,
    ) -> None:
        """Add one row of a file, refused for some reasons; `file` is named where there are many."""
        place = {"row": row} if file is None else {FILE: file, "row": row}
        self._body += Quarantined(place, refusals, original).to_line()
        self._held_rows += 1
        self.rows += 1
        for refusal in refusals:
            key = (refusal.field, refusal.expected)
            if key not in self._reasons and len(self._reasons) >= REASONS:
                key = ("other fields", "what the contract says")
            found = self._reasons.setdefault(
                key, {"field": key[0], "expected": key[1], "rows": 0, "examples": []}
            )
            found["rows"] += 1
            if len(found["examples"]) < EXAMPLES:
                found["examples"].append({**place, "got": refusal.got})

    @property
    def reasons(self) -> list[dict[str, Any]]:
        """Field, expectation, rows and first examples of every reason, in order of coming."""
        return list(self._reasons.values())

    def take(self) -> tuple[bytes, int]:
        """What was added since the last time, one JSON object a line, and its rows."""
        body, rows = bytes(self._body), self._held_rows
        self._body.clear()
        self._held_rows = 0
        return body, rows
