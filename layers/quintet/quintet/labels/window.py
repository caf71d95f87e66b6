"""A model's quality over the days of a window, from the captures' bucket."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from functools import partial
from typing import Any, TypeVar

from quintet.captures.queries import find
from quintet.captures.store import CaptureObjects
from quintet.errors import BadInput, Transient
from quintet.formats.byte_streams import side_by_side
from quintet.labels import table
from quintet.labels.quality import join, report
from quintet.labels.served import Served, part_of, served
from quintet.labels.targets import Target

__all__ = ["labels_on", "labels_since", "quality", "stored_rows", "versions_between"]

T = TypeVar("T")

DAY = 86_400
#: objects that are read at once
READERS = 8
#: how often a listing is tried while objects are merged
ATTEMPTS = 5


def quality(
    objects: CaptureObjects,
    model: str,
    since: float,
    until: float,
    target: Callable[[int], Target | None],
    *,
    by: str | None = None,
) -> dict[str, Any]:
    """The quality of each version of a model, for predictions from `since` to before `until`.

    `target` is that of a version, or None if it does not exist any more: `deleted` counts the
    predictions of such versions, which are left out. `by` is a column of captures. `damaged` are
    the keys of objects that cannot be read, which are left out too.

    Raises:
        Transient: captures or labels could not be read.
    """
    targets: dict[int, Target | None] = {}

    def names(version: int) -> list[str]:
        found = targets.setdefault(version, target(version))
        return [*(found.columns if found else ()), *([by] if by else ())]

    found, damaged = versions_between(objects, model, since, until, names)
    labels, damaged_labels = labels_since(objects, model, since)
    known = {}
    deleted = {}
    for version, rows in found.items():
        its = targets[version]
        if its is None:
            deleted[str(version)] = len(rows.keys)
        elif its.kind is not None:
            known[version] = (its, rows)
    joined, counts = join(known, table.settle(labels), since)
    return {
        "model": model,
        "from": table.day_of(since),
        "to": table.day_of(until - 1),
        "labels": counts,
        "deleted": deleted,
        "damaged": [*damaged, *damaged_labels],
        "versions": [
            {"version": version, **report(one, by)} for version, one in sorted(joined.items())
        ],
    }


def versions_between(
    objects: CaptureObjects,
    model: str,
    since: float,
    until: float,
    names: Callable[[int], list[str]],
) -> tuple[Mapping[int, Served], list[str]]:
    """The scored rows of each version, with the columns `names(version)`; and the keys of damaged
    objects. Raises Transient."""

    def look() -> tuple[dict[int, Served | None], list[str]]:
        versions: defaultdict[int, list[str]] = defaultdict(list)
        for place in find(objects, model, since, until):
            versions[place.hour.version].append(place.key)
        damaged: list[str] = []
        found = {}
        for version, keys in versions.items():
            parse = partial(part_of, names=names(version))
            found[version] = served(_parsed(objects, keys, parse, damaged), names(version))
        return found, damaged

    found, damaged = _repeated(look)
    rows = {version: one for version, one in found.items() if one is not None}
    return {
        version: one.some((one.times >= since) & (one.times < until))
        for version, one in rows.items()
    }, damaged


def labels_since(
    objects: CaptureObjects, model: str, since: float
) -> tuple[table.Labels, list[str]]:
    """A model's labels that were known from the day before `since`, and the keys of damaged
    objects. Raises Transient."""
    folder = f"{table.PREFIX}model={model}/"
    parts, damaged = stored_rows(objects, folder, table.read, since=table.day_of(since - DAY))
    return table.joined(parts), damaged


def labels_on(objects: CaptureObjects, model: str, day: date) -> tuple[table.Labels, list[str]]:
    """A model's labels that were known on a day (UTC), and the keys of damaged objects.

    Raises Transient.
    """
    folder = f"{table.PREFIX}model={model}/date={day.isoformat()}/"
    parts, damaged = stored_rows(objects, folder, table.read)
    return table.joined(parts), damaged


def stored_rows(
    objects: CaptureObjects, folder: str, parse: Callable[[bytes], T], *, since: str = ""
) -> tuple[list[T], list[str]]:
    """What `parse` makes of the objects in a folder, and the keys of those that it refuses
    (BadInput): if the folder has one for each day, of the days from `since` on (2026-01-31).

    Raises Transient.
    """
    first = f"{folder}date={since}" if since else folder

    def look() -> tuple[list[T], list[str]]:
        keys = [key for key in objects.keys(folder) if key >= first]
        damaged: list[str] = []
        return list(_parsed(objects, keys, parse, damaged)), damaged

    return _repeated(look)


def _repeated(look: Callable[[], T]) -> T:
    """What `look` finds, when no object is merged while it looks."""
    for _ in range(ATTEMPTS):
        try:
            return look()
        except _Merged:
            continue
    raise Transient("objects are merged all the time; try again")


class _Merged(Exception):
    """An object is gone since it was listed."""


def _parsed(
    objects: CaptureObjects, keys: Sequence[str], parse: Callable[[bytes], T], damaged: list[str]
) -> Iterator[T]:
    """What `parse` makes of objects; the keys of those that it refuses are added to `damaged`."""
    for key, stored in zip(keys, side_by_side(objects.get, keys, READERS), strict=True):
        if stored is None:
            raise _Merged
        try:
            yield parse(stored.body)
        except BadInput:
            damaged.append(key)
