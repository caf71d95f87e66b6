"""What is refused of an invocation's records: in which order it stands in the quarantine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from quintet.errors import Refusal
from quintet.streaming.model_rows import ModelRows, ShardBatch, Undecodable
from quintet.streaming.objects import quarantine_line

__all__ = ["Quarantine"]

#: why a row is refused that another invocation, whose word counts, has refused
_DECIDED = Refusal(None, "row", "a prediction", "none by the invocation that wrote first")


@dataclass(frozen=True, slots=True)
class _Entry:
    """A refused row, None for a record that cannot be read."""

    row: int | None
    model: str | None
    reasons: Sequence[Refusal]


@dataclass(slots=True)
class Quarantine:
    """The refused rows and records of one invocation, by record."""

    arrivals: ShardBatch
    entries: dict[int, list[_Entry]] = field(default_factory=dict)

    def add_undecodable(self, found: Iterable[Undecodable]) -> None:
        """Add records that cannot be read."""
        for item in found:
            self.entries[item.record] = [_Entry(None, item.model, item.reasons)]

    def add_rows(
        self, flow: ModelRows, rows: NDArray[np.int64], refusals: Iterable[Refusal]
    ) -> None:
        """Add rows of a flow, by their positions in it, each with its own of the refusals."""
        if not len(rows):
            return
        reasons: dict[int, list[Refusal]] = {}
        for refusal in refusals:
            if refusal.row is not None:
                reasons.setdefault(refusal.row, []).append(refusal)
        for position in rows.tolist():
            entry = _Entry(
                int(flow.row[position]), flow.contract.name, reasons.get(position, [_DECIDED])
            )
            self.entries.setdefault(int(flow.record[position]), []).append(entry)

    @property
    def records(self) -> list[int]:
        """The records that something of is refused, in order."""
        return sorted(self.entries)

    def encode(self, records: Sequence[int]) -> bytes:
        """The lines of some records; the first of each carries its bytes."""
        return b"".join(
            quarantine_line(
                self.arrivals, record, entry.row, entry.model, entry.reasons, whole=place == 0
            )
            for record in records
            for place, entry in enumerate(self.entries[record])
        )
