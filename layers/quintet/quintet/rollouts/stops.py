"""What stops rollouts from outside: alarms, and functions that watch a model, through a queue."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from quintet.errors import BadInput, json_kind

__all__ = ["MemoryStops", "Stop", "StopBox", "message", "stop_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """A reason to roll back that arose `at` (epoch seconds), seen `by` an alarm or a function.

    `model` is whose rollout it is for, None for those of all models of the stage.
    """

    at: float
    by: str
    reason: str
    model: str | None = None


class StopBox(Protocol):
    """Where functions that watch a model send stops."""

    def send(self, stop: Stop) -> None:
        """Send a stop of a model; a second one does no harm. Raises Transient."""
        ...


class MemoryStops:
    """Stops in memory."""

    def __init__(self) -> None:
        self.sent: list[Stop] = []

    def send(self, stop: Stop) -> None:
        """See `StopBox.send`."""
        self.sent.append(stop)


def message(stop: Stop) -> str:
    """The message of a function that watches a model."""
    given = {"model": stop.model, "at": stop.at, "by": stop.by, "reason": stop.reason}
    return json.dumps(given)


def stop_of(body: str) -> Stop | None:
    """The stop in a message; None for an alarm that does not ring.

    Raises:
        BadInput: it is neither a function's message nor an event of an alarm.
    """
    try:
        given = json.loads(body)
    except ValueError:
        raise BadInput.of("message", "JSON", "another text") from None
    if not isinstance(given, dict):
        raise BadInput.of("message", "an object", json_kind(given))
    try:
        return _alarm(given) if given.get("source") == "aws.cloudwatch" else _message(given)
    except (KeyError, TypeError, ValueError) as error:
        expected = "model, at, by and reason, or an event of a CloudWatch alarm"
        raise BadInput.of("message", expected, f"{type(error).__name__} {error}") from error


def _message(given: dict[str, Any]) -> Stop:
    return Stop(
        model=str(given["model"]),
        at=float(given["at"]),
        by=str(given["by"]),
        reason=str(given["reason"]),
    )


def _alarm(event: dict[str, Any]) -> Stop | None:
    """https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch-and-eventbridge.html"""
    name, state = event["detail"]["alarmName"], event["detail"]["state"]
    if state["value"] != "ALARM":
        return None
    moment = datetime.strptime(event["time"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    return Stop(at=moment.timestamp(), by="alarm", reason=f"{name} rings: {state['reason']}")
