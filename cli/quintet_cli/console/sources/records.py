"""Captures as they arrive, and the reports of days: drift."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass
from datetime import date
from typing import Any

import orjson

from quintet.aws.captures import CaptureBucket
from quintet.captures.queries import event_rows, find, load
from quintet.daily.report import DayPaths
from quintet_cli.captures_rows import records_of
from quintet_cli.registry import registry_of
from quintet_cli.stage import Stage
from quintet_cli.views.captures import event_parts, row_outcome

__all__ = ["Captured", "read_captures", "read_day", "read_drift", "read_event"]

#: events that are shown, and objects of each model that are read for them: names of online events
#: tell their time, those of an hour's others do not
EVENTS, OBJECTS = 15, 4
DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Captured:
    """An event: its first row with its answer, and the number of its rows."""

    row: dict[str, Any]
    outcome: str
    rows: int


def read_captures(stage: Stage) -> list[Captured]:
    """The newest events of the last day."""
    bucket = _bucket(stage)
    places = find(bucket, None, time.time() - DAY)
    of_models = defaultdict(list)
    for place in sorted(places, key=lambda place: (place.hour.start, place.key)):
        of_models[place.hour.model].append(place)
    newest = [place for some in of_models.values() for place in some[-OBJECTS:]]
    events: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for table in load(bucket, newest):
        for row in records_of(table):
            events[row["event"]].append(row)
    firsts = [(min(rows, key=lambda row: row["row"] or 0), len(rows)) for rows in events.values()]
    firsts.sort(key=lambda one: (one[0]["served_at"], one[0]["event"]), reverse=True)
    return [Captured(row, row_outcome(row), rows) for row, rows in firsts[:EVENTS]]


def read_event(stage: Stage, model: str, event: str) -> list[tuple[str, list[tuple[str, str]]]]:
    """The parts of an event, as `quintet captures show` has them; none if it is not there."""
    found = event_rows(_bucket(stage), event, model)
    rows = [row for table in found for row in records_of(table)]
    return list(event_parts(rows)) if rows else []


def read_drift(stage: Stage) -> list[dict[str, Any]]:
    """The newest daily report of each model that has one."""
    bucket = _bucket(stage)
    reports = []
    for model in sorted(registry_of(stage).models()):
        keys = [key for key in bucket.keys(DayPaths.folder(model)) if key.endswith("/report.json")]
        stored = bucket.get(keys[-1]) if keys else None
        if stored is not None:
            reports.append(orjson.loads(stored.body))
    return reports


def read_day(stage: Stage, model: str, day: date) -> bytes | None:
    """The page of a model's day; None if no report was written."""
    stored = _bucket(stage).get(DayPaths(model, day).page)
    return stored.body if stored else None


def _bucket(stage: Stage) -> CaptureBucket:
    return CaptureBucket(stage.signed("s3"), stage.outputs["CapturesBucketName"])
