"""What the sink already has of a record that Lambda gave up.

Objects of a shard stand under their first record, and none begins within another: what a record
came to stands in the last object that does not begin behind it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property, lru_cache

from quintet.streaming.checkpoints import padded
from quintet.streaming.objects import rows_of
from quintet_cli.stream_reader import HOUR, PREDICTIONS, QUARANTINE, StreamReader

__all__ = ["Found", "Sunk"]


@dataclass(slots=True)
class Found:
    """The rows of a record that the sink has, None among them for one that cannot be read.

    `model` is whose rows they are, None where none were scored.
    """

    rows: set[int | None] = field(default_factory=set)
    model: str | None = None


class Sunk:
    """Looks into the sink."""

    def __init__(self, reader: StreamReader) -> None:
        self._reader = reader
        self._keys = lru_cache(maxsize=1024)(reader.keys)
        self._rows = lru_cache(maxsize=64)(self._rows_in)

    def find(self, shard: str, sequence: str, arrived: float) -> Found:
        """What it has of a record of a shard."""
        found = Found()
        for model in self._models:
            if rows := self._of(f"{PREDICTIONS}{model}/", shard, sequence, arrived):
                found.rows |= rows
                found.model = model
        found.rows |= self._of(QUARANTINE, shard, sequence, arrived)
        return found

    @cached_property
    def _models(self) -> list[str]:
        return self._reader.models()

    def _of(self, folder: str, shard: str, sequence: str, arrived: float) -> set[int | None]:
        """The rows of a record in the objects of a shard below a folder."""
        keys: list[str] = []
        # records are given up when they are an hour old: so are all that one object covers
        for at in (arrived - HOUR, arrived):
            hour = datetime.fromtimestamp(at, UTC)
            name = f"date={hour:%Y-%m-%d}/hour={hour:%H}/{self._reader.name}.{shard}-"
            keys += self._keys(f"{folder}{name}")
        began = [key for key in keys if _first(key) <= padded(sequence)]
        if not began:
            return set()
        return self._rows(max(began, key=_first)).get(sequence, set())

    def _rows_in(self, key: str) -> dict[str, set[int | None]]:
        """The rows of an object by their records."""
        places: set[tuple[str, int | None]]
        if key.startswith(QUARANTINE):
            places = {(line["sequence"], line["row"]) for line in self._reader.refused(key)}
        else:
            places = {*rows_of(self._reader.body(key))}
        found: dict[str, set[int | None]] = {}
        for sequence, row in places:
            found.setdefault(sequence, set()).add(row)
        return found


def _first(key: str) -> str:
    """The (padded) sequence that an object begins with."""
    return key.rpartition("-")[2].partition(".")[0]
