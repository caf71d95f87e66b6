"""CloudWatch's metrics as points by the minute, and their statistics by period in one pass.

moto keeps every value, and reads all of them again for every period.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from quintet_local.points import Point, key_of, points_of

__all__ = ["by_points"]

#: a statistic that moto does not know, such as p95 or p99.9
_QUANTILE = re.compile(r"p(\d{1,2}(?:\.\d+)?|100)")


def by_points(backend: Any) -> dict[str, Callable[..., Any]]:
    """The methods of moto's backend (its class) that are replaced, each with the one for it."""
    return {
        "put_metric_data": _put,
        "get_all_metrics": _every,
        "get_filtered_metrics": _listed,
        "get_metric_statistics": _from_whole_minutes(backend.get_metric_statistics),
        "get_metric_data": _in_one_pass(backend.get_metric_data),
    }


def _put(backend: Any, namespace: str, metric_data: Sequence[Mapping[str, Any]]) -> None:
    for number, datum in enumerate(metric_data, 1):
        backend._validate_parameters_put_metric_data(datum, number)
    points = points_of(backend)
    for datum in metric_data:
        points.put(namespace, datum)


def _every(backend: Any) -> list[Any]:
    """All points, and what moto's services measure of themselves."""
    return [*points_of(backend).every(), *backend.aws_metric_data]


def _listed(
    backend: Any, metric_name: str | None, namespace: str | None, dimensions: Any
) -> list[Any]:
    """A datum of each metric that is asked for; moto compares each datum with all found."""
    found = [*points_of(backend).one_of_each(), *backend.aws_metric_data]
    return [one for one in found if one.filter(namespace, metric_name, dimensions)]


def _from_whole_minutes(get_metric_statistics: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap the backend's GetMetricStatistics to begin at a whole minute, as AWS does."""

    def get(
        backend: Any, namespace: str, name: str, start: datetime, *rest: Any, **named: Any
    ) -> Any:
        return get_metric_statistics(backend, namespace, name, _minute(start), *rest, **named)

    return get


def _in_one_pass(get_metric_data: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap the backend's GetMetricData; moto answers what has expressions, or asks for its own."""

    def get(
        backend: Any,
        queries: list[dict[str, Any]],
        start_time: datetime,
        end_time: datetime,
        scan_by: str = "TimestampAscending",
    ) -> Any:
        if start_time >= end_time or not all(map(_known, queries)):
            return get_metric_data(backend, queries, start_time, end_time, scan_by)
        start, end = _minute(start_time), end_time.replace(microsecond=0)
        results = [
            _result(backend, query, start, end)
            for query in queries
            if query.get("ReturnData", True)
        ]
        if scan_by == "TimestampDescending":
            for result in results:
                result["timestamps"].reverse()
                result["values"].reverse()
        return results

    return get


def _minute(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)


def _known(query: Mapping[str, Any]) -> bool:
    """Whether a query is of points: moto's services have metrics of their own in AWS/S3."""
    return "MetricStat" in query and query["MetricStat"]["Metric"]["Namespace"] != "AWS/S3"


def _result(backend: Any, query: Mapping[str, Any], start: datetime, end: datetime) -> Any:
    stat = query["MetricStat"]
    seconds, metric = int(stat["Period"]), stat["Metric"]
    periods: defaultdict[int, list[Point]] = defaultdict(list)
    for point in points_of(backend).of(key_of(metric), start, end):
        periods[int((point.timestamp - start).total_seconds() // seconds)].append(point)
    values, timestamps = [], []
    for number in sorted(periods):
        value = _value(stat["Stat"], periods[number])
        if value is not None:
            values.append(value)
            timestamps.append(start + timedelta(seconds=number * seconds))
    label = query.get("Label") or f"{metric['MetricName']} {stat['Stat']}"
    return {
        "id": query["Id"],
        "label": label,
        "values": values,
        "timestamps": timestamps,
        "status_code": "Complete",
    }


def _value(stat: str, points: Sequence[Point]) -> float | None:
    """A statistic of the points of a period; of a quantile, the nearest rank of single values."""
    if quantile := _QUANTILE.fullmatch(stat):
        values: Counter[float] = Counter()
        for point in points:
            values.update(point.values or {})
        return _ranked(values, float(quantile[1]) / 100)
    total, count = sum(one.sum for one in points), sum(one.sample_count for one in points)
    known = {
        "Sum": total,
        "SampleCount": count,
        "Average": total / count if count else None,
        "Minimum": min(one.min for one in points),
        "Maximum": max(one.max for one in points),
    }
    return known.get(stat)


def _ranked(values: Counter[float], share: float) -> float | None:
    rank, found = max(1, math.ceil(share * values.total())), None
    for value, times in sorted(values.items()):
        rank, found = rank - times, value
        if rank <= 0:
            break
    return found
