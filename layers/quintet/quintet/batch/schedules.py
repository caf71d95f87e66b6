"""Runs that a schedule starts: one run per firing, even if it is delivered several times."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from quintet.batch.drops import RunStarter
from quintet.batch.plans import RunPaths, hashed_name
from quintet.batch.requests import request_from
from quintet.batch.starts import Started
from quintet.errors import BadInput, shown

__all__ = ["start_scheduled"]


#: placeholders of a schedule's request -> `strftime` format
DATES = {"year": "%Y", "month": "%m", "day": "%d", "hour": "%H"}
#: the fields of a request that may contain placeholders
DATED = ("key", "prefix", "manifest", "partition", "features")
#: ten years
MAX_HOURS = 87_600


def start_scheduled(event: Mapping[str, Any], runs: RunStarter) -> Started:
    """Start the run of a firing: `scheduled` is its time, `request` the run's request.

    Locations of files in the request may contain the date, as in `month={year}-{month}`: that of
    the firing, in UTC, or `hours_back` before it.
    EventBridge Scheduler delivers at least once, always with the scheduled time
    (https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html),
    so the time is part of the run's name. Planning looks up the files: a run that finds none is
    refused, and this shows in its report.

    Raises:
        BadInput: the event does not come from such a schedule.
        Transient: the run could not be started now.
    """
    asked = event.get("request")
    if not isinstance(asked, dict):
        raise BadInput.of("request", "what a run is asked for", "something else")
    fired = _moment(event.get("scheduled"))
    asked = _dated(asked, fired - _back(event.get("hours_back", 0)))
    request = request_from(asked)
    moment = fired.strftime("%Y%m%dT%H%M%SZ")
    parts = (orjson.dumps(asked, option=orjson.OPT_SORT_KEYS).decode(), moment)
    run = hashed_name(request.model, moment, parts)
    return Started(RunPaths(request.model, run), runs.start(run, asked))


def _moment(text: Any) -> datetime:
    """Parse a time to UTC."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (TypeError, ValueError):
        raise BadInput.of("scheduled", "a time in ISO 8601", shown(text)) from None


def _back(hours: Any) -> timedelta:
    if type(hours) is not int or abs(hours) > MAX_HOURS:
        expected = f"a whole number of hours, at most {MAX_HOURS}"
        raise BadInput.of("hours_back", expected, shown(hours))
    return timedelta(hours=hours)


def _dated(asked: Mapping[str, Any], date: datetime) -> dict[str, Any]:
    """Fill the placeholders of a request with a date."""

    def filled(field: str, text: str) -> str:
        for word in re.findall(r"\{([^{}]*)\}", text):
            if word not in DATES:
                expected = "in braces only " + ", ".join(DATES)
                raise BadInput.of(f"request.{field}", expected, shown(word))
            text = text.replace(f"{{{word}}}", date.strftime(DATES[word]))
        return text

    return {
        field: filled(field, value) if field in DATED and isinstance(value, str) else value
        for field, value in asked.items()
    }
