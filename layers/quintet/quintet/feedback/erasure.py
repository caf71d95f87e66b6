"""Erasure: the feedback of a user is taken out of every object, and looked for again.

It is erased before the user's captures: of feedback whose sender did not say who the user is, only
the impression tells.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

import numpy as np

from quintet.captures.queries import find
from quintet.captures.store import CaptureObjects
from quintet.captures.tables import RECOMMENDED, read_parquet
from quintet.errors import BadInput, Transient
from quintet.feedback.table import PREFIX, folder_of, read, write

__all__ = ["Erased", "erase"]

#: how often objects that change meanwhile are read
ATTEMPTS = 5


@dataclass(slots=True)
class Erased:
    """How many rows were erased, and the keys of objects that cannot be read."""

    rows: int = 0
    unreadable: list[str] = field(default_factory=list)


def erase(objects: CaptureObjects, user: str, models: Collection[str] = ()) -> Erased:
    """Erase a user's feedback, on the recommendations of some models or of all; then read all
    objects again, until none has any.

    What `compact` merges at the same moment may be left: erase again after an hour.

    Raises:
        Transient: the store did not answer, or objects changed all the time; repeat.
    """
    done = Erased()
    folders = [folder_of(model) for model in models] or [PREFIX]
    if not any(objects.keys(folder) for folder in folders):
        return done
    shown = np.array([one.encode() for one in _impressions(objects, user, models)], np.bytes_)
    for _ in range(ATTEMPTS):
        done.unreadable, found = [], 0
        for key in (key for folder in folders for key in objects.keys(folder)):
            if (stored := objects.get(key)) is None:
                continue
            try:
                rows = read(stored.body)
            except BadInput:
                done.unreadable.append(key)
                continue
            theirs = (rows.users == user.encode()) | np.isin(rows.impressions, shown)
            if not theirs.any():
                continue
            found += 1
            if objects.swap(key, write(rows.some(~theirs)), stored.tag):
                done.rows += int(theirs.sum())
        if not found:
            return done
    raise Transient("feedback changes all the time; run the erasure again")


def _impressions(objects: CaptureObjects, user: str, models: Collection[str]) -> Iterator[str]:
    """The ids of what was recommended to a user. Damaged objects are left out; the erasure of
    captures names them."""
    for place in find(objects):
        if models and place.hour.model not in models:
            continue
        if (stored := objects.get(place.key)) is None:
            continue
        try:
            rows = read_parquet(stored.body)
        except BadInput:
            continue
        names = ("event", "entity", "outcome")
        for event, entity, outcome in zip(*(rows[name].to_pylist() for name in names), strict=True):
            if outcome == RECOMMENDED and entity == user:
                yield event
