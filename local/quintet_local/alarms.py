"""Alarms of CloudWatch: metric alarms with what metric math the local AWS reads, and composites.

Everything here is a function of the metrics' values and of a moment; `Alarming` runs it.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/AlarmThatSendsEmail.html
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from quintet_local.plan import Plan

__all__ = ["Alarm", "AlarmError", "Composite", "Metric", "State", "alarms_of", "state_of"]

State = Literal["OK", "ALARM", "INSUFFICIENT_DATA"]
#: the statistics that are computed here
STATISTICS = ("Average", "Maximum", "Minimum", "SampleCount", "Sum")
#: the metrics of AWS's own that the local AWS counts; those of other namespaces are functions'
COUNTED = {
    "AWS/Lambda": {
        "DroppedEventCount",
        "Errors",
        "FailedInvokeEventCount",
        "InvokedEventCount",
        "IteratorAge",
        "OnFailureDestinationDeliveredEventCount",
        "PolledEventCount",
    },
    "AWS/SQS": {"ApproximateAgeOfOldestMessage", "ApproximateNumberOfMessagesVisible"},
    "AWS/States": {"ExecutionsFailed"},
}
#: the services that an alarm's actions reach
ACTIONS = ("sns",)
_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqualToThreshold": operator.ge,
    "GreaterThanThreshold": operator.gt,
    "LessThanOrEqualToThreshold": operator.le,
    "LessThanThreshold": operator.lt,
}
_MISSING: Mapping[str, bool | None] = {"breaching": True, "notBreaching": False, "missing": None}
_ALARM = re.compile(r'\s*ALARM\("([^"]+)"\)\s*')


class AlarmError(ValueError):
    """The local AWS does not evaluate this alarm; the text says why."""


@dataclass(frozen=True)
class Metric:
    """A metric as the API gives it, its period in seconds and its statistic."""

    of: Mapping[str, Any]
    period: int
    stat: str


@dataclass(frozen=True)
class Alarm:
    """A metric alarm: it compares the sum of its metrics with its threshold, period by period.

    `missing` is what a period without data counts as: breaching or not, None: as no period.
    """

    name: str
    arn: str
    metrics: tuple[Metric, ...]
    breaches: Callable[[float, float], bool]
    threshold: float
    periods: int
    least: int
    missing: bool | None
    properties: Mapping[str, Any]

    @property
    def period(self) -> int:
        """Seconds."""
        return self.metrics[0].period


@dataclass(frozen=True)
class Composite:
    """An alarm that rings while one of others does."""

    name: str
    arn: str
    any_of: tuple[str, ...]
    properties: Mapping[str, Any]


def alarms_of(plan: Plan) -> tuple[list[Alarm], list[Composite], dict[str, str]]:
    """The alarms of a plan, its composite alarms, and by logical id why others are left out."""
    found: list[Alarm] = []
    joined: list[Composite] = []
    refused: dict[str, str] = {}
    for logical_id, properties in plan.of_type("AWS::CloudWatch::Alarm").items():
        identity = plan.identities[logical_id]
        try:
            found.append(_alarm(identity.ref, identity.attributes["Arn"], properties))
        except AlarmError as error:
            refused[logical_id] = str(error)
    names = {alarm.name for alarm in found}
    for logical_id, properties in plan.of_type("AWS::CloudWatch::CompositeAlarm").items():
        identity = plan.identities[logical_id]
        try:
            _check_actions(properties)
            any_of = _any_of(properties["AlarmRule"], names)
            joined.append(Composite(identity.ref, identity.attributes["Arn"], any_of, properties))
        except AlarmError as error:
            refused[logical_id] = str(error)
    return found, joined, refused


def state_of(alarm: Alarm, values: Sequence[Mapping[int, float]], now: int) -> State:
    """The state of a metric alarm at `now`, epoch seconds.

    `values` has for each of its metrics the statistic by the period's start. The periods are the
    last whole ones before `now`.
    """
    end = now // alarm.period * alarm.period
    votes = []
    for number in range(1, alarm.periods + 1):
        start = end - number * alarm.period
        there = [of[start] for of in values if start in of]
        vote = alarm.breaches(sum(there), alarm.threshold) if there else alarm.missing
        if vote is not None:
            votes.append(vote)
    if not votes:
        return "INSUFFICIENT_DATA"
    return "ALARM" if sum(votes) >= alarm.least else "OK"


def _alarm(name: str, arn: str, properties: Mapping[str, Any]) -> Alarm:
    if (comparison := str(properties["ComparisonOperator"])) not in _COMPARE:
        raise AlarmError(f"not evaluated: ComparisonOperator {comparison}")
    missing = properties.get("TreatMissingData", "missing")
    if missing not in _MISSING:
        raise AlarmError(f"not evaluated: TreatMissingData {missing}")
    _check_actions(properties)
    metrics = tuple(_metrics(properties))
    for metric in metrics:
        if metric.stat not in STATISTICS:
            raise AlarmError(f"not evaluated: the statistic {metric.stat}")
        space, measure = metric.of["Namespace"], metric.of["MetricName"]
        if space.startswith("AWS/") and measure not in COUNTED.get(space, ()):
            raise AlarmError(f"not evaluated: {space} has no {measure} here")
    if len({metric.period for metric in metrics}) > 1:
        raise AlarmError("not evaluated: metrics of several periods")
    periods = int(properties["EvaluationPeriods"])
    return Alarm(
        name,
        arn,
        metrics,
        _COMPARE[comparison],
        float(properties["Threshold"]),
        periods,
        int(properties.get("DatapointsToAlarm", periods)),
        _MISSING[missing],
        properties,
    )


def _check_actions(properties: Mapping[str, Any]) -> None:
    for kind in ("AlarmActions", "OKActions", "InsufficientDataActions"):
        for action in properties.get(kind) or ():
            if action.split(":")[2] not in ACTIONS:
                raise AlarmError(f"not evaluated: its action {action}")


def _metrics(properties: Mapping[str, Any]) -> Iterator[Metric]:
    """The metrics whose sum is compared; of metric math, only SUM(METRICS()) is read."""
    queries = properties.get("Metrics")
    if queries is None:
        of = {name: properties[name] for name in ("Namespace", "MetricName", "Dimensions")}
        stat = properties.get("Statistic", properties.get("ExtendedStatistic", ""))
        yield Metric(of, int(properties["Period"]), stat)
        return
    for query in queries:
        if "MetricStat" in query:
            stat = query["MetricStat"]
            yield Metric(stat["Metric"], int(stat["Period"]), stat["Stat"])
        elif query.get("Expression") != "SUM(METRICS())":
            raise AlarmError(f"not evaluated: the expression {query.get('Expression')}")


def _any_of(rule: str, names: set[str]) -> tuple[str, ...]:
    """The alarms of a rule, of which only ALARM("name") OR ... is read."""
    found = []
    for part in rule.split(" OR "):
        match = _ALARM.fullmatch(part)
        if match is None or match[1] not in names:
            raise AlarmError(f"not evaluated: {part.strip()} in its rule")
        found.append(match[1])
    return tuple(found)
