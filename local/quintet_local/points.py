"""The points of CloudWatch's metrics: a minute's values of a metric are one point.

moto keeps every value that was ever put. AWS, too, keeps a minute as one point and merges older
ones into longer periods:
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_concepts.html
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from moto.cloudwatch.models import Dimension, MetricAggregatedDatum

__all__ = ["KEPT", "Key", "Point", "Points", "key_of", "points_of"]

#: how long points of so many seconds are kept, in seconds: the console shows an hour by the minute,
#: burn rates read three days by 5 minutes, and budgets 30 days by the hour
KEPT = {60: 3 * 3600, 300: 4 * 86_400, 3600: 31 * 86_400}
#: seconds between two merges of older points
MERGE_SECONDS = 300

#: a metric's namespace, name and dimensions
Key = tuple[str, str, frozenset[tuple[str, str]]]


def key_of(metric: Mapping[str, Any]) -> Key:
    """The key of a metric that is given as in the API."""
    dimensions = frozenset((d["Name"], d["Value"]) for d in metric.get("Dimensions") or ())
    return (metric["Namespace"], metric["MetricName"], dimensions)


class Point(MetricAggregatedDatum):
    """The values of a metric in a period: a datum of moto's, with how often each value came.

    `values` are rounded to three digits, so that they are few; the statistics are of the values as
    they were put. Points of 5 minutes and longer have none.
    """

    def __init__(self, key: Key, dimensions: list[Dimension], at: datetime, unit: Any) -> None:
        # not by moto's own, which makes dimensions anew for each datum
        self.namespace, self.name, _ = key
        self.dimensions = dimensions
        self.timestamp = at
        self.unit = unit
        self.min, self.max = float("inf"), float("-inf")
        self.sum = self.sample_count = 0.0
        self.values: Counter[float] | None = None

    def add(self, value: float, times: float = 1.0) -> None:
        """Add a value that was put so many times."""
        self.merge(value, value, value * times, times)
        if self.values is None:
            self.values = Counter()
        self.values[float(f"{value:.3g}")] += int(times)

    def merge(self, least: float, most: float, total: float, count: float) -> None:
        """Add the statistics of several values."""
        self.min, self.max = min(self.min, least), max(self.max, most)
        self.sum += total
        self.sample_count += count


class _Series:
    """The points of a metric by their start, in seconds of the epoch, for each length of period."""

    def __init__(self, key: Key) -> None:
        self._key = key
        self._dimensions = [Dimension(*one) for one in sorted(key[2])]
        self._points: dict[int, dict[int, Point]] = {length: {} for length in KEPT}

    def at(self, seconds: float, length: int, unit: Any) -> Point:
        """The point of the period that a moment is in."""
        start = int(seconds // length * length)
        found = self._points[length].get(start)
        if found is None:
            at = datetime.fromtimestamp(start, UTC).replace(tzinfo=None)
            found = self._points[length][start] = Point(self._key, self._dimensions, at, unit)
        return found

    def __iter__(self) -> Iterator[Point]:
        for points in self._points.values():
            yield from points.values()

    def merge(self, now: float) -> None:
        """Merge the points that are older than their length is kept; drop the oldest."""
        for length, longer in pairwise([*KEPT, None]):
            assert length is not None
            points = self._points[length]
            # whole periods of the longer points, so that none is in two
            since = (now - KEPT[length]) // (longer or length) * (longer or length)
            for start in [start for start in points if start < since]:
                old = points.pop(start)
                if longer is not None:
                    merged = self.at(start, longer, old.unit)
                    merged.merge(old.min, old.max, old.sum, old.sample_count)

    @property
    def empty(self) -> bool:
        """Whether all points were dropped."""
        return not any(self._points.values())


class Points:
    """The points of all metrics of a backend; any thread may call."""

    def __init__(self) -> None:
        self._of: dict[Key, _Series] = {}
        self._lock = threading.Lock()
        #: of the newest value
        self._latest = float("-inf")
        self._merged = float("-inf")

    def put(self, namespace: str, datum: Mapping[str, Any]) -> None:
        """Put a datum, given as in the API."""
        key = key_of({"Namespace": namespace, **datum})
        moment = datum.get("Timestamp")
        at = time.time() if moment is None else _seconds(moment)
        with self._lock:
            series = self._of.get(key)
            if series is None:
                series = self._of[key] = _Series(key)
            point = series.at(at, min(KEPT), datum.get("Unit"))
            if values := datum.get("Values"):
                counts = datum.get("Counts") or [1] * len(values)
                for value, times in zip(values, counts, strict=True):
                    point.add(float(value), float(times))
            elif given := datum.get("StatisticValues"):
                names = ("Minimum", "Maximum", "Sum", "SampleCount")
                point.merge(*(float(given[name]) for name in names))
            else:
                point.add(float(datum.get("Value", 0)))
            self._latest = max(self._latest, at)
            self._merge()

    def _merge(self) -> None:
        # values may have times in the future, which must not make others old
        now = min(self._latest, time.time())
        if now < self._merged + MERGE_SECONDS:
            return
        self._merged = now
        for key, series in list(self._of.items()):
            series.merge(now)
            if series.empty:
                del self._of[key]

    def of(self, key: Key, start: datetime, end: datetime) -> list[Point]:
        """The points of a metric that begin from `start` to before `end`, the oldest first."""
        with self._lock:
            found = list(self._of.get(key, ()))
        return sorted(
            (one for one in found if start <= one.timestamp < end), key=lambda one: one.timestamp
        )

    def every(self) -> list[Point]:
        """All points."""
        with self._lock:
            return [point for series in self._of.values() for point in series]

    def one_of_each(self) -> list[Point]:
        """A point of each metric."""
        with self._lock:
            return [next(iter(series)) for series in self._of.values()]


def points_of(backend: Any) -> Points:
    """The points that a backend of moto's CloudWatch keeps."""
    found: Points = vars(backend).setdefault("points", Points())
    return found


def _seconds(moment: datetime) -> float:
    """Seconds of the epoch; a time without a zone is in UTC, as moto's are."""
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
