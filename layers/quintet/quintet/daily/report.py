"""Report a day of a model: read its captures, decide, and write report.json and report.html."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, Protocol

import orjson

from quintet.captures.places import Place
from quintet.captures.queries import find, load
from quintet.captures.store import CaptureObjects, CaptureSink
from quintet.daily.counting import DayCounts
from quintet.daily.labels import label_counts
from quintet.daily.page import page
from quintet.daily.verdict import DAYS, judge, same_weekdays
from quintet.errors import BadInput
from quintet.monitoring.samples import Reference

__all__ = ["DayPaths", "Objects", "report_day"]

#: seconds by which a clock may be ahead before a report says so
AHEAD = 3600


class Objects(CaptureObjects, CaptureSink, Protocol):
    """The captures' bucket: reports are beside the captures."""


class DayPaths:
    """The keys of a day's documents."""

    def __init__(self, model: str, day: date) -> None:
        folder = f"{self.folder(model)}date={day.isoformat()}/"
        self.report = f"{folder}report.json"
        self.counts = f"{folder}counts.json"
        self.page = f"{folder}report.html"

    @staticmethod
    def folder(model: str) -> str:
        """Where all days of a model are."""
        return f"daily/model={model}/"


def report_day(
    model: str,
    day: date,
    *,
    objects: Objects,
    reference: Callable[[int], Reference | None],
    now: float,
) -> dict[str, Any]:
    """Write the report of a day (UTC), and return it. The same day again replaces it.

    `reference` gives the contract and the baseline of a version; None if the version is deleted.

    Raises:
        BadInput: the day has not begun.
        Transient: the bucket could not be read or written; repeat.
    """
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
    if begin > now:
        today = datetime.fromtimestamp(now, UTC).date()
        raise BadInput.of("day", f"a day until today, {today} (UTC)", day.isoformat())
    found = find(objects, model, begin, float("inf"))
    counts = DayCounts(reference)
    hours: defaultdict[int, list[Place]] = defaultdict(list)
    for place in found:
        if place.hour.start < begin + 86_400:
            hours[place.hour.start].append(place)
    for start in sorted(hours):
        for rows in load(objects, hours[start]):
            counts.add(rows)
    versions = counts.versions()
    before = _before(objects, model, day)
    report: dict[str, Any] = {
        "model": model,
        "day": day.isoformat(),
        "version": None,
        **counts.document(),
        "notes": [*_ahead(found, now)],
        "drift": None,
        "week": None,
        "moved": [],
        "drifting": [],
        "began": [],
    }
    if versions:
        version = max(versions, key=lambda one: (sum(rows for rows, _ in versions[one]), one))
        report["version"] = version
        report["notes"] += _notes(versions, version, reference)
        if (known := reference(version)) is not None:
            labels, notes = label_counts(objects, known, day)
            report["notes"] += notes
            if labels is not None:
                versions[version].append(labels)
            weekdays = [_units(objects, model, one, version) for one in same_weekdays(day)]
            report |= judge(day, known, versions[version], weekdays, before)
    paths = DayPaths(model, day)
    objects.put(paths.counts, orjson.dumps({str(key): units for key, units in versions.items()}))
    objects.put(paths.page, page(report, before))
    objects.put(paths.report, orjson.dumps(report))
    return report


def _before(objects: CaptureObjects, model: str, day: date) -> dict[date, Mapping[str, Any]]:
    """The reports of the days before that there are."""
    there = set(objects.keys(DayPaths.folder(model)))
    found = {}
    for back in range(1, DAYS):
        one = day - timedelta(days=back)
        key = DayPaths(model, one).report
        if key in there and (stored := objects.get(key)) is not None:
            found[one] = orjson.loads(stored.body)
    return found


def _units(objects: CaptureObjects, model: str, day: date, version: int) -> list[Any]:
    """The counts of a version on a day; empty if there are none."""
    stored = objects.get(DayPaths(model, day).counts)
    found: list[Any] = [] if stored is None else orjson.loads(stored.body).get(str(version), [])
    return found if any(sample["rows"] for _, sample in found) else []


def _ahead(found: list[Place], now: float) -> list[str]:
    late = [place.hour.start for place in found if place.hour.start > now + AHEAD]
    if not late:
        return []
    last = datetime.fromtimestamp(max(late), UTC)
    return [
        f"captures of the future, up to {last:%Y-%m-%d %H}:00, in {len(late)} objects: the clock "
        "of a caller or a producer runs ahead; they count on the day that they name"
    ]


def _notes(
    versions: Mapping[int, Any], version: int, reference: Callable[[int], Reference | None]
) -> list[str]:
    notes = []
    if others := sorted(set(versions) - {version}):
        names = ", ".join(map(str, others))
        notes.append(f"drift is that of version {version}, which served most rows; not of {names}")
    known = reference(version)
    if known is None:
        notes.append(f"version {version} is deleted: without its baseline there is no drift")
    elif not known.rows():
        notes.append(
            f"version {version} has no baseline: name `training_data` in model.yaml, and publish"
        )
    return notes
