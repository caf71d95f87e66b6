"""The log lines and metrics of `report_day`: counts and the names of features, never values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aws_lambda_powertools.logging import Logger

    from quintet.telemetry.powertools import MetricsWriter

__all__ = ["DailyTelemetry"]


class DailyTelemetry:
    """Writes a log line and the metrics of each model, and the count of those that drift."""

    def __init__(self, logger: Logger, metrics: MetricsWriter) -> None:
        self._logger = logger
        self._metrics = metrics

    def reported(self, reports: Sequence[Mapping[str, Any]]) -> None:
        """The reports of a day were written; a warning for each model that drifts."""
        for report in reports:
            level = self._logger.warning if report["drifting"] else self._logger.info
            names = ("model", "day", "version", "moved", "drifting")
            level("reported", **{name: report[name] for name in names})
            if report["drift"] is not None:
                values = {
                    "moved_features_count": len(report["moved"]),
                    "drifting_features_count": len(report["drifting"]),
                }
                self._metrics.write({"model": report["model"]}, values)
        drifting = sum(bool(report["drifting"]) for report in reports)
        self._metrics.write({}, {"drifting_models_count": drifting})
