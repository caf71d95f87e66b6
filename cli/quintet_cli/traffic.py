"""The requests of a stage's models minute by minute, and how long they took."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quintet.aws.request_counts import RequestCounts
from quintet.monitoring.burn import Counts
from quintet_cli.stage import Stage

__all__ = ["MINUTES", "Traffic", "traffic_of"]

#: how far back it looks
MINUTES = 60
#: what is read of the time of requests; CloudWatch's names of the statistics
QUANTILES = ("p50", "p95")
#: queries of one call of GetMetricData
_QUERIES = 500


@dataclass(frozen=True, slots=True)
class Traffic:
    """A model's requests in each of `MINUTES` minutes, the newest last; `times` are their starts.

    `milliseconds` are the quantiles of the time of the live version's requests, (minutes,) each,
    NaN in a minute without requests.
    """

    model: str
    times: NDArray[np.int64]
    counts: Counts
    milliseconds: dict[str, NDArray[np.float64]]

    def latest(self, quantile: str) -> float | None:
        """A quantile in the newest minute that has requests; None if none has."""
        known = self.milliseconds[quantile][~np.isnan(self.milliseconds[quantile])]
        return float(known[-1]) if len(known) else None


def traffic_of(stage: Stage, models: Sequence[str], now: float) -> list[Traffic]:
    """The traffic of those models that had requests in the last `MINUTES` minutes.

    Raises:
        Transient: CloudWatch did not answer.
    """
    end = int(now // 60 + 1) * 60
    times = np.arange(end - MINUTES * 60, end, 60)
    source = RequestCounts(stage.signed("monitoring"), stage.name)
    counts = source.read(models, end, steps=MINUTES, seconds=60)
    busy = [model for model in models if counts[model].requests.any()]
    found = {name: np.full(MINUTES, np.nan) for model in busy for name in _names(model)}
    for name, at, value in _milliseconds(stage, busy, int(times[0]), end):
        found[name][(at - int(times[0])) // 60] = value
    return [
        Traffic(model, times, counts[model], {of: found[model, of] for of in QUANTILES})
        for model in busy
    ]


def _names(model: str) -> Iterator[tuple[str, str]]:
    return ((model, quantile) for quantile in QUANTILES)


def _milliseconds(
    stage: Stage, models: Sequence[str], start: int, end: int
) -> Iterator[tuple[tuple[str, str], int, float]]:
    """The quantiles that are known: of which model and quantile, when, and how much."""
    wanted = [name for model in models for name in _names(model)]
    pages = stage.client("cloudwatch").get_paginator("get_metric_data")
    for first in range(0, len(wanted), _QUERIES):
        some = wanted[first : first + _QUERIES]
        asked = {f"q{number}": name for number, name in enumerate(some)}
        for page in pages.paginate(
            MetricDataQueries=[_query(stage, key, *name) for key, name in asked.items()],
            StartTime=datetime.fromtimestamp(start, UTC),
            EndTime=datetime.fromtimestamp(end, UTC),
        ):
            for one in page["MetricDataResults"]:
                for at, value in zip(one["Timestamps"], one["Values"], strict=True):
                    yield asked[one["Id"]], int(at.timestamp()), value


def _query(stage: Stage, key: str, model: str, quantile: str) -> dict[str, Any]:
    of = {"stage": stage.name, "model": model, "route": "live", "service": "predict"}
    metric = {
        "Namespace": "Quintet",
        "MetricName": "total_ms",
        "Dimensions": [{"Name": name, "Value": value} for name, value in of.items()],
    }
    return {"Id": key, "MetricStat": {"Metric": metric, "Period": 60, "Stat": quantile}}
