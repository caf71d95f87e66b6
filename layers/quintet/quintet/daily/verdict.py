"""What drifts: what moved on two of three days, and not by the day of the week."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from quintet.monitoring.drift import compared, drift_of
from quintet.monitoring.samples import Reference

__all__ = ["DAYS", "WEEKS", "judge", "same_weekdays"]

Units = Sequence[tuple[int, Mapping[str, Any]]]

#: days that a report shows, and of the last three how many must have moved
DAYS, WINDOW, MOVED = 28, 3, 2
#: weeks of the same weekday that are compared with
WEEKS = 4


def same_weekdays(day: date) -> list[date]:
    """The days of the last four weeks with the same weekday."""
    return [day - timedelta(weeks=week) for week in range(1, WEEKS + 1)]


def judge(
    day: date,
    reference: Reference,
    units: Units,
    weekdays: Sequence[Units],
    before: Mapping[date, Mapping[str, Any]],
) -> dict[str, Any]:
    """The drift of a day, and by their titles what moved on it, what drifts, and what began to.

    With counts of all four `weekdays`, a column has moved if it has moved from both the training
    data and these, if they have it. `before` are the reports of the days before; those of another
    version do not count, as their baseline is another.
    """
    drift = drift_of(reference, units)
    if drift is None:
        return {"drift": None, "week": None, "moved": [], "drifting": [], "began": []}
    moved = {title for title, one in compared(drift) if one["moved"]}
    week = None
    if len(weekdays) == WEEKS and all(weekdays):
        week = drift_of(reference, units, [unit for some in weekdays for unit in some])
    if week is not None:
        moved -= {title for title, one in compared(week) if not one["moved"]}
    last = [before.get(day - timedelta(days=back), {}) for back in range(1, WINDOW)]
    version = reference.contract.version
    days = [set(one["moved"]) for one in last if one.get("version") == version]
    drifting = [name for name in moved if sum(name in day for day in days) + 1 >= MOVED]
    last_day = before.get(day - timedelta(days=1), {})
    drifted = last_day["drifting"] if last_day.get("version") == version else []
    return {
        "drift": drift,
        "week": week,
        "moved": sorted(moved),
        "drifting": sorted(drifting),
        "began": sorted(set(drifting) - set(drifted)),
    }
