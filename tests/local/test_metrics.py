"""A minute's values of a metric are one point, and give the statistics that moto's data give."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from moto.cloudwatch.models import CloudWatchBackend

from quintet_local.metrics import by_points
from quintet_local.points import KEPT, Points, key_of, points_of

HOUR, DAY = 3600, 86_400
START = datetime(2026, 3, 1, 12)
SHOP = [{"Name": "model", "Value": "shop"}, {"Name": "stage", "Value": "test"}]
STATS = ("Sum", "Average", "Maximum", "Minimum", "SampleCount")

Ours = type("Ours", (CloudWatchBackend,), by_points(CloudWatchBackend))


def backends() -> tuple[Any, Any]:
    """Moto's backend as it is, and with points."""
    given = "us-east-1", "123456789012"
    return CloudWatchBackend(*given), Ours(*given)


def datum(name: str, at: datetime, *, of: Any = SHOP, **values: Any) -> dict[str, Any]:
    return {"MetricName": name, "Dimensions": of, "Timestamp": at, "Unit": "None", **values}


def asked(metric: str, stat: str, period: int = 300, of: Any = SHOP) -> dict[str, Any]:
    found = {"Namespace": "Quintet", "MetricName": metric, "Dimensions": of}
    return {"Id": "q", "MetricStat": {"Metric": found, "Period": period, "Stat": stat}}


def some_data() -> Iterator[dict[str, Any]]:
    for minute in range(0, 30, 4):
        at = START + timedelta(minutes=minute, seconds=7)
        for of in (SHOP, SHOP[:1]):
            yield datum("x", at, of=of, Values=[minute, 2.0, 2.0])
            yield datum("x", at + timedelta(seconds=50), of=of, Values=[0.25], Counts=[3])
            yield datum("x", at, of=of, Value=-1.0)
        spread = {"Sum": 10.0, "Minimum": 1.0, "Maximum": 4.0, "SampleCount": 5.0}
        yield datum("x", at, StatisticValues=spread)


@pytest.mark.parametrize("order", ["TimestampAscending", "TimestampDescending"])
@pytest.mark.parametrize("stat", STATS)
def test_points_give_what_motos_data_give(stat: str, order: str) -> None:
    theirs, ours = backends()
    for backend in (theirs, ours):
        for one in some_data():
            backend.put_metric_data("Quintet", [one])
    end = START + timedelta(minutes=30)
    query = asked("x", stat, of=SHOP[::-1])
    found = [one.get_metric_data([query], START, end, order) for one in (theirs, ours)]
    assert found[0] == found[1]
    assert len(found[0][0]["values"]) == 6
    statistics = [
        {
            one.timestamp.replace(second=0): one.get_statistics_for_type(stat)
            for one in backend.get_metric_statistics(
                "Quintet", "x", START, end, 60, [stat], SHOP, "None"
            )
        }
        for backend in (theirs, ours)
    ]
    assert statistics[0] == statistics[1]


def test_a_metric_is_listed_once_with_all_its_dimensions() -> None:
    _, ours = backends()
    for one in some_data():
        ours.put_metric_data("Quintet", [one])
    ours.put_metric_data("Other", [datum("y", START, of=[], Value=1.0)])
    found = [
        (one.namespace, one.name, {d.name: d.value for d in one.dimensions})
        for one in ours.list_metrics(None, "", "", [])[1]
    ]
    assert found == [
        ("Quintet", "x", {"model": "shop", "stage": "test"}),
        ("Quintet", "x", {"model": "shop"}),
        ("Other", "y", {}),
    ]
    (one,) = ours.list_metrics(None, "Quintet", "x", SHOP[1:])[1]
    assert len(one.dimensions) == 2
    assert ours.list_metrics(None, "Other", "x", [])[1] == []


def test_quantiles_are_those_of_the_values_of_each_period() -> None:
    _, ours = backends()
    for minute, values in ((0, [3.0, 1.0]), (4, [2.0, 100.0]), (5, [7.0])):
        one = datum("ms", START + timedelta(minutes=minute), of=[], Values=values)
        ours.put_metric_data("Quintet", [one])
    end = START + timedelta(minutes=10)
    found = {
        name: ours.get_metric_data([asked("ms", name, of=[])], START, end)[0]["values"]
        for name in ("p50", "p95", "p0", "p99.9")
    }
    assert found == {"p50": [2.0, 7.0], "p95": [100.0, 7.0], "p0": [1.0, 7.0], "p99.9": [100.0, 7]}


def test_values_within_the_first_minute_count_as_of_its_start() -> None:
    _, ours = backends()
    ours.put_metric_data("Quintet", [datum("x", START + timedelta(seconds=40), Value=2.0)])
    since, end = START + timedelta(seconds=30), START + timedelta(minutes=5)
    (found,) = ours.get_metric_data([asked("x", "Sum", 60)], since, end)
    assert (found["timestamps"], found["values"]) == ([START], [2.0])
    (found,) = ours.get_metric_statistics("Quintet", "x", since, end, 60, ["Sum"], SHOP)
    assert (found.timestamp, found.sum) == (START, 2.0)


def test_a_minute_is_one_point_however_many_values_it_has() -> None:
    points = Points()
    for number in range(60_000):
        at = START + timedelta(milliseconds=number)
        points.put("Quintet", datum("ms", at, Values=[5 + number / 7919]))
    (point,) = points.every()
    assert (point.sample_count, point.max) == (60_000, 5 + 59_999 / 7919)
    assert point.values is not None and len(point.values) < 1_000


def test_old_points_are_merged_and_the_oldest_dropped() -> None:
    points = Points()
    days = 40
    for minute in range(0, days * 1440, 5):
        points.put("Quintet", datum("x", START + timedelta(minutes=minute), Value=1.0))
    kept = points.every()
    bound = sum(seconds // length for length, seconds in KEPT.items())
    assert len(kept) < bound
    end = START + timedelta(days=days)
    key = key_of({"Namespace": "Quintet", "MetricName": "x", "Dimensions": SHOP})
    for ago, each in ((HOUR, 1), (DAY, 1), (20 * DAY, 12)):
        of_an_hour = points.of(key, end - timedelta(seconds=ago), end)[: HOUR // (300 * each)]
        assert [point.sum for point in of_an_hour] == [each] * len(of_an_hour)
        assert len(of_an_hour) == 12 // each
    # nothing is counted twice, or lost before its time
    whole = (end - timedelta(days=30)).replace(minute=0)
    assert sum(point.sum for point in points.of(key, whole, end)) == 30 * 288


def test_what_no_metric_has_any_more_is_forgotten_and_the_future_ages_nothing() -> None:
    points = Points()
    now = datetime.now(UTC)
    points.put("Quintet", datum("old", now - timedelta(days=50), Value=1.0))
    points.put("Quintet", datum("new", now, Value=1.0))
    points.put("Quintet", datum("ahead", now + timedelta(days=90), Value=1.0))
    assert [point.name for point in points.one_of_each()] == ["new", "ahead"]
    points.put("Quintet", datum("new", now, Value=1.0))
    assert [point.sample_count for point in points.every()] == [2, 1]


def test_each_backend_has_points_of_its_own() -> None:
    _, one = backends()
    _, other = backends()
    one.put_metric_data("Quintet", [datum("x", START, Value=1.0)])
    assert points_of(one) is points_of(one)
    assert (len(one.get_all_metrics()), other.get_all_metrics()) == (1, [])
