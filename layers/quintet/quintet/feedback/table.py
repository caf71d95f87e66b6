"""Feedback as a table, and where it is: Parquet below `feedback/`, beside captures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from arro3 import core
from numpy.typing import NDArray

from quintet.captures.store import CaptureSink
from quintet.captures.tables import moments, read_parquet, write_parquet
from quintet.columns import MAX_ID_BYTES
from quintet.errors import BadInput
from quintet.formats.arrow import text_bytes
from quintet.labels.ids import Ids, event_times, groups, hashes
from quintet.labels.table import put_by_day

__all__ = [
    "MAX_USER_BYTES",
    "PREFIX",
    "TYPES",
    "Feedback",
    "folder_of",
    "joined",
    "once",
    "put",
    "read",
    "write",
]

PREFIX = "feedback/"
TYPES = ("view", "click", "purchase")
#: the bytes of the longest key of a user, 512 characters
MAX_USER_BYTES = 2_048


@dataclass(frozen=True, slots=True)
class Feedback:
    """What users did with items that were shown to them, of one model; all arrays are (rows,).

    `impressions` are ids of impressions and `types` are of `TYPES`, as UTF-8. `times` are when it
    happened and `received` when it was taken in, in epoch seconds. `users` are who did it, b""
    where the sender did not say.
    """

    impressions: Ids
    items: NDArray[np.int64]
    types: Ids
    times: NDArray[np.float64]
    received: NDArray[np.float64]
    users: Ids

    def __len__(self) -> int:
        return len(self.items)

    def some(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> Feedback:
        """Some of the rows."""
        return Feedback(*(getattr(self, field.name)[chosen] for field in fields(self)))


def folder_of(model: str) -> str:
    """Where a model's feedback is, with a folder for each day (UTC) on which it happened."""
    return f"{PREFIX}model={model}/"


def put(sink: CaptureSink, model: str, feedback: Feedback) -> list[str]:
    """Put feedback, an object for each day on which it happened; their keys. Raises Transient."""
    folder = folder_of(model)
    return put_by_day(sink, folder, feedback.times, lambda rows: write(feedback.some(rows)))


def once(feedback: Feedback) -> Feedback:
    """Each (impression, item, type) of a user once: what happened first.

    What cannot count displaces nothing that does: what others than the user say of an impression
    stays apart, and a time before the impression's, which its id has, comes last.
    """
    early = feedback.times < event_times(feedback.impressions)  # not of NaN
    keys = (
        feedback.items,
        *(groups(ids) for ids in (feedback.types, feedback.users, feedback.impressions)),
    )
    order = np.lexsort((feedback.received, feedback.times, early, *keys))
    first = np.zeros(len(order), dtype=np.bool_)
    first[:1] = True
    for key in keys:
        first[1:] |= key[order][1:] != key[order][:-1]
    return feedback.some(np.sort(order[first]))


def write(feedback: Feedback) -> bytes:
    """Feedback as Parquet; the same rows in any order give the same bytes."""
    texts = (hashes(feedback.users), hashes(feedback.types), hashes(feedback.impressions))
    order = np.lexsort((feedback.received, feedback.times, feedback.items, *texts))
    rows = feedback.some(order)
    columns: dict[str, Any] = {
        "impression": _texts(rows.impressions),
        "item": core.Array.from_numpy(np.ascontiguousarray(rows.items)),
        "type": _texts(rows.types),
        "time": core.Array.from_numpy(moments(rows.times)),
        "received": core.Array.from_numpy(moments(rows.received)),
        "user": _texts(rows.users),
    }
    return write_parquet(core.Table.from_pydict(columns))


def _texts(values: Ids) -> core.Array:
    return core.Array([one.decode() or None for one in values.tolist()], core.DataType.string())


def read(body: bytes) -> Feedback:
    """The feedback in an object that `put` wrote. Raises BadInput if it is damaged."""
    table = read_parquet(body).combine_chunks()
    names = ("impression", "item", "type", "time", "received", "user")
    if missing := set(names) - set(table.column_names):
        raise BadInput.of("feedback", f"the column {min(missing)}", "none")
    found = {name: table[name].combine_chunks() for name in names}
    times, received = (
        found[name].cast(core.DataType.int64()).to_numpy() / 1e6 for name in ("time", "received")
    )
    return Feedback(
        impressions=text_bytes(found["impression"], MAX_ID_BYTES),
        items=found["item"].to_numpy(),
        types=text_bytes(found["type"], MAX_ID_BYTES),
        times=times,
        received=received,
        users=text_bytes(found["user"], MAX_USER_BYTES),
    )


def joined(parts: Iterable[Feedback]) -> Feedback:
    """All feedback of several parts."""
    text, number = np.zeros(0, "S1"), np.zeros(0)
    none = Feedback(text, number.astype(np.int64), text, number, number, text)
    some = [none, *parts]
    return Feedback(
        *(np.concatenate([getattr(part, field.name) for part in some]) for field in fields(none))
    )
