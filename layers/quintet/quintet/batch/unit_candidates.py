"""The candidate sets of a unit's rows: packed, written as they come, and counted."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quintet.batch.candidates import (
    DAY,
    MAX_USER,
    SPARE_DAYS,
    CandidateSet,
    CandidateSets,
    packed,
)
from quintet.batch.plans import Plan
from quintet.batch.popular import PopularItems, segment_names
from quintet.columns import Array
from quintet.contract import Candidates
from quintet.serving import Prediction

__all__ = ["UnitCandidates"]

#: sets that a unit holds before it writes them
HELD = 2_000
#: about: bytes of an item besides the set and the user's key, up to the next write unit of 1 KB
OVERHEAD = 160


class UnitCandidates:
    """Writes the sets of a unit's rows, and counts them."""

    def __init__(self, rule: Candidates, plan: Plan, store: CandidateSets) -> None:
        self._rule, self._plan, self._store = rule, plan, store
        started = datetime.fromisoformat(plan.started).timestamp()
        self._expires = int(started) + (rule.nights + SPARE_DAYS) * DAY
        self._pending: dict[str, CandidateSet] = {}
        self._users: list[NDArray[np.int64]] = []
        self._seen = np.zeros(rule.items + 1, dtype=np.bool_)
        self._popular = PopularItems(rule.items)
        self._empty = self._skipped = self._unknown = self._write_units = 0

    def add(self, users: Sequence[str | None] | None, prediction: Prediction) -> None:
        """Add the rows of a prediction that were scored, and their users. Raises Transient."""
        found, segments = prediction.scores, None
        outputs = found.outputs
        ids, scores, sizes = self._known(outputs[self._rule.ids], outputs[self._rule.scores])
        if self._rule.segment:
            segments = segment_names(prediction.batch.columns[self._rule.segment][found.index])
        kept = []
        for row, user in enumerate(users or [None] * len(ids)):
            if not user or len(user) > MAX_USER:
                self._skipped += 1
            elif not (size := sizes[row]):
                self._empty += 1
            else:
                segment = segments[row] if segments else ""
                one = CandidateSet(user, packed(ids[row, :size], scores[row, :size]), segment)
                self._pending[user] = one
                self._write_units += -(-(sum(map(len, one)) + OVERHEAD) // 1024)
                kept.append(row)
        self._users.append(np.array([hash(users[row]) for row in kept if users], dtype=np.int64))
        self._seen[ids[kept]] = True
        self._popular.add(ids[kept], [segments[row] for row in kept] if segments else None)
        if len(self._pending) >= HELD:
            self.put()

    def _known(self, ids: Array, scores: Array) -> tuple[Array, Array, list[int]]:
        """The known items of each row, its first columns; their scores, and their number."""
        known: NDArray[np.bool_] = (ids >= 1) & (ids <= self._rule.items)
        self._unknown += int(((ids != 0) & ~known).sum())
        known &= np.isfinite(scores)
        if not known.all():
            order = np.argsort(~known, axis=1, kind="stable")
            ids = np.take_along_axis(np.where(known, ids, 0), order, axis=1)
            scores = np.take_along_axis(scores, order, axis=1)
        return ids, scores, known.sum(axis=1).tolist()

    def put(self) -> None:
        """Write what is held. Raises Transient."""
        if self._pending:
            sets = [*self._pending.values()]
            self._store.put(self._plan.model, self._plan.run, sets, self._expires)
        self._pending.clear()

    def document(self) -> dict[str, Any]:
        """The counts for the unit's result."""
        self._seen[0] = False
        written = np.concatenate([np.empty(0, np.int64), *self._users])
        self._users = [written]
        written.sort()  # in place: eight bytes a user are held once
        users = len(written) - int((written[1:] == written[:-1]).sum())
        return {
            "users": users,
            "repeated": len(written) - users,
            "empty": self._empty,
            "skipped": self._skipped,
            "unknown_items": self._unknown,
            "write_units": self._write_units,
            "items": self._rule.items,
            "expires": self._expires,
            "popular": self._popular.document(),
            "seen": base64.b64encode(np.packbits(self._seen).tobytes()).decode(),
        }
