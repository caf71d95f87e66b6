"""The feedback of a time, each once."""

from __future__ import annotations

from dataclasses import dataclass

from quintet.captures.store import CaptureObjects
from quintet.feedback import table
from quintet.labels.table import day_of
from quintet.labels.window import DAY, stored_rows

__all__ = ["Known", "read"]


@dataclass(frozen=True, slots=True)
class Known:
    """Feedback that happened in a time: each (impression, item, type) of a user with its first
    time.

    `twice` rows of that time repeat another, and are left out. `damaged` are the keys of objects
    that cannot be read.
    """

    feedback: table.Feedback
    twice: int
    damaged: list[str]


def read(objects: CaptureObjects, model: str, since: float, until: float) -> Known:
    """The feedback on a model's recommendations that happened from `since` to before `until`, in
    epoch seconds. What repeats feedback of up to a day before `since` is left out, too.

    Raises Transient.
    """
    folder = table.folder_of(model)
    parts, damaged = stored_rows(objects, folder, table.read, since=day_of(max(since - DAY, 0)))
    rows = table.joined(parts)
    first = table.once(rows)
    found, sent = (one.some((one.times >= since) & (one.times < until)) for one in (first, rows))
    return Known(found, len(sent) - len(found), damaged)
