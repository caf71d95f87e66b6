"""Captures and labels of small models in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from quintet.captures.delivery import put_rows
from quintet.captures.reading import Hour
from quintet.captures.store import MemoryCaptures
from quintet.captures.tables import moments, table_of
from quintet.columns import Array
from quintet.contract import Contract, Output
from quintet.labels.table import Labels, put

__all__ = ["BINARY", "CLASSES", "DAY", "NUMBER", "START", "capture", "event_id", "label"]

DAY = 86_400
#: a midnight
START = 1_700_006_400.0


def _model(name: str, *outputs: Output) -> Contract:
    return Contract(name=name, version=1, task="t", features=(), inputs=(), outputs=outputs)


BINARY = _model(
    "risk",
    Output(name="label", dtype="int64", shape=(-1,), meaning="label", classes=("accept", "review")),
    Output(
        name="p",
        dtype="float64",
        shape=(-1, 2),
        meaning="probabilities",
        classes=("kept", "cancelled"),
    ),
)
CLASSES = _model(
    "texts",
    Output(
        name="p",
        dtype="float64",
        shape=(-1, 3),
        meaning="probabilities",
        classes={"3": "shoes", "5": "hats", "7": "coats"},
    ),
)
NUMBER = _model("heat", Output(name="y", dtype="float64", shape=(-1,), meaning="value"))


def event_id(moment: float, number: int) -> str:
    """The id of an online event."""
    return f"{int(moment * 1000):012x}{number:020x}"


def capture(
    objects: MemoryCaptures,
    events: Sequence[str],
    times: Sequence[float],
    values: Mapping[str, Array],
    *,
    version: int = 1,
    model: str = "risk",
    **fixed: Any,
) -> None:
    """Put a captured row for each event, all in the object of the first one's hour."""
    known = {
        "event": list(events),
        "row": np.zeros(len(events), dtype=np.int64),
        "rows": 1,
        "event_time": moments(np.array(times)),
        "served_at": moments(np.array(times)),
        "outcome": "scored",
        "fallback": False,
        "model": model,
        "version": version,
        **fixed,
    }
    hour = Hour(model, version, 30, int(times[0] // 3600) * 3600)
    put_rows(objects, hour, table_of(len(events), known, values), events[0], events[-1])


def label(objects: MemoryCaptures, rows: Sequence[tuple[str, str, float]], model: str) -> None:
    """Put labels: (id, label, time)."""
    ids, values, times = zip(*rows, strict=True)
    found = Labels(
        np.array([one.encode() for one in ids]),
        np.array([one.encode() for one in values]),
        np.array(times, dtype=np.float64),
    )
    put(objects, model, found)
