"""CloudWatch's metrics: sums by period in one pass; moto reads all data again for every period."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

__all__ = ["in_one_pass", "points"]

Key = tuple[str, str, frozenset[tuple[str, str]]]


def points(
    backend: Any, metrics: Iterable[Mapping[str, Any]], start: datetime, end: datetime
) -> dict[Key, list[Any]]:
    """The data from `start` to before `end` of each metric, given as in the API."""
    found: dict[Key, list[Any]] = {key_of(metric): [] for metric in metrics}
    names = {key[:2] for key in found}
    for datum in backend.get_all_metrics():
        if (datum.namespace, datum.name) in names and start <= datum.timestamp < end:
            key = (
                datum.namespace,
                datum.name,
                frozenset((d.name, d.value) for d in datum.dimensions),
            )
            if key in found:
                found[key].append(datum)
    return found


def key_of(metric: Mapping[str, Any]) -> Key:
    """A metric's namespace, name and dimensions."""
    dimensions = frozenset((d["Name"], d["Value"]) for d in metric.get("Dimensions") or ())
    return (metric["Namespace"], metric["MetricName"], dimensions)


def in_one_pass(get_metric_data: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap the backend's GetMetricData; queries with expressions go to moto."""

    def get(
        backend: Any,
        queries: list[dict[str, Any]],
        start_time: datetime,
        end_time: datetime,
        scan_by: str = "TimestampAscending",
    ) -> Any:
        if start_time >= end_time or not all("MetricStat" in query for query in queries):
            return get_metric_data(backend, queries, start_time, end_time, scan_by)
        start, end = start_time.replace(microsecond=0), end_time.replace(microsecond=0)
        found = points(backend, [q["MetricStat"]["Metric"] for q in queries], start, end)
        results = [
            _result(query, found, start) for query in queries if query.get("ReturnData", True)
        ]
        if scan_by == "TimestampDescending":
            for result in results:
                result["timestamps"].reverse()
                result["values"].reverse()
        return results

    return get


def _result(query: Mapping[str, Any], found: Mapping[Key, list[Any]], start: datetime) -> Any:
    from moto.cloudwatch.models import Statistics

    stat = query["MetricStat"]
    seconds, metric = int(stat["Period"]), stat["Metric"]
    periods: defaultdict[int, list[Any]] = defaultdict(list)
    for datum in found[key_of(metric)]:
        periods[int((datum.timestamp - start).total_seconds() // seconds)].append(datum)
    values, timestamps = [], []
    for number in sorted(periods):
        at = start + timedelta(seconds=number * seconds)
        statistics = Statistics([stat["Stat"]], at)
        statistics.metric_data = periods[number]
        values.append(statistics.get_statistics_for_type(stat["Stat"]))
        timestamps.append(at)
    label = query.get("Label") or f"{metric['MetricName']} {stat['Stat']}"
    return {
        "id": query["Id"],
        "label": label,
        "values": values,
        "timestamps": timestamps,
        "status_code": "Complete",
    }
