"""A model's quality over the days of a window, from the captures' bucket."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from typing import Any, TypeVar

from quintet.captures.places import Place
from quintet.captures.queries import find
from quintet.captures.store import CaptureObjects
from quintet.errors import Transient
from quintet.formats.byte_streams import side_by_side
from quintet.labels import table
from quintet.labels.quality import join, report
from quintet.labels.served import Served, served
from quintet.labels.targets import Target

__all__ = ["labels_on", "labels_since", "quality", "versions_between"]

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
    predictions of such versions, which are left out. `by` is a column of captures.

    Raises:
        Transient: captures or labels could not be read.
    """
    targets: dict[int, Target | None] = {}

    def names(version: int) -> list[str]:
        found = targets.setdefault(version, target(version))
        return [*(found.columns if found else ()), *([by] if by else ())]

    found = versions_between(objects, model, since, until, names)
    known = {}
    deleted = {}
    for version, rows in found.items():
        its = targets[version]
        if its is None:
            deleted[str(version)] = len(rows.keys)
        elif its.kind is not None:
            known[version] = (its, rows)
    joined, counts = join(known, table.settle(labels_since(objects, model, since)), since)
    return {
        "model": model,
        "from": table.day_of(since),
        "to": table.day_of(until - 1),
        "labels": counts,
        "deleted": deleted,
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
) -> Mapping[int, Served]:
    """The scored rows of each version, with the columns `names(version)`. Raises Transient."""

    def look() -> dict[int, Served | None]:
        versions: defaultdict[int, list[Place]] = defaultdict(list)
        for place in find(objects, model, since, until):
            versions[place.hour.version].append(place)
        return {
            version: served(_bodies(objects, [one.key for one in places]), names(version))
            for version, places in versions.items()
        }

    return {
        version: rows.some((rows.times >= since) & (rows.times < until))
        for version, rows in _repeated(look).items()
        if rows is not None
    }


def labels_since(objects: CaptureObjects, model: str, since: float) -> table.Labels:
    """A model's labels that were known from the day before `since`. Raises Transient."""
    folder = f"{table.PREFIX}model={model}/"
    first = f"{folder}date={table.day_of(since - DAY)}"
    return _labels(objects, folder, first)


def labels_on(objects: CaptureObjects, model: str, day: date) -> table.Labels:
    """A model's labels that were known on a day (UTC). Raises Transient."""
    return _labels(objects, f"{table.PREFIX}model={model}/date={day.isoformat()}/")


def _labels(objects: CaptureObjects, folder: str, first: str = "") -> table.Labels:
    def look() -> table.Labels:
        keys = [key for key in objects.keys(folder) if key >= first]
        return table.read(_bodies(objects, keys))

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


def _bodies(objects: CaptureObjects, keys: Iterable[str]) -> Iterator[bytes]:
    for stored in side_by_side(objects.get, keys, READERS):
        if stored is None:
            raise _Merged
        yield stored.body
