"""Evidence of a rollout, with columns that do not matter filled in."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

from quintet.rollouts.evidence import Evidence, no_evidence


def evidence(count: int, **columns: Any) -> Evidence:
    """`count` rows of events and entities of their own, at step 0, answered by the live version.

    A column is an array, or one value for all rows.
    """
    nothing = no_evidence()
    own = {
        "event": np.char.add("e", np.arange(count).astype(np.str_)),
        "entity": np.arange(count, dtype=np.uint64),
        "at": np.arange(count, dtype=np.float64),
        "ms": np.full(count, 10.0),
        "live_score": np.full(count, np.nan),
        "candidate_score": np.full(count, np.nan),
    }
    made = {}
    for column in fields(Evidence):
        kind = getattr(nothing, column.name).dtype
        kind = np.dtype(np.str_) if kind.kind == "U" else kind
        values = columns.pop(column.name, own.get(column.name, np.zeros(count)))
        made[column.name] = np.array(np.broadcast_to(values, count), dtype=kind)
    assert not columns, columns
    return Evidence(**made)


def paired(count: int, **columns: Any) -> Evidence:
    """Rows of a shadow: the live version answered, and the candidate scored them too, all alike."""
    scores = np.resize([0.1, 0.4, 0.2, 0.9], count)
    event = np.char.add("p", np.arange(count).astype(np.str_))
    alike = {"event": event, "live_score": scores, "candidate_score": scores}
    return evidence(count, **{"paired": True, "step": -1, **alike, **columns})
