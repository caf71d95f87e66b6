"""Builds what `report_day` needs, from its settings."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from quintet.aws.captures import CaptureBucket
from quintet.aws.queues import StopQueue
from quintet.daily.report import DayPaths, report_day
from quintet.daily.telemetry import DailyTelemetry
from quintet.errors import ModelFailure
from quintet.monitoring.samples import Reference
from quintet.rollouts.stops import Stop
from quintet.settings import ReportDaySettings, read
from quintet.wiring import common

if TYPE_CHECKING:
    from quintet.aws.artifacts import Artifacts
    from quintet.aws.registry import Registry

__all__ = ["report", "report_all", "summary"]


@cache
def _settings() -> ReportDaySettings:
    return read(ReportDaySettings, os.environ)


@cache
def _registry() -> Registry:
    return common.registry(_settings().registry_table)


@cache
def _artifacts() -> Artifacts:
    return common.artifacts(_settings().registry_bucket)


def report_all(now: float) -> list[dict[str, Any]]:
    """Report yesterday of each captured model, with log lines and metrics.

    The rollout of a model that began to drift is stopped.

    Raises:
        ExceptionGroup: some models could not be reported; the others were.
        Transient: the models could not be listed.
    """
    day = datetime.fromtimestamp(now, UTC).date() - timedelta(days=1)
    reports, errors = [], []
    for model in _captured_models():
        try:
            reports.append(report(model, day, now))
            _stop_rollout(reports[-1], now)
        except Exception as error:  # one model's failure must not hide the drift of the others
            common.logger().exception("not reported", model=model, day=day.isoformat())
            errors.append(error)
    DailyTelemetry(common.logger(), common.metrics()).reported(reports)
    if errors:
        raise ExceptionGroup(f"{len(errors)} models were not reported; see the log", errors)
    return reports


def _stop_rollout(report: Mapping[str, Any], now: float) -> None:
    model, began = report["model"], report["began"]
    if began and _registry().route(model).rollout:
        verb = "drifts" if len(began) == 1 else "drift"
        reason = f"{', '.join(began)} {verb} since {report['day']}"
        queue = StopQueue(common.client("sqs"), _settings().rollout_queue_url)
        queue.send(Stop(at=now, by="report_day", reason=reason, model=model))


def _captured_models() -> Iterator[str]:
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
