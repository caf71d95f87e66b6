"""Events of EventBridge: an alarm's change of state, and the template's rules that pick events.

Patterns are matched by moto, which takes an operator that it does not know for a match; such a
pattern is refused here.
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-event-patterns.html
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from quintet_local.filters import PatternError
from quintet_local.names import ACCOUNT, REGION

if TYPE_CHECKING:  # alarms import the plan, which needs no events
    from quintet_local.alarms import Alarm, Composite, State

__all__ = ["EventRule", "Events", "alarm_event", "check_pattern", "moment"]

log = logging.getLogger(__name__)
#: what alone is sent here
_SENT = {"source": "aws.cloudwatch", "detail-type": "CloudWatch Alarm State Change"}
_OPERATORS = frozenset(
    {
        "anything-but",
        "cidr",
        "equals-ignore-case",
        "exists",
        "numeric",
        "prefix",
        "suffix",
        "wildcard",
    }
)


@dataclass(frozen=True)
class EventRule:
    """A rule of the default event bus: its pattern, and its targets with their constant inputs.

    A target without an input gets the event.
    """

    name: str
    pattern: Mapping[str, Any]
    targets: tuple[tuple[str, str | None], ...]


class Events:
    """The default event bus. `send` sends a body to a target's ARN."""

    def __init__(self, rules: Sequence[EventRule], send: Callable[[str, str], None]) -> None:
        self._rules = rules
        self._send = send

    def put(self, event: Mapping[str, Any]) -> None:
        """Send an event to the targets of the rules that match it; a failed send is logged."""
        for rule in self._rules:
            if not _matches(rule.pattern, event):
                continue
            for arn, given in rule.targets:
                try:
                    self._send(arn, json.dumps(event) if given is None else given)
                except Exception:
                    log.exception("rule %s: cannot send to %s", rule.name, arn)


def check_pattern(pattern: Mapping[str, Any]) -> None:
    """Raises `PatternError` for a pattern that nothing here matches, or that is not read here."""
    for operator in _operators(pattern):
        if operator not in _OPERATORS:
            raise PatternError(f"the operator {operator} is not read here")
    if not _matches({name: pattern[name] for name in _SENT if name in pattern}, _SENT):
        raise PatternError("only changes of alarms' states are events here")


def alarm_event(
    alarm: Alarm | Composite, before: tuple[State, str], state: tuple[State, str], now: float
) -> dict[str, Any]:
    """The event of an alarm that changed its state at `now`, epoch seconds.

    A state comes with its reason.
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch-and-eventbridge.html
    """
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        **_SENT,
        "account": ACCOUNT,
        "time": datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": REGION,
        "resources": [alarm.arn],
        "detail": {
            "alarmName": alarm.name,
            "configuration": _configuration(alarm.properties),
            "previousState": {"value": before[0], "reason": before[1]},
            "state": {"value": state[0], "reason": state[1], "timestamp": moment(now)},
        },
    }


def moment(now: float) -> str:
    """A time, of epoch seconds, as CloudWatch writes it."""
    at = datetime.fromtimestamp(now, UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03}+0000"


def _configuration(properties: Mapping[str, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {"description": properties.get("AlarmDescription", "")}
    if (rule := properties.get("AlarmRule")) is not None:
        return described | {"alarmRule": rule}
    return described | {"metrics": list(_metrics(properties))}


def _metrics(properties: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    names = {"Metric": properties, "Period": properties.get("Period")}
    own = {"Id": "m1", "MetricStat": {**names, "Stat": properties.get("Statistic")}}
    queries: list[dict[str, Any]] = properties.get("Metrics") or [own]
    for query in queries:
        shown = {"id": query["Id"], "returnData": query.get("ReturnData", True)}
        if "Expression" in query:
            yield shown | {"expression": query["Expression"]}
            continue
        stat = query["MetricStat"]
        dimensions = stat["Metric"].get("Dimensions") or ()
        metric = {
            "namespace": stat["Metric"]["Namespace"],
            "name": stat["Metric"]["MetricName"],
            "dimensions": {one["Name"]: one["Value"] for one in dimensions},
        }
        of = {"metric": metric, "period": int(stat["Period"]), "stat": stat["Stat"]}
        yield shown | {"metricStat": of}


def _matches(pattern: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
    from moto.events.models import EventPattern

    return EventPattern(None, dict(pattern)).matches_event(dict(event))  # type: ignore[arg-type]


def _operators(node: Any) -> Iterator[str]:
    """The operators of a pattern: names in objects inside lists, but for those below $or."""
    for name, value in node.items():
        if name == "$or":
            for part in value:
                yield from _operators(part)
        elif isinstance(value, dict):
            yield from _operators(value)
        elif isinstance(value, list):
            yield from (one for part in value if isinstance(part, dict) for one in part)
        else:
            raise PatternError(f"{name} is neither a list nor an object")
