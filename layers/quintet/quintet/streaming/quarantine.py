"""The refused rows and records of an invocation, in the order of the quarantine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from quintet.errors import Refusal
from quintet.formats.quarantined import Quarantined
from quintet.streaming.model_rows import ModelRows, ShardBatch, Undecodable

__all__ = ["ShardQuarantine"]

#: the reason for a row that an earlier invocation, whose results count, has refused
_DECIDED = Refusal(None, "row", "a prediction", "none by the invocation that wrote first")


@dataclass(slots=True)
class ShardQuarantine:
    """The refused rows and records of one invocation, by record; `row` None is a whole record."""

    shard_batch: ShardBatch
    entries: dict[int, list[Quarantined]] = field(default_factory=dict)

    def add_undecodable(self, found: Iterable[Undecodable]) -> None:
        """Add unreadable records."""
        for item in found:
            self._add(item.record, None, item.model, item.reasons)

    def add_rows(
        self, model_rows: ModelRows, rows: NDArray[np.int64], refusals: Iterable[Refusal]
    ) -> None:
        """Add rows of a model, by their positions in it, each with its refusal."""
        if not len(rows):
            return
        reasons: dict[int, list[Refusal]] = {}
        for refusal in refusals:
            if refusal.row is not None:
                reasons.setdefault(refusal.row, []).append(refusal)
        for position in rows.tolist():
            why = reasons.get(position, [_DECIDED])
            record, row = int(model_rows.record[position]), int(model_rows.row[position])
            self._add(record, row, model_rows.contract.name, why)

    def _add(
        self, record: int, row: int | None, model: str | None, reasons: Sequence[Refusal]
    ) -> None:
        shard_batch = self.shard_batch
        place = {
            "shard": shard_batch.shard,
            "sequence": shard_batch.sequences[record],
            "row": row,
            "model": model,
            "partition_key": shard_batch.keys[record],
            "arrived": float(shard_batch.arrived[record]),
        }
        entries = self.entries.setdefault(record, [])
        # the first line of a record carries its bytes
        original = None if entries else shard_batch.data[record]
        entries.append(Quarantined(place, reasons, original))

    @property
    def records(self) -> list[int]:
        """The records that are refused, or have refused rows, in order."""
        return sorted(self.entries)

    def encode(self, records: Sequence[int]) -> bytes:
        """The lines of some records."""
        entries = (entry for record in records for entry in self.entries[record])
        return b"".join(entry.to_line(binary=True) for entry in entries)
