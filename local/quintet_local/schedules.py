"""Schedules created at run time through the API of EventBridge Scheduler."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any
from zoneinfo import ZoneInfo

from quintet_local.names import ACCOUNT, REGION
from quintet_local.sources.drivers import TimerDriver
from quintet_local.sources.schedule import BadSchedule, parse
from quintet_local.stack import Timer
from quintet_local.targets import SERVED

__all__ = ["Schedules", "checked"]


class Schedules:
    """Fires the schedules that moto's Scheduler holds; on the plane's event loop."""

    def __init__(self, send: Callable[[str, str], None]) -> None:
        self._send = send
        self._firing: dict[Timer, asyncio.Task[None]] = {}

    def refresh(self) -> None:
        """Start the schedules that are new or changed, and stop those that were deleted."""
        wanted = set(_enabled())
        for timer in self._firing.keys() - wanted:
            self._firing.pop(timer).cancel()
        for timer in wanted - self._firing.keys():
            self._firing[timer] = asyncio.create_task(TimerDriver(timer, self._send).run())


def _enabled() -> Iterator[Timer]:
    from moto.scheduler.models import scheduler_backends

    for group in scheduler_backends[ACCOUNT][REGION].schedule_groups.values():
        for schedule in group.schedules.values():
            if schedule.state == "ENABLED":
                yield Timer(
                    schedule.name,
                    schedule.arn,
                    schedule.schedule_expression,
                    schedule.schedule_expression_timezone,
                    schedule.target["Arn"],
                    schedule.target.get("Input") or "{}",
                )


def checked(operation: Callable[..., Any], changed: Callable[[], object]) -> Callable[..., Any]:
    """Wrap the backend's operation to refuse schedules that never fire here and report changes."""
    from moto.scheduler.exceptions import ValidationException

    def call(backend: Any, *names: Any, **given: Any) -> Any:
        try:
            if "schedule_expression" in given:
                zone = ZoneInfo(given["schedule_expression_timezone"] or "UTC")
                parse(given["schedule_expression"], zone)
        except (BadSchedule, KeyError, ValueError, OSError) as error:
            raise ValidationException(f"Invalid Schedule Expression: {error}") from error
        target = (given.get("target") or {}).get("Arn", "")
        if target and target.split(":")[2:3] not in [[service] for service in SERVED]:
            raise ValidationException(f"nothing is sent to {target} on the local AWS")
        result = operation(backend, *names, **given)
        changed()
        return result

    return call
