"""The counts of requests that `predict` writes as metrics, read with CloudWatch's GetMetricData.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import numpy as np

from quintet.aws.client import AwsClient
from quintet.aws.responses import error_code
from quintet.errors import Transient
from quintet.monitoring.burn import Counts

__all__ = ["RequestCounts"]

_XML = "{http://monitoring.amazonaws.com/doc/2010-08-01/}"
#: in the order of `Counts`
_NAMES = (
    "requests_count",
    "refused_requests_count",
    "failed_requests_count",
    "slow_requests_count",
)
#: the routes that answer callers; the canary's counts exist only while a rollout runs
_ROUTES = ("live", "canary")
#: models of one call, which returns 100,800 values at most
_MODELS = 12


class RequestCounts:
    """Reads the counts of a stage's models."""

    def __init__(self, client: AwsClient, stage: str) -> None:
        self._client = client
        self._stage = stage

    def read(
        self, models: Sequence[str], end: float, *, steps: int, seconds: int
    ) -> dict[str, Counts]:
        """The counts of models in `steps` steps of `seconds` each, up to `end` (epoch seconds).

        Those that a canary answered count, too. `end` is a multiple of `seconds`, which is a
        multiple of 60.

        Raises:
            Transient: CloudWatch did not answer.
        """
        found = {}
        for start in range(0, len(models), _MODELS):
            some = models[start : start + _MODELS]
            queries = {
                f"q{number}_{which}_{route}": self._query(model, route, name, seconds)
                for number, model in enumerate(some)
                for which, name in enumerate(_NAMES)
                for route in _ROUTES
            }
            sums = {query: np.zeros(steps) for query in queries}
            begin = end - steps * seconds
            for query, moment, value in self._values(list(queries.items()), begin, end):
                sums[query][int((moment - begin) // seconds)] += value
            for number, model in enumerate(some):
                of = [
                    np.sum([sums[f"q{number}_{which}_{route}"] for route in _ROUTES], axis=0)
                    for which in range(len(_NAMES))
                ]
                found[model] = Counts(*of)
        return found

    def sum(
        self, namespace: str, metric: str, dimensions: Mapping[str, str], start: float, end: float
    ) -> float:
        """The sum of another metric from `start` to `end`, by the hour.

        Raises:
            Transient: CloudWatch did not answer.
        """
        query = _stat(namespace, metric, dimensions, 3600)
        return sum(value for _, _, value in self._values([("q", query)], start, end))

    def _query(self, model: str, route: str, metric: str, seconds: int) -> dict[str, Any]:
        of = {"stage": self._stage, "model": model, "route": route, "service": "predict"}
        return _stat("Quintet", metric, of, seconds)

    def _values(
        self, queries: Sequence[tuple[str, dict[str, Any]]], start: float, end: float
    ) -> Iterator[tuple[str, float, float]]:
        """The id, start (epoch seconds) and value of each step of each query."""
        form = {
            "Action": "GetMetricData",
            "Version": "2010-08-01",
            "StartTime": _iso(start),
            "EndTime": _iso(end),
        }
        for number, (identity, query) in enumerate(queries, 1):
            entry = f"MetricDataQueries.member.{number}"
            form[f"{entry}.Id"] = identity
            form |= {f"{entry}.MetricStat.{name}": value for name, value in query.items()}
        token = ""
        while True:
            page = self._call({**form, "NextToken": token} if token else form)
            for result in page.iter(f"{_XML}member"):
                identity = result.findtext(f"{_XML}Id")
                if identity is None:
                    continue
                moments = [
                    _moment(m.text) for m in result.findall(f"{_XML}Timestamps/{_XML}member")
                ]
                values = [float(m.text) for m in result.findall(f"{_XML}Values/{_XML}member")]
                yield from (
                    (identity, moment, value)
                    for moment, value in zip(moments, values, strict=True)
                    if start <= moment < end
                )
            token = page.findtext(f".//{_XML}NextToken") or ""
            if not token:
                return

    def _call(self, form: Mapping[str, str]) -> Any:
        from xml.etree import ElementTree as Xml

        response = self._client.request(
            "POST",
            "/",
            headers={"content-type": "application/x-www-form-urlencoded; charset=utf-8"},
            body=urlencode(form).encode(),
            idempotent=True,
        )
        if response.status != 200:
            raise Transient(f"CloudWatch did not answer ({error_code(response)})")
        return Xml.fromstring(response.body)


def _stat(
    namespace: str, metric: str, dimensions: Mapping[str, str], seconds: int
) -> dict[str, Any]:
    found = {
        "Metric.Namespace": namespace,
        "Metric.MetricName": metric,
        "Period": str(seconds),
        "Stat": "Sum",
    }
    for number, (name, value) in enumerate(dimensions.items(), 1):
        found[f"Metric.Dimensions.member.{number}.Name"] = name
        found[f"Metric.Dimensions.member.{number}.Value"] = value
    return found


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _moment(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
