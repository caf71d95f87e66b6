"""Builds what `report_day` needs, from its settings."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import date
from functools import cache
from typing import TYPE_CHECKING, Any

from quintet.aws.captures import CaptureBucket
from quintet.daily.report import DayPaths, report_day
from quintet.daily.telemetry import DailyTelemetry
from quintet.errors import ModelFailure
from quintet.monitoring.samples import Reference
from quintet.settings import ReportDaySettings, read
from quintet.wiring import common

if TYPE_CHECKING:
    from quintet.aws.artifacts import Artifacts
    from quintet.aws.registry import Registry

__all__ = ["captured_models", "report", "summary", "telemetry"]


@cache
def _settings() -> ReportDaySettings:
    return read(ReportDaySettings, os.environ)


@cache
def _registry() -> Registry:
    return common.registry(_settings().registry_table)


@cache
def _artifacts() -> Artifacts:
    return common.artifacts(_settings().registry_bucket)


@cache
def telemetry() -> DailyTelemetry:
    """The log lines and metrics."""
    return DailyTelemetry(common.logger(), common.metrics())


def captured_models() -> Iterator[str]:
    """The models whose live version is captured. Raises Transient."""
    for model in _registry().models():
        route = _registry().route(model)
        with suppress(ModelFailure):  # a damaged version: predict says so
            live = route.versions[route.live]
            if _artifacts().contract(model, live.number, live.seal).capture is not None:
                yield model


def report(model: str, day: date, now: float) -> dict[str, Any]:
    """Report a day of a model. Raises NotFound, and the same as `report_day`."""
    versions = _registry().route(model).versions

    @cache
    def reference(version: int) -> Reference | None:
        seal = versions[version].seal if version in versions else None
        try:
            contract = _artifacts().contract(model, version, seal)
            return Reference(contract, _artifacts().baseline(model, version, seal))
        except ModelFailure:
            return None

    bucket = CaptureBucket(common.client("s3"), _settings().captures_bucket)
    return report_day(model, day, objects=bucket, reference=reference, now=now)


def summary(report: Mapping[str, Any]) -> dict[str, Any]:
    """What the function returns of a report."""
    paths = DayPaths(report["model"], date.fromisoformat(report["day"]))
    kept = {name: report[name] for name in ("model", "day", "version", "rows", "moved", "drifting")}
    return {**kept, "page": paths.page, "report": paths.report}
