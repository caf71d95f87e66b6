"""Evaluates the alarms of a stack every minute, keeps their states, and runs their actions."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from quintet_local.alarms import Alarm, Composite, State, state_of
from quintet_local.events import Events, alarm_event, moment
from quintet_local.measures import Measures
from quintet_local.names import ACCOUNT, REGION

__all__ = ["Alarming"]

log = logging.getLogger(__name__)
#: an alarm is evaluated as often, on AWS too
SECONDS = 60
#: by then, the log lines of a minute are metrics
LATE = 3
_ACTIONS: Mapping[State, str] = {
    "ALARM": "AlarmActions",
    "OK": "OKActions",
    "INSUFFICIENT_DATA": "InsufficientDataActions",
}


class Alarming:
    """The alarms of a stack, and their states by name; each change of a state is an event."""

    def __init__(
        self,
        client: Callable[[str], Any],
        alarms: Sequence[Alarm],
        composites: Sequence[Composite],
        measures: Measures,
        events: Events,
    ) -> None:
        self._cloudwatch, self._sns = client("cloudwatch"), client("sns")
        self._alarms = alarms
        self._composites = composites
        self._measures = measures
        self._events = events
        self.states: dict[str, State] = dict.fromkeys(
            [*(a.name for a in alarms), *(c.name for c in composites)], "INSUFFICIENT_DATA"
        )
        self._reasons = dict.fromkeys(self.states, "Unchecked: Initial alarm creation")

    async def run(self) -> None:
        """Evaluate every minute until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SECONDS - (time.time() - LATE) % SECONDS)
            try:
                await loop.run_in_executor(None, self.evaluate, time.time())
            except Exception:
                log.exception("alarms could not be evaluated")

    def evaluate(self, now: float) -> None:
        """Write what AWS measures itself, and set each alarm's state at `now`, epoch seconds."""
        self._measures.put(now)
        if not self._alarms:
            return
        values = self._values(int(now))
        found = {a.name: state_of(a, values[a.name], int(now)) for a in self._alarms}
        for one in self._composites:
            rings = any(found[name] == "ALARM" for name in one.any_of)
            found[one.name] = "ALARM" if rings else "OK"
        every: list[Alarm | Composite] = [*self._alarms, *self._composites]
        for alarm in every:
            if (state := found[alarm.name]) != self.states[alarm.name]:
                self._change(alarm, state, now)

    def _values(self, now: int) -> dict[str, list[dict[int, float]]]:
        """Each alarm's metrics, by the start of each period."""
        step = math.lcm(*[alarm.period for alarm in self._alarms])
        start = now // step * step - max(a.period * a.periods for a in self._alarms)
        start = start // step * step
        queries = {
            f"m{number}_{place}": {
                "MetricStat": {
                    "Metric": dict(metric.of),
                    "Period": metric.period,
                    "Stat": metric.stat,
                }
            }
            for number, alarm in enumerate(self._alarms)
            for place, metric in enumerate(alarm.metrics)
        }
        answer = self._cloudwatch.get_metric_data(
            MetricDataQueries=[{"Id": name, **query} for name, query in queries.items()],
            StartTime=datetime.fromtimestamp(start, UTC),
            EndTime=datetime.fromtimestamp(now, UTC),
        )
        by_id = {
            result["Id"]: {
                int(moment.timestamp()): float(value)
                for moment, value in zip(result["Timestamps"], result["Values"], strict=True)
            }
            for result in answer["MetricDataResults"]
        }
        return {
            alarm.name: [by_id.get(f"m{number}_{place}", {}) for place in range(len(alarm.metrics))]
            for number, alarm in enumerate(self._alarms)
        }

    def _change(self, alarm: Alarm | Composite, state: State, now: float) -> None:
        before, self.states[alarm.name] = self.states[alarm.name], state
        reason = f"{alarm.name} went from {before} to {state}"
        since = before, self._reasons[alarm.name]
        self._reasons[alarm.name] = reason
        self._cloudwatch.set_alarm_state(AlarmName=alarm.name, StateValue=state, StateReason=reason)
        if state == "ALARM":
            log.warning("alarm: %s: %s", alarm.name, alarm.properties.get("AlarmDescription", ""))
        self._events.put(alarm_event(alarm, since, (state, reason), now))
        if not alarm.properties.get("ActionsEnabled", True):
            return
        for topic in alarm.properties.get(_ACTIONS[state]) or ():
            self._sns.publish(
                TopicArn=topic,
                Subject=f'{state}: "{alarm.name}" in {REGION}'[:100],
                Message=json.dumps(_message(alarm, state, before, reason, now)),
            )


def _message(
    alarm: Alarm | Composite, state: State, before: State, reason: str, now: float
) -> dict[str, Any]:
    """What subscribers of the topic get.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Notify_Users_Alarm_Changes.html
    """
    return {
        "AlarmName": alarm.name,
        "AlarmDescription": alarm.properties.get("AlarmDescription"),
        "AWSAccountId": ACCOUNT,
        "NewStateValue": state,
        "NewStateReason": reason,
        "StateChangeTime": moment(now),
        "Region": REGION,
        "AlarmArn": alarm.arn,
        "OldStateValue": before,
    }
