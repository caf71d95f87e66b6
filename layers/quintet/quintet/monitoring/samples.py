"""What is counted of scored rows for drift: by a unit of a batch run, or of a day's captures.

Rows of one entity are correlated: tests that count rows report drift when nothing has changed.
Where a contract has an entity, the first row of each is counted too, and tests count those.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from quintet.columns import Array
from quintet.contract import Contract
from quintet.monitoring.bins import Bins, bins_of

__all__ = ["Reference", "Sample"]

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
        """The bins of every feature in the rows of the training data."""
        return bins_of(self.contract, self.baseline) if self.baseline else []

    def entities(self) -> list[Bins]:
        """The bins in one row of each entity; in all rows, if these do not name their entities."""
        if not self.baseline:
            return []
        return bins_of(self.contract, self.baseline.get("entities") or self.baseline)


class Sample:
    """The counts of some rows, as the model received them: the features of a sample of them.

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
    ) -> None:
        """Add rows `index` of some columns; `entities` are those of all rows of the columns."""
        self._all.add(columns, index[:: self._step])
        if self._first is not None:
            self._first.add(columns, self._firsts(index, entities))

    def _firsts(
        self, index: NDArray[np.int64], entities: Sequence[str | None] | None
    ) -> NDArray[np.int64]:
        """The rows that are the first of an entity; one without an entity is one of its own."""
        if entities is None:
            return index[:: self._step]
        parts, mine = self._units * self._entities, self._unit % self._units
        rows = index.tolist()
        named = [(row, name) for row in rows if (name := entities[row])]
        if parts > 1:
            named = [one for one in named if crc32(one[1].encode()) % parts == mine]
        chosen = []
        for row, name in named:
            if name not in self._seen:
                self._seen.add(name)
                chosen.append(row)
        chosen += [row for row in rows if not entities[row]][:: self._step]
        return np.array(sorted(chosen), dtype=np.int64)

    def document(self) -> dict[str, Any]:
        """The counts as JSON: the sampled rows, and the counts of each feature, twice."""
        entities = self._first.document() if self._first is not None else None
        return {**self._all.document(), "entities": entities}


class _Held:
    """The values of each feature in the rows added: one of each row."""

    def __init__(self, bins: Sequence[Bins]) -> None:
        self._bins = bins
        self._values: dict[str, list[Array]] = {one.feature.name: [] for one in bins}
        self._rows = 0

    def add(self, columns: Mapping[str, Array], chosen: NDArray[np.int64]) -> None:
        first = self._rows
        self._rows += len(chosen)
        for one in self._bins:
            if (column := columns.get(one.feature.name)) is not None:
                values = _one_of_each(column[chosen], first, one.feature.free)
                self._values[one.feature.name].append(values)

    def document(self) -> dict[str, Any]:
        return {
            "rows": self._rows,
            "features": {
                one.feature.name: one.count(np.concatenate(held))
                for one in self._bins
                if (held := self._values[one.feature.name])
            },
        }


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
