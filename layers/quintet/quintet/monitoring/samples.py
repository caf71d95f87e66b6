"""What is counted of rows and labels for drift: by a unit of a batch run, or of a day's captures.

Rows of one entity are correlated: tests that count rows report drift when nothing has changed.
Where a contract has an entity, the first row of each is counted too, and tests count those.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from quintet.columns import Array
from quintet.contract import Contract, Feature
from quintet.monitoring.baseline import LABEL, first_rows
from quintet.monitoring.bins import Bins, bins_of
from quintet.monitoring.outputs import output_columns

__all__ = ["SECTIONS", "Reference", "Sample", "count_labels"]

#: where the counts of a part are in a document
SECTIONS = {"feature": "features", "output": "outputs", "label": "labels"}

#: approximate rows that a unit samples per feature: enough for the bins, at almost no cost
ROWS = 4096
#: the same of entities, which are fewer than their rows
ENTITIES = 16_384


@dataclass(frozen=True, slots=True)
class Reference:
    """The contract of a version, and the baseline that was computed when it was published."""

    contract: Contract
    baseline: Mapping[str, Any]

    def rows(self) -> list[Bins]:
        """The bins of every feature and output in rows of the training data, and of the labels."""
        return self._bins(self.baseline)

    def entities(self) -> list[Bins]:
        """The bins in one row of each entity; in all rows, if these do not name their entities."""
        return self._bins(self.baseline.get("entities") or self.baseline)

    def _bins(self, known: Mapping[str, Any]) -> list[Bins]:
        if not known:
            return []
        found = bins_of(self.contract.features, known["features"], known["rows"])
        if outputs := known.get("outputs"):
            columns = {one.feature.name: one for one in output_columns(self.contract)}
            features = [one.feature for one in columns.values()]
            bins = bins_of(features, outputs["columns"], outputs["rows"], "output")
            found += [replace(one, classes=columns[one.feature.name].classes) for one in bins]
        if labels := known.get("labels"):
            category = labels["columns"][LABEL]["kind"] == "category"
            kind = Feature(name=LABEL, dtype="string" if category else "float64")
            found += bins_of([kind], labels["columns"], labels["rows"], "label")
        return found


class Sample:
    """The counts of a sample of some rows: their features, as the model received them, and outputs.

    `rows` are about to be added. With several `units`, an entity is counted by one of them, which
    its name decides, so that no entity counts twice in a run. Samples of one process share the
    entities that they have `seen` instead.
    """

    def __init__(
        self,
        reference: Reference,
        rows: int,
        unit: int = 0,
        units: int = 1,
        seen: set[str] | None = None,
    ) -> None:
        self._all = _Held(reference.rows())
        entity = reference.contract.entity
        self._first = _Held(reference.entities()) if entity else None
        self._step = max(1, rows // ROWS)
        self._unit, self._units = unit, units
        self._entities = 1 if seen is not None else max(1, rows // (units * ENTITIES))
        self._seen = set() if seen is None else seen

    def add(
        self,
        columns: Mapping[str, Array],
        index: NDArray[np.int64],
        entities: Sequence[str | None] | None = None,
        outputs: Mapping[str, Array] | None = None,
    ) -> None:
        """Add rows `index` of some columns; `entities` are those of all rows of the columns.

        `outputs` are the columns of outputs (see `output_values`) of the rows `index` alone.
        """
        places = np.arange(0, len(index), self._step)
        self._all.add(columns, index, outputs or {}, places)
        if self._first is not None:
            places = places if entities is None else self._firsts(index, entities)
            self._first.add(columns, index, outputs or {}, places)

    def _firsts(
        self, index: NDArray[np.int64], entities: Sequence[str | None]
    ) -> NDArray[np.int64]:
        """The places in `index` of the rows that are the first of an entity.

        A row without an entity is one of its own.
        """
        parts, mine = self._units * self._entities, self._unit % self._units
        names = [entities[row] for row in index.tolist()]
        named = [(place, name) for place, name in enumerate(names) if name]
        if parts > 1:
            named = [one for one in named if crc32(one[1].encode()) % parts == mine]
        chosen = []
        for place, name in named:
            if name not in self._seen:
                self._seen.add(name)
                chosen.append(place)
        chosen += [place for place, name in enumerate(names) if not name][:: self._step]
        return np.array(sorted(chosen), dtype=np.int64)

    def document(self) -> dict[str, Any]:
        """The counts as JSON: the sampled rows, and the counts of each feature, twice."""
        entities = self._first.document() if self._first is not None else None
        return {**self._all.document(), "entities": entities}


class _Held:
    """The values of each feature and output in the rows added: one of each row."""

    def __init__(self, bins: Sequence[Bins]) -> None:
        self._bins = [one for one in bins if one.part != "label"]
        self._values: list[list[Array]] = [[] for _ in self._bins]
        self._rows = 0

    def add(
        self,
        columns: Mapping[str, Array],
        index: NDArray[np.int64],
        outputs: Mapping[str, Array],
        places: NDArray[np.int64],
    ) -> None:
        first, rows = self._rows, index[places]
        self._rows += len(places)
        for one, held in zip(self._bins, self._values, strict=True):
            of, chosen = (columns, rows) if one.part == "feature" else (outputs, places)
            if (column := of.get(one.feature.name)) is not None:
                held.append(_one_of_each(column[chosen], first, one.feature.free))

    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = {"rows": self._rows, "features": {}, "outputs": {}}
        for one, held in zip(self._bins, self._values, strict=True):
            if held:
                section = found[SECTIONS[one.part]]
                section[one.feature.name] = one.count(np.concatenate(held))
        return found


def count_labels(
    reference: Reference, values: Array, entities: Sequence[str | None] | None
) -> dict[str, Any]:
    """The counts of labels as a document of their own: names of classes or numbers, (rows,).

    With an entity in the contract, the first label of each is counted, too.
    """
    found = _of_labels(reference.rows(), values)
    if entities is None:
        return {**found, "entities": None}
    return {**found, "entities": _of_labels(reference.entities(), values[first_rows(entities)])}


def _of_labels(bins: Sequence[Bins], values: Array) -> dict[str, Any]:
    counts = {one.feature.name: one.count(values) for one in bins if one.part == "label"}
    return {"rows": len(values), "labels": counts}


def _one_of_each(rows: Array, first: int, free: bool) -> Array:
    """One value of each row: of vectors, the next element in each row."""
    if free:
        picked = [row.reshape(-1)[(first + i) % row.size] for i, row in enumerate(rows) if row.size]
        return np.array(picked)
    if rows.ndim == 1:
        return rows
    width = math.prod(rows.shape[1:])
    places = (first + np.arange(len(rows))) % width
    values: Array = rows.reshape(len(rows), width)[np.arange(len(rows)), places]
    return values
