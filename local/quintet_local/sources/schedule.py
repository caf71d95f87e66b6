"""When schedules fire, pure: rate, at and cron expressions of EventBridge.

https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from quintet_local.names import ACCOUNT, REGION

__all__ = ["BadSchedule", "Schedule", "event", "filled", "parse"]

#: from the start to the next firing
Schedule = Callable[[datetime], "datetime | None"]

_UNITS = {"minute": 60, "hour": 3600, "day": 86_400}
_MONTHS = {name.upper(): number for number, name in enumerate(calendar.month_abbr) if name}
# EventBridge counts from Sunday = 1
_DAYS = {"SUN": 1, "MON": 2, "TUE": 3, "WED": 4, "THU": 5, "FRI": 6, "SAT": 7}
_LAST_YEAR = 2199


class BadSchedule(ValueError):
    """The expression is not a valid EventBridge expression."""


def parse(expression: str, zone: tzinfo = UTC) -> Schedule:
    """Return a function that gives the first firing after a given time (None: never again).

    Raises:
        BadSchedule: not a rate, at or cron expression.
    """
    match = re.fullmatch(r"\s*(rate|at|cron)\((.*)\)\s*", expression)
    if match is None:
        raise BadSchedule(f"{expression}: not rate(...), at(...) or cron(...)")
    kind, text = match[1], match[2].strip()
    if kind == "rate":
        return _rate(text)
    if kind == "at":
        return _at(text, zone)
    return _Cron.of(text, zone).next


def event(rule_arn: str, moment: datetime) -> dict[str, Any]:
    """Build the event of a rule without an input of its own."""
    stamp = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "version": "0",
        "id": f"{int(moment.timestamp()):032x}",
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": ACCOUNT,
        "time": stamp,
        "region": REGION,
        "resources": [rule_arn],
        "detail": {},
    }


def filled(body: str, schedule_arn: str, moment: datetime) -> str:
    """Return a schedule's input (EventBridge Scheduler) with its context attributes filled in.

    https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html
    """
    known = {
        "schedule-arn": schedule_arn,
        "scheduled-time": moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "execution-id": f"{int(moment.timestamp()):032x}",
        "attempt-number": "1",
    }
    for name, value in known.items():
        body = body.replace(f"<aws.scheduler.{name}>", value)
    return body


def _rate(text: str) -> Schedule:
    match = re.fullmatch(r"(\d+)\s+(minute|hour|day)s?", text)
    if match is None or int(match[1]) == 0:
        raise BadSchedule(f"rate({text}): not a number and a unit")
    step = timedelta(seconds=int(match[1]) * _UNITS[match[2]])
    return lambda after: after + step


def _at(text: str, zone: tzinfo) -> Schedule:
    try:
        moment = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=zone)
    except ValueError as error:
        raise BadSchedule(f"at({text}): not yyyy-mm-ddThh:mm:ss") from error
    return lambda after: moment if moment > after else None


@dataclass(frozen=True)
class _Cron:
    """The minutes, hours, days, months and years at which a cron expression fires."""

    minutes: list[int]
    hours: list[int]
    months: frozenset[int]
    years: frozenset[int]
    days: str
    weekdays: str
    zone: tzinfo

    @classmethod
    def of(cls, text: str, zone: tzinfo) -> _Cron:
        fields = text.upper().split()
        if len(fields) != 6:
            raise BadSchedule(f"cron({text}): six fields are needed")
        minutes, hours, days, months, weekdays, years = fields
        if (days == "?") == (weekdays == "?"):
            raise BadSchedule(f"cron({text}): one of day-of-month and day-of-week must be ?")
        cron = cls(
            sorted(_values(minutes, 0, 59)),
            sorted(_values(hours, 0, 23)),
            frozenset(_values(months, 1, 12, _MONTHS)),
            frozenset(_values(years, 1970, _LAST_YEAR)),
            days,
            weekdays,
            zone,
        )
        cron._days(2024, 1)  # refuse a wrong day field now, not when it would fire
        return cron

    def next(self, after: datetime) -> datetime | None:
        local = after.astimezone(self.zone)
        for year in sorted(y for y in self.years if y >= local.year):
            for month in sorted(self.months):
                if (year, month) < (local.year, local.month):
                    continue
                for day in self._days(year, month):
                    for hour in self.hours:
                        for minute in self.minutes:
                            moment = datetime(year, month, day, hour, minute, tzinfo=self.zone)
                            if moment > after:
                                return moment
        return None

    def _days(self, year: int, month: int) -> list[int]:
        length = calendar.monthrange(year, month)[1]
        if self.weekdays == "?":
            return _days_of_month(self.days, year, month, length)
        return _days_of_week(self.weekdays, year, month, length)


def _days_of_month(field: str, year: int, month: int, length: int) -> list[int]:
    if field == "L":
        return [length]
    if match := re.fullmatch(r"(\d+)W", field):
        day = min(int(match[1]), length)
        near = (0, -1, 1, -2, 2)
        weekdays = (day + step for step in near if 1 <= day + step <= length)
        return [next(d for d in weekdays if calendar.weekday(year, month, d) < 5)]
    return sorted(day for day in _values(field, 1, 31) if day <= length)


def _days_of_week(field: str, year: int, month: int, length: int) -> list[int]:
    def weekday(day: int) -> int:
        return (calendar.weekday(year, month, day) + 1) % 7 + 1

    if match := re.fullmatch(r"(\w+)#([1-5])", field):
        wanted = min(_values(match[1], 1, 7, _DAYS))
        days = [day for day in range(1, length + 1) if weekday(day) == wanted]
        return days[int(match[2]) - 1 : int(match[2])]
    if match := re.fullmatch(r"(\w+)L", field):
        wanted = min(_values(match[1], 1, 7, _DAYS))
        return [day for day in range(1, length + 1) if weekday(day) == wanted][-1:]
    wanted_days = _values(field, 1, 7, _DAYS)
    return [day for day in range(1, length + 1) if weekday(day) in wanted_days]


def _values(field: str, low: int, high: int, names: dict[str, int] | None = None) -> set[int]:
    """Return the numbers of a cron field: `*`, lists, ranges and steps."""
    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, dash, last = span.partition("-")
        start = low if first == "*" else _number(first, names)
        end = _number(last, names) if dash else high if first == "*" or step else start
        if not low <= start <= end <= high:
            raise BadSchedule(f"cron field {field}: not within {low}-{high}")
        found |= set(range(start, end + 1, max(1, _number(step, None)) if step else 1))
    return found


def _number(text: str, names: dict[str, int] | None) -> int:
    if names and text in names:
        return names[text]
    if not text.isdigit():
        raise BadSchedule(f"cron: {text} is not a number")
    return int(text)
