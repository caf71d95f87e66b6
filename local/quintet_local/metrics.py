"""CloudWatch's metrics: sums by period in one pass; moto reads all data again for every period."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

__all__ = ["in_one_pass", "points"]

#: a statistic that moto does not know, such as p95 or p99.9
_QUANTILE = re.compile(r"p(\d{1,2}(?:\.\d+)?|100)")

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
    stat = query["MetricStat"]
    seconds, metric = int(stat["Period"]), stat["Metric"]
    periods: defaultdict[int, list[Any]] = defaultdict(list)
    for datum in found[key_of(metric)]:
        periods[int((datum.timestamp - start).total_seconds() // seconds)].append(datum)
    values, timestamps = [], []
    for number in sorted(periods):
        at = start + timedelta(seconds=number * seconds)
        value = _value(stat["Stat"], periods[number], at)
        if value is not None:
            values.append(value)
            timestamps.append(at)
    label = query.get("Label") or f"{metric['MetricName']} {stat['Stat']}"
    return {
        "id": query["Id"],
        "label": label,
        "values": values,
        "timestamps": timestamps,
        "status_code": "Complete",
    }


def _value(stat: str, data: list[Any], at: datetime) -> float | None:
    """A statistic of the data of a period; of a quantile, the nearest rank of single values."""
    from moto.cloudwatch.models import MetricDatum, Statistics

    if quantile := _QUANTILE.fullmatch(stat):
        values = sorted(one.value for one in data if isinstance(one, MetricDatum))
        rank = math.ceil(float(quantile[1]) / 100 * len(values))
        return float(values[max(0, rank - 1)]) if values else None
    statistics = Statistics([stat], at)
    statistics.metric_data = data
    found: Any = statistics.get_statistics_for_type(stat)
    return found if found is None else float(found)
