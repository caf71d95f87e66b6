"""Labels as a table, and where they are: Parquet below `labels/`, beside captures."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from arro3 import core
from numpy.typing import NDArray

from quintet.captures.store import CaptureSink
from quintet.captures.tables import moments, read_parquet, write_parquet
from quintet.columns import MAX_ID_BYTES
from quintet.errors import BadInput
from quintet.formats.arrow import text_bytes
from quintet.labels.ids import Ids, groups, hashes

__all__ = [
    "MAX_LABEL_BYTES",
    "MERGED",
    "PREFIX",
    "Labels",
    "Settled",
    "day_of",
    "joined",
    "object_key",
    "put",
    "put_by_day",
    "read",
    "settle",
    "write",
]

PREFIX = "labels/"
#: the end of the keys of merged objects
MERGED = "-merged.parquet"
#: the bytes of the longest label
MAX_LABEL_BYTES = 200
#: labels in one object
MAX_ROWS = 1_000_000


@dataclass(frozen=True, slots=True)
class Labels:
    """Labels of one model: each the id of a prediction, what came true, and when it was known.

    All are (rows,): `ids` and `values` as UTF-8, `times` in epoch seconds.
    """

    ids: Ids
    values: Ids
    times: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Settled:
    """One label for each id. `twice` rows repeat an id with its label; of `corrected` ids a later
    label counts; `contradictory` ids have several labels of the same, last time, and none counts.
    """

    labels: Labels
    rows: int
    twice: int
    corrected: int
    contradictory: int


def settle(labels: Labels) -> Settled:
    """Take one label for each id: the one that was known last."""
    rows = len(labels.ids)
    if not rows:
        return Settled(labels, 0, 0, 0, 0)
    ids = groups(labels.ids)
    if int(ids.max()) + 1 == rows:
        return Settled(labels, rows, 0, 0, 0)
    values = groups(labels.values)
    order = np.lexsort((values, labels.times, ids))
    ids, values, times = ids[order], values[order], labels.times[order]
    next_id = ids[1:] != ids[:-1]
    ends = np.flatnonzero(np.append(next_id, True))
    # where the labels of an id with its last time begin: they are in order, so that these are all
    # the same if the first equals the last
    starts = np.append(True, next_id | (times[1:] != times[:-1]))
    first = np.flatnonzero(starts)[np.cumsum(starts)[ends] - 1]
    clear = values[first] == values[ends]
    pairs = np.sort(ids * (values.max() + 1) + values)
    distinct = pairs[np.append(True, pairs[1:] != pairs[:-1])] // (values.max() + 1)
    several = np.bincount(distinct) > 1  # by id, in the order of `ends`
    kept = order[ends[clear]]
    return Settled(
        _some(labels, kept),
        rows=rows,
        twice=rows - len(distinct),
        corrected=int(np.count_nonzero(several & clear)),
        contradictory=int(np.count_nonzero(~clear)),
    )


def put(sink: CaptureSink, model: str, labels: Labels) -> list[str]:
    """Put labels, an object for each day on which they were known; their keys. Raises Transient."""
    folder = f"{PREFIX}model={model}/"
    return put_by_day(sink, folder, labels.times, lambda rows: write(_some(labels, rows)))


def put_by_day(
    sink: CaptureSink,
    folder: str,
    times: NDArray[np.float64],
    body_of: Callable[[NDArray[np.int64]], bytes],
) -> list[str]:
    """Put rows, an object for each day of their `times`, in epoch seconds; their keys.

    A key has a hash of the content: the same rows are the same objects. Raises Transient.
    """
    days = np.floor_divide(times, 86_400).astype(np.int64)
    keys = []
    for day in np.unique(days).tolist():
        there = np.flatnonzero(days == day)
        for start in range(0, len(there), MAX_ROWS):
            body = body_of(there[start : start + MAX_ROWS])
            keys.append(object_key(f"{folder}date={day_of(day * 86_400)}", body))
            sink.put(keys[-1], body)
    return keys


def day_of(seconds: float) -> str:
    """The day of a time, UTC: 2026-01-31."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d}"


def object_key(folder: str, body: bytes, end: str = ".parquet") -> str:
    """The key of an object of labels, or feedback: a hash of its content."""
    return f"{folder}/{hashlib.sha256(body).hexdigest()[:32]}{end}"


def write(labels: Labels) -> bytes:
    """Labels as Parquet; the same labels in any order give the same bytes."""
    order = np.lexsort((hashes(labels.values), labels.times, hashes(labels.ids)))
    text = core.DataType.string()
    columns: dict[str, Any] = {
        "id": core.Array([one.decode() for one in labels.ids[order].tolist()], text),
        "label": core.Array([one.decode() for one in labels.values[order].tolist()], text),
        "time": core.Array.from_numpy(moments(labels.times[order])),
    }
    return write_parquet(core.Table.from_pydict(columns))


def _some(labels: Labels, rows: NDArray[np.int64]) -> Labels:
    return Labels(labels.ids[rows], labels.values[rows], labels.times[rows])


def read(body: bytes) -> Labels:
    """The labels in an object that `put` wrote. Raises BadInput if it is damaged."""
    table = read_parquet(body).combine_chunks()
    if missing := {"id", "label", "time"} - set(table.column_names):
        raise BadInput.of("labels", f"the column {min(missing)}", "none")
    found = {name: table[name].combine_chunks() for name in table.column_names}
    return Labels(
        text_bytes(found["id"], MAX_ID_BYTES),
        text_bytes(found["label"], MAX_LABEL_BYTES),
        found["time"].cast(core.DataType.int64()).to_numpy() / 1e6,
    )


def joined(parts: Iterable[Labels]) -> Labels:
    """All labels of several parts."""
    none = Labels(np.zeros(0, "S1"), np.zeros(0, "S1"), np.zeros(0))
    some = [none, *parts]
    return Labels(
        np.concatenate([part.ids for part in some]),
        np.concatenate([part.values for part in some]),
        np.concatenate([part.times for part in some]),
    )
