"""Follow captures: the rows of objects that arrived since the last look."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from quintet.captures.queries import find
from quintet.captures.store import CaptureObjects
from quintet.captures.tables import RECOMMENDED, read_parquet

__all__ = ["CapturesTail"]

#: captures arrive up to so many seconds after their event, as a rule
LATE_SECONDS = 3600.0


class CapturesTail:
    """Follows the captures of one model, or of all; what is there already is left out."""

    def __init__(self, objects: CaptureObjects, model: str | None, now: float) -> None:
        self._objects = objects
        self._model = model
        self._seen = {place.key for place in find(objects, model, now - LATE_SECONDS)}
        self._rows: set[tuple[str, int | None, bool, bool]] = set()

    def look(self, now: float) -> Iterator[dict[str, Any]]:
        """The rows that are new since the last look, each once, by their time."""
        found: list[dict[str, Any]] = []
        for place in find(self._objects, self._model, now - LATE_SECONDS):
            if place.merged or place.key in self._seen:
                continue
            self._seen.add(place.key)
            stored = self._objects.get(place.key)
            if stored is not None:
                found += self._new(stored.body)
        yield from sorted(found, key=lambda row: (row["served_at"], row["event"], row["row"] or 0))

    def _new(self, body: bytes) -> Iterator[dict[str, Any]]:
        table = read_parquet(body)
        columns = [table[name].to_pylist() for name in table.column_names]
        for values in zip(*columns, strict=True):
            row = dict(zip(table.column_names, values, strict=True))
            shown = row["outcome"] == RECOMMENDED
            key = (row["event"], row["row"], row["route"] == "shadow", shown)
            if key not in self._rows:
                self._rows.add(key)
                yield row
