"""The metrics of an event source mapping, in CloudWatch under Lambda's names.

https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

__all__ = ["Metrics"]

#: the maximum number of values in one datum of CloudWatch
VALUES = 150


class Metrics:
    """Collects the metrics of one mapping until they are taken."""

    def __init__(self, mapping_id: str, function: str, properties: Mapping[str, Any]) -> None:
        self._function = [{"Name": "FunctionName", "Value": function}]
        self._mapping = [{"Name": "EventSourceMappingUUID", "Value": mapping_id}]
        wanted = (properties.get("MetricsConfig") or {}).get("Metrics") or ()
        self._counted = "EventCount" in wanted
        self._counts: Counter[str] = Counter()
        self._ages: list[float] = []

    def polled(self, records: int) -> None:
        """Count records that were read."""
        self._counts["PolledEventCount"] += records

    def called(self, records: int, failed: int, age: float) -> None:
        """Record the end of a call; `age` is its last record's age at that time, in seconds."""
        self._counts["InvokedEventCount"] += records
        self._counts["FailedInvokeEventCount"] += failed
        self._ages.append(age * 1000)

    def dropped(self, records: int) -> None:
        """Count discarded records."""
        self._counts["DroppedEventCount"] += records

    def delivered(self, records: int) -> None:
        """Count records whose failure the destination accepted."""
        self._counts["OnFailureDestinationDeliveredEventCount"] += records

    def take(self) -> list[dict[str, Any]]:
        """Return the metrics since the last call, in the form of PutMetricData."""
        ages, self._ages = self._ages, []
        counts, self._counts = self._counts, Counter()
        data: list[dict[str, Any]] = [
            {
                "MetricName": "IteratorAge",
                "Dimensions": self._function,
                "Values": ages[start : start + VALUES],
                "Unit": "Milliseconds",
            }
            for start in range(0, len(ages), VALUES)
        ]
        if self._counted:
            data += [
                {"MetricName": name, "Dimensions": self._mapping, "Value": count, "Unit": "Count"}
                for name, count in counts.items()
                if count
            ]
        return data
