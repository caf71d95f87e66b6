"""Captures of a unit's rows, written beside its scores.

Their keys and bytes are the same for each attempt at the unit, so they need no merging.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from arro3 import core
from numpy.typing import NDArray

from quintet.batch.plans import Plan
from quintet.captures.events import taken_rows
from quintet.captures.places import unit_key
from quintet.captures.plans import CapturePlan
from quintet.captures.reading import Hour
from quintet.captures.store import CaptureSink
from quintet.captures.tables import concat, moments, refused, scored, write_parquet
from quintet.contract import Contract
from quintet.errors import Refusal
from quintet.serving import Prediction

__all__ = ["UnitCaptures"]

#: the bytes of captures above which a unit writes a file of them
MAX_HELD_BYTES = 32 << 20


class UnitCaptures:
    """The captures of one unit, if its contract asks for them: added chunk by chunk."""

    def __init__(self, contract: Contract, plan: Plan, unit: int, sink: CaptureSink) -> None:
        self._plan = plan
        self._unit = unit
        self._sink = sink
        self._capture: CapturePlan = contract.compiled[CapturePlan]
        self._tables: list[core.Table] = []
        self._held = 0
        self._files = 0

    def add(
        self,
        file: str | None,
        rows: NDArray[np.int64],
        prediction: Prediction | None,
        rejected: Iterable[tuple[int, Sequence[Refusal]]],
        moment: float,
    ) -> None:
        """Add the rows of a chunk, and put a file if there are enough.

        `rows` are the numbers in the file of the prediction's rows, `rejected` those of refused
        ones, with their reasons; `moment` is the time of their features, in epoch seconds.

        Raises:
            Transient: a file could not be put.
        """
        capture, event = self._capture, self._event(file)
        rate = capture.about.rate
        if prediction is not None:
            numbers = rows[prediction.scores.index]
            some = np.flatnonzero(taken_rows(event, numbers, rate))
            if len(some):
                fixed = self._fixed(event, file, numbers[some], moment)
                self._hold(scored(capture, prediction, some, fixed))
        bad = list(rejected)
        chosen = taken_rows(event, np.array([row for row, _ in bad], dtype=np.int64), rate)
        bad = [one for one, is_taken in zip(bad, chosen.tolist(), strict=True) if is_taken]
        if bad:
            numbers = np.array([row for row, _ in bad], dtype=np.int64)
            fixed = self._fixed(event, file, numbers, moment)
            self._hold(refused(capture, [reasons for _, reasons in bad], fixed))
        if self._held > MAX_HELD_BYTES:
            self.put()

    def put(self) -> None:
        """Put what is held. Raises Transient."""
        if not self._tables:
            return
        about = self._capture.about
        started = int(datetime.fromisoformat(self._plan.started).timestamp())
        hour = Hour(about.model, about.version, about.days, started // 3600 * 3600)
        key = unit_key(hour, self._plan.run, self._unit, self._files)
        self._sink.put(key, write_parquet(concat(self._tables)))
        self._tables, self._held = [], 0
        self._files += 1

    def _hold(self, table: core.Table) -> None:
        self._tables.append(table)
        self._held += table.nbytes

    def _event(self, file: str | None) -> str:
        """The event: the run, or in a run over many files the run and a hash of the file's key."""
        run = self._plan.run
        if file is None:
            return run
        return f"{run}.{hashlib.sha256(file.encode()).hexdigest()[:12]}"

    def _fixed(
        self, event: str, file: str | None, rows: NDArray[np.int64], moment: float
    ) -> dict[str, Any]:
        plan = self._plan
        return {
            "event": event,
            "row": rows,
            "event_time": moments(datetime.fromisoformat(plan.started).timestamp()),
            "served_at": moments(moment),
            "path": "batch",
            "route": "pinned",
            "rows": plan.rows,
            "caller": plan.owner,
            "run": plan.run,
            "record": plan.input.key if file is None else file,
        }
