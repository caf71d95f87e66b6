"""Runs that a schedule starts: each firing is one run, however often it is delivered."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from quintet.batch.drops import Runs
from quintet.batch.folders import Folder, hashed_name
from quintet.batch.requests import request_from
from quintet.batch.starts import Started
from quintet.errors import BadInput

__all__ = ["start_scheduled"]


def start_scheduled(event: Mapping[str, Any], runs: Runs) -> Started:
    """Start the run of a firing: `scheduled` is its time, `request` what it asks for.

    EventBridge Scheduler delivers at least once, always with the time that was scheduled
    (https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html),
    so the run is named by it. What is there to score is looked up by the plan: a run that finds
    nothing is refused, and seen.

    Raises:
        BadInput: the event is not of such a schedule.
        Transient: the run could not be started now.
    """
    asked = event.get("request")
    if not isinstance(asked, dict):
        raise BadInput.of("request", "what a run is asked for", "something else")
    request = request_from(asked)
    moment = _moment(event.get("scheduled"))
    parts = (orjson.dumps(asked, option=orjson.OPT_SORT_KEYS).decode(), moment)
    run = hashed_name(request.model, moment, parts)
    return Started(Folder(request.model, run), runs.start(run, asked))


def _moment(text: Any) -> str:
    """A time in UTC as it can stand in a name: 20261101T070000Z."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    except (TypeError, ValueError):
        raise BadInput.of("scheduled", "a time in ISO 8601", repr(text)[:60]) from None
