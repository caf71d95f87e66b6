"""The metrics that AWS's services write of themselves, as far as alarms here look at them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

__all__ = ["Measures"]

SECONDS = 60


class Measures:
    """Puts failed calls of functions, depth and age of queues, and failed executions.

    `queues` are URLs by name, `machines` the ARNs of state machines; `errors` counts failed calls
    by function since they were last put.
    """

    def __init__(
        self,
        client: Callable[[str], Any],
        queues: Mapping[str, str],
        machines: Sequence[str],
        errors: Counter[str],
    ) -> None:
        self._cloudwatch, self._sqs = client("cloudwatch"), client("sqs")
        self._states = client("stepfunctions") if machines else None
        self._queues = queues
        self._machines = machines
        self._errors = errors

    def put(self, now: float) -> None:
        """Put what there is at `now` (epoch seconds) as of the last whole minute."""
        minute = now // SECONDS * SECONDS
        # alarms look at whole periods
        at = datetime.fromtimestamp(minute - 1, UTC)
        for namespace, found in (
            ("AWS/Lambda", list(self._failed_calls())),
            ("AWS/SQS", list(self._waiting(now))),
            ("AWS/States", list(self._failed_executions(minute))),
        ):
            if found:
                data = [
                    {
                        "MetricName": metric,
                        "Dimensions": [{"Name": dimension, "Value": value}],
                        "Timestamp": at,
                        "Value": number,
                    }
                    for metric, dimension, value, number in found
                ]
                self._cloudwatch.put_metric_data(Namespace=namespace, MetricData=data)

    def _failed_calls(self) -> Iterator[tuple[str, str, str, float]]:
        errors = dict(self._errors)
        self._errors.clear()
        for function, count in errors.items():
            yield "Errors", "FunctionName", function, count

    def _waiting(self, now: float) -> Iterator[tuple[str, str, str, float]]:
        from moto.sqs.models import sqs_backends

        from quintet_local.names import ACCOUNT, REGION

        depth = "ApproximateNumberOfMessages"
        there = sqs_backends[ACCOUNT][REGION].queues
        for name, url in self._queues.items():
            given = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[depth])
            if visible := int(given["Attributes"][depth]):
                yield f"{depth}Visible", "QueueName", name, visible
            # SQS leaves out what was received three times, where it has a dead-letter queue
            sent = [
                int(message.sent_timestamp or 0)
                for message in list(there[name]._messages)
                if message.approximate_receive_count < 3 or not there[name].redrive_policy
            ]
            if sent:
                age = max(0.0, now - min(sent) / 1000)
                yield "ApproximateAgeOfOldestMessage", "QueueName", name, age

    def _failed_executions(self, minute: float) -> Iterator[tuple[str, str, str, float]]:
        for machine in self._machines:
            assert self._states is not None
            pages = self._states.get_paginator("list_executions").paginate(
                stateMachineArn=machine, statusFilter="FAILED"
            )
            count = sum(
                minute - SECONDS <= execution["stopDate"].timestamp() < minute
                for page in pages
                for execution in page["executions"]
            )
            if count:
                yield "ExecutionsFailed", "StateMachineArn", machine, count
