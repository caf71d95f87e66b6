"""What a rollout has seen: one element for each row of a request, as columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Evidence", "concat", "no_evidence", "once", "unpaired"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """Outcomes of the live version and of the candidate; every column is (n,).

    `event` and `row` name a row of a request as its capture does (`row` is -1 for a request
    without rows). `entity` is a hash of its entity, of its event if it has none. `step` is the
    rollout's step that routed it, `at` when, in epoch seconds. `candidate` says whether the
    candidate answered the caller (or, in shadow, nobody: False). `begun` marks the start of a
    request, written before the model runs: it has no outcome, and one without an outcome is a
    crash.

    `failed` is the outcome that the caller got. Where `paired`, both versions scored the row, and
    these are compared: `live_failed` and `candidate_failed`, `live_score` and `candidate_score`
    (NaN without one), and `changed`, whether the label differs. `ms` is how long the request took,
    in milliseconds, NaN if it is not known; `cold` says that a version was loaded for it, or that
    the environment was new.
    """

    event: NDArray[np.str_]
    row: NDArray[np.int64]
    entity: NDArray[np.uint64]
    step: NDArray[np.int64]
    at: NDArray[np.float64]
    candidate: NDArray[np.bool_]
    begun: NDArray[np.bool_]
    failed: NDArray[np.bool_]
    paired: NDArray[np.bool_]
    live_failed: NDArray[np.bool_]
    candidate_failed: NDArray[np.bool_]
    live_score: NDArray[np.float64]
    candidate_score: NDArray[np.float64]
    changed: NDArray[np.bool_]
    ms: NDArray[np.float64]
    cold: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.row)

    def take(self, some: NDArray[np.int64] | NDArray[np.bool_]) -> Evidence:
        """Some of the elements, by position or mask."""
        return Evidence(*(getattr(self, column.name)[some] for column in fields(self)))


def unpaired(count: int, **known: NDArray[Any]) -> Evidence:
    """Evidence of `count` elements with the given columns: the others are -1, NaN, 0 or False."""
    columns: dict[str, NDArray[Any]] = {
        "event": np.full(count, "", dtype=np.str_),
        "row": np.full(count, -1),
        "entity": np.zeros(count, dtype=np.uint64),
        "step": np.zeros(count, dtype=np.int64),
        "at": np.zeros(count),
    }
    columns |= {name: np.full(count, np.nan) for name in ("live_score", "candidate_score", "ms")}
    for column in fields(Evidence):
        columns.setdefault(column.name, np.zeros(count, dtype=np.bool_))
    return Evidence(**{**columns, **known})


def no_evidence() -> Evidence:
    """Evidence without elements."""
    return unpaired(0)


def concat(parts: Sequence[Evidence]) -> Evidence:
    """The elements of all parts, in order."""
    parts = [no_evidence(), *parts]
    columns = (column.name for column in fields(Evidence))
    return Evidence(*(np.concatenate([getattr(p, name) for p in parts]) for name in columns))


def once(parts: Iterable[Evidence]) -> Evidence:
    """All elements, each once, in the order of time.

    A row, or the beginning of a request, may come again: captures are delivered at least once, and
    jobs and records are worked again. What came first counts, so that what ends its process at each
    attempt is a crash as early as if there had been one.
    """
    found = concat(list(parts))
    order = np.lexsort((found.at, found.candidate, found.begun, found.row, found.event))
    new = np.zeros(len(order), dtype=np.bool_)
    new[:1] = True
    for values in (found.event, found.row, found.begun, found.candidate):
        ordered = values[order]
        new[1:] |= ordered[1:] != ordered[:-1]
    found = found.take(order[new])
    return found.take(np.argsort(found.at, kind="stable"))
