"""Find which results of a record that Lambda gave up are already in the sink.

An object of a shard is named after its first record, and objects do not overlap: a record's
results are in the last object that does not begin after it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property, lru_cache

import orjson

from quintet.replay.stream_objects import HOUR, PREDICTIONS, QUARANTINE, StreamObjects
from quintet.streaming.objects import versions_of
from quintet.streaming.sequences import padded

__all__ = ["SinkIndex", "SinkRows"]


@dataclass(slots=True)
class SinkRows:
    """The rows of a record that are in the sink; None among them for an undecodable record.

    `model` is the model of its scored rows, None if none were scored.
    """

    rows: set[int | None] = field(default_factory=set)
    model: str | None = None


class SinkIndex:
    """Finds records of the stream `stream` in the sink."""

    def __init__(self, objects: StreamObjects, stream: str) -> None:
        self._objects = objects
        self._stream = stream
        self._keys = lru_cache(maxsize=1024)(self._keys_below)
        self._rows = lru_cache(maxsize=64)(self._rows_in)

    def find(self, shard: str, sequence: str, arrived: float) -> SinkRows:
        """Find the rows of a record of a shard."""
        found = SinkRows()
        for model in self._models:
            if rows := self._of(f"{PREDICTIONS}{model}/", shard, sequence, arrived):
                found.rows |= rows
                found.model = model
        found.rows |= self._of(QUARANTINE, shard, sequence, arrived)
        return found

    @cached_property
    def _models(self) -> list[str]:
        return [*self._objects.folders(PREDICTIONS)]

    def _of(self, folder: str, shard: str, sequence: str, arrived: float) -> set[int | None]:
        """The rows of a record in the objects of a shard below a folder."""
        keys: list[str] = []
        # Lambda gives up on records after an hour, so an object spans at most two hours
        for at in (arrived - HOUR, arrived):
            hour = datetime.fromtimestamp(at, UTC)
            name = f"date={hour:%Y-%m-%d}/hour={hour:%H}/{self._stream}.{shard}-"
            keys += self._keys(f"{folder}{name}")
        began = [key for key in keys if _first(key) <= padded(sequence)]
        if not began:
            return set()
        return self._rows(max(began, key=_first)).get(sequence, set())

    def _keys_below(self, prefix: str) -> list[str]:
        return [found.key for found in self._objects.list(prefix)]

    def _rows_in(self, key: str) -> dict[str, set[int | None]]:
        """The rows of an object by record."""
        places: set[tuple[str, int | None]]
        body = self._objects.read(key)
        if key.startswith(QUARANTINE):
            lines = map(orjson.loads, body.splitlines())
            places = {(line["sequence"], line["row"]) for line in lines}
        else:
            places = {*versions_of(body)}
        found: dict[str, set[int | None]] = {}
        for sequence, row in places:
            found.setdefault(sequence, set()).add(row)
        return found


def _first(key: str) -> str:
    """The padded sequence number of an object's first record."""
    return key.rpartition("-")[2].partition(".")[0]
