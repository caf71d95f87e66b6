"""A function's logger and metrics, with Powertools."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from aws_lambda_powertools.logging import Logger
from aws_lambda_powertools.metrics import Metrics

from quintet.telemetry.metrics import METRICS

__all__ = ["MetricsWriter", "make_logger"]


def make_logger(stage: str) -> Logger:
    """A function's logger: JSON written by orjson, with the stage in every line."""
    return Logger(
        json_serializer=_dumps,
        json_deserializer=_unparsed,
        location=None,
        stage=stage,
        use_rfc3339=True,
        utc=True,
    )


class MetricsWriter:
    """Writes metrics in CloudWatch's embedded metric format, with the stage as a dimension."""

    def __init__(self, stage: str) -> None:
        self._metrics = Metrics()
        self._stage = stage

    def write(self, dimensions: Mapping[str, str], values: Mapping[str, float]) -> None:
        """Write one document of metrics in `METRICS`; nothing without values."""
        if not values:
            return
        metrics = self._metrics
        metrics.add_dimension("stage", self._stage)
        for dimension, value in dimensions.items():
            metrics.add_dimension(dimension, value)
        for name, number in values.items():
            metrics.add_metric(name, METRICS[name], number)
        metrics.flush_metrics()


def _dumps(value: Any) -> str:
    return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def _unparsed(text: Any) -> Any:
    """Return a message unparsed: Powertools would try to parse it as JSON, which costs 10 us."""
    return text
