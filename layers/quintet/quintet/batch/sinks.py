"""The results of a unit: scores, refused rows, and statistics of its rows for the run's report."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import orjson
from arro3 import core
from numpy.typing import NDArray

from quintet.batch.outputs import FILE
from quintet.columns import Array, empty_output, near_name, places_of
from quintet.contract import Contract
from quintet.errors import Refusal
from quintet.formats.chunks import Chunk
from quintet.formats.quarantined import Original, Quarantined
from quintet.formats.sources import FileFormat, Layout
from quintet.formats.writers import output_columns, spreadsheet_texts, text_column, write_table
from quintet.monitoring.histograms import Histogram, noting, watched
from quintet.monitoring.outputs import OutputColumn
from quintet.monitoring.outputs import output_columns as compared_columns
from quintet.monitoring.samples import Reference, Sample
from quintet.serving import Prediction

__all__ = ["Defaults", "QuarantineLines", "ScoreTable", "Statistics"]

#: the number of refusals that a report shows per reason
EXAMPLES = 3
#: the number of distinct reasons; a category column can give one per value
REASONS = 200


class ScoreTable:
    """The scores of a unit, added chunk by chunk, and taken part by part.

    With `many` files they have the column `file`; `kept` are the names of the passthrough columns.
    `rows` counts all rows that were added, `held` the bytes of those that were not taken yet.
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
        """Add scored rows; `rows` are the rows' numbers in the file."""
        if self._many:
            self._add_texts(FILE, [file] * len(rows))
        self._add("row", rows)
        if self._contract.entity:
            entities = [None] * len(rows) if entities is None else entities
            self._add_texts(self._contract.entity, [entity or None for entity in entities])
        for name in self._kept:
            self._add_array(name, kept[name] if kept else text_column([]))
        for name, values in output_columns(self._contract, outputs, fallback).items():
            if isinstance(values, core.Array):
                self._add_array(name, values)
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
        """Take the rows added since the last call, as a file: the same scores give the same bytes.

        Returns the file's bytes and its number of rows.
        """
        if not self._parts:  # every row was refused: write the columns all the same
            nothing = {output.name: empty_output(output) for output in self._contract.outputs}
            self.add(np.empty(0, dtype=np.int64), [], nothing, np.empty(0, dtype=np.bool_))
        columns: dict[str, Array | core.Array] = {}
        for name in list(self._parts):
            parts = self._parts.pop(name)  # free the parts, to hold the column only once
            arrays = isinstance(parts[0], np.ndarray)
            whole = np.concatenate(parts) if arrays else core.ChunkedArray(parts).combine_chunks()
            if form == "csv" and isinstance(whole, core.Array):
                whole = spreadsheet_texts(whole)
            columns[name] = whole
        rows = self._rows
        columns["model_version"] = np.full(rows, self._version, dtype=np.int64)
        self._rows = self.held = 0
        return write_table(columns, form), rows


class QuarantineLines:
    """The refused rows of a unit with their original bytes, and the counts of their reasons.

    `rows` counts all rows that were added, `held` the bytes of those that were not taken yet.
    """

    def __init__(self) -> None:
        # not a list of lines: each line from orjson takes 4 KiB
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
        """Add a refused row with its reasons; `file` is its file in a run over many."""
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
        """The field, expectation, rows and first examples of every reason, by first occurrence."""
        return list(self._reasons.values())

    def take(self) -> tuple[bytes, int]:
        """The rows added since the last call, one JSON object per line, and their number."""
        body, rows = bytes(self._body), self._held_rows
        self._body.clear()
        self._held_rows = 0
        return body, rows


class Statistics:
    """The histogram of a unit's scores, and the sample of its rows for computing drift."""

    def __init__(
        self,
        contract: Contract,
        baseline: Callable[[], Mapping[str, Any]],
        rows: int,
        unit: int,
        units: int,
    ) -> None:
        self.notes: list[str] = []
        self._output = watched(contract)
        self._histogram = Histogram(self._output) if self._output else None
        self._sample: Sample | None = None
        self._compared: Sequence[OutputColumn] = contract.compiled[compared_columns]
        with noting(self.notes, "Drift"):
            self._sample = Sample(Reference(contract, baseline()), rows, unit, units)

    def add(self, prediction: Prediction) -> None:
        """Count the rows of a prediction."""
        scores = prediction.scores
        histogram, self._histogram = self._histogram, None
        if histogram and self._output:
            with noting(self.notes, "The histogram of the scores"):
                histogram.add(scores.outputs[self._output.name])
                self._histogram = histogram
        sample, self._sample = self._sample, None
        if sample:
            with noting(self.notes, "Drift"):
                batch, own = prediction.batch, np.flatnonzero(~scores.fallback)
                outputs = {
                    feature.name: places_of(
                        scores.outputs[output.name], places, vector=bool(feature.shape)
                    )
                    for output, feature, places, _ in self._compared
                }
                if len(own) < len(scores.index):
                    outputs = {name: values[own] for name, values in outputs.items()}
                sample.add(batch.columns, scores.index[own], batch.entities, outputs)
                self._sample = sample

    def documents(self) -> dict[str, Any]:
        """The statistics for the unit's result."""
        found: dict[str, Any] = {"histogram": None, "sample": None, "notes": self.notes}
        with noting(self.notes, "The histogram of the scores"):
            found["histogram"] = self._histogram.document() if self._histogram else None
        with noting(self.notes, "Drift"):
            found["sample"] = self._sample.document() if self._sample else None
        return found


#: the maximum number of a file's fields that are searched for a near name
MAX_FIELDS = 1000


class Defaults:
    """The features that no row of a unit's files has, file by file."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._files: dict[str, dict[str, Any]] = {}

    def add(
        self, file: str | None, layout: Layout, chunk: Chunk, given: Collection[str] = ()
    ) -> None:
        """Add some rows of a file; `given` are the features from its folders."""
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
        """The default of each feature, and the field of the file that may have been meant.

        The default is None if the model received NaN.
        """
        names: Iterable[Any] = layout.columns
        if layout.format == "jsonl":  # no header: use the fields of the first row
            row = chunk.original(int(chunk.rows[0]) - chunk.first)
            record = orjson.loads(row) if isinstance(row, bytes) else row
            names = record if isinstance(record, dict) else ()  # the row may be null, or a number
        others = (str(name)[:60] for name in names if name not in self._contract.request_keys)
        fields = list(islice(others, MAX_FIELDS))
        features = [self._contract.by_name[name] for name in sorted(absent)]
        return {f.name: {"default": f.default, "near": near_name(f.key, fields)} for f in features}

    def document(self) -> dict[str, Any]:
        """The missing features for the unit's result, by file; "" in a run over one file."""
        return self._files
